"""The storage contracts on the embedded store."""

from tests.contracts.apply import ApplyContract
from tests.contracts.rollups import RollupsContract
from tests.contracts.unit_of_work import UnitOfWorkContract


class TestSqlite(UnitOfWorkContract):
    pass


class TestSqliteApply(ApplyContract):
    pass


class TestSqliteRollups(RollupsContract):
    pass

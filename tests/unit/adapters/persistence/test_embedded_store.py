"""The storage contracts on the embedded store."""

import pytest

from tests.contracts.account_store import AccountStoreContract
from tests.contracts.admin_store import AdminStoreContract
from tests.contracts.apply import ApplyContract
from tests.contracts.budgets import BudgetsContract
from tests.contracts.idempotency import IdempotencyContract
from tests.contracts.rollups import RollupsContract
from tests.contracts.unit_of_work import UnitOfWorkContract
from tests.contracts.usage_log import UsageLogContract


class TestSqlite(UnitOfWorkContract):
    pass


class TestSqliteAccounts(AccountStoreContract):
    pass


class TestSqliteAdministration(AdminStoreContract):
    pass


class TestSqliteBudgets(BudgetsContract):
    @pytest.fixture
    def advance(self, rollups):
        return rollups.advance


class TestSqliteUsageLog(UsageLogContract):
    @pytest.fixture
    def advance(self, rollups):
        return rollups.advance


class TestSqliteApply(ApplyContract):
    pass


class TestSqliteRollups(RollupsContract):
    pass


class TestSqliteIdempotency(IdempotencyContract):
    pass

"""Second factors and their recovery codes in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from adapters.persistence.account_tables import recovery_codes, second_factors
from adapters.persistence.dialects import insert_or_replace
from application.account_store import SecondFactor

_FIELDS = tuple(column.name for column in second_factors.c)
_CHANGED = ("sealed", "confirmed", "last_step")
_ONE = select(second_factors).where(second_factors.c.user_id == bindparam("owner_id"))
_USE_STEP = (
    update(second_factors)
    .where(second_factors.c.user_id == bindparam("owner_id"), second_factors.c.last_step < bindparam("step"))
    .values(last_step=bindparam("step"))
)
_REMOVE = delete(second_factors).where(second_factors.c.user_id == bindparam("owner_id"))
_CODES = select(recovery_codes.c.digest).where(recovery_codes.c.user_id == bindparam("owner_id"))
_USE_CODE = delete(recovery_codes).where(
    recovery_codes.c.user_id == bindparam("owner_id"), recovery_codes.c.digest == bindparam("given")
)


@dataclass(frozen=True, slots=True)
class SqlSecondFactors:
    connection: Connection

    def get(self, user_id: str) -> SecondFactor | None:
        row = self.connection.execute(_ONE, {"owner_id": user_id}).mappings().first()
        return None if row is None else SecondFactor(**row)

    def put(self, factor: SecondFactor, codes: Sequence[bytes] = ()) -> None:
        statement = insert_or_replace(self.connection.dialect.name, second_factors, _CHANGED)
        self.connection.execute(statement, {name: getattr(factor, name) for name in _FIELDS})
        self._forget_codes(factor.user_id)
        if codes:
            rows = [{"user_id": factor.user_id, "digest": digest} for digest in codes]
            self.connection.execute(insert(recovery_codes), rows)

    def use_step(self, user_id: str, step: int) -> bool:
        return self.connection.execute(_USE_STEP, {"owner_id": user_id, "step": step}).rowcount == 1

    def use_code(self, user_id: str, digest: bytes) -> bool:
        return self.connection.execute(_USE_CODE, {"owner_id": user_id, "given": digest}).rowcount == 1

    def remove(self, user_id: str) -> None:
        self._forget_codes(user_id)
        self.connection.execute(_REMOVE, {"owner_id": user_id})

    def _forget_codes(self, user_id: str) -> None:
        # One by one: a DELETE by user would lock the neighbours on MySQL, and two of them each other.
        for digest in self.connection.execute(_CODES, {"owner_id": user_id}).scalars().all():
            self.use_code(user_id, digest)

"""Counters of attempts in SQL."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, update

from adapters.persistence.account_tables import throttles
from adapters.persistence.dialects import insert_or_lock
from domain.throttle import Rule, Throttle, begin

_THIS = throttles.c.id == bindparam("key")
_LOCKED = select(throttles.c.count, throttles.c.since, throttles.c.blocked_until).where(_THIS).with_for_update()
_WRITE = (
    update(throttles)
    .where(_THIS)
    .values({name: bindparam(f"new_{name}") for name in ("count", "since", "blocked_until")})
)
_REFUND = update(throttles).where(_THIS, throttles.c.count > 0).values(count=throttles.c.count - 1)
_OVER = (throttles.c.since < bindparam("before")) & (throttles.c.blocked_until < bindparam("before"))
_OLD = select(throttles.c.id).where(_OVER).order_by(throttles.c.id)
_FORGET = delete(throttles).where(_THIS)


@dataclass(frozen=True, slots=True)
class SqlThrottles:
    connection: Connection

    def hit(self, key: str, rule: Rule, now: datetime) -> int:
        throttle = self._locked(key, now)
        if throttle.count and (wait := throttle.wait(now)):
            return wait
        after = throttle.hit(rule, now) if throttle.count else begin(rule, now)
        values = {f"new_{name}": value for name, value in asdict(after).items()}
        self.connection.execute(_WRITE, {"key": key} | values)
        return 0

    def clear(self, key: str) -> None:
        self.connection.execute(_FORGET, {"key": key})

    def refund(self, key: str) -> None:
        self.connection.execute(_REFUND, {"key": key})

    def sweep(self, before: datetime) -> int:
        # By id, and asked again: one DELETE for all would lock every row on MySQL, those of running attempts as well.
        keys = self.connection.execute(_OLD, {"before": before}).scalars().all()
        again = _FORGET.where(_OVER)
        return sum(self.connection.execute(again, {"key": key, "before": before}).rowcount for key in keys)

    def _locked(self, key: str, now: datetime) -> Throttle:
        """The row, which is nobody else's until the unit ends; made with a count of 0 where there was none."""
        statement = insert_or_lock(self.connection.dialect.name, throttles, "count")
        self.connection.execute(statement, {"id": key, "count": 0, "since": now, "blocked_until": now})
        return Throttle(*self.connection.execute(_LOCKED, {"key": key}).one())

"""What is used and reserved of budgets in SQL.

Everybody who needs both locks the rows of holds before windows, except who settles: he finds only holds of requests
that are over.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, insert, select, update

from adapters.persistence import budget_windows as windows
from adapters.persistence.admin_tables import budget_holds
from adapters.persistence.budget_windows import WindowKey, key_from, key_of
from application.admin_store import Claim
from domain.limits import Budget, BudgetStanding, Kind, Unit, Window

_AT_ONCE = 1_000
_KEPT = timedelta(days=7)
"""How long it can be seen which holds were swept."""

_KEY = tuple(column.name for column in budget_holds.primary_key.columns)
_THIS = and_(*(budget_holds.c[name] == bindparam(f"this_{name}") for name in _KEY))
_HELD = select(budget_holds).where(budget_holds.c.state == "held")
_OF_REQUEST = _HELD.where(budget_holds.c.request_id == bindparam("request_id")).with_for_update()
_OLDEST = (
    select(budget_holds)
    .where(budget_holds.c.state == bindparam("in_state"), budget_holds.c.created_at < bindparam("before"))
    .order_by(budget_holds.c.created_at)
    .limit(_AT_ONCE)
    .with_for_update(skip_locked=True)
)
_SWEEP = update(budget_holds).where(_THIS).values(state="swept")
_DELETE = delete(budget_holds).where(_THIS)


@dataclass(frozen=True, slots=True)
class SqlBudgets:
    connection: Connection

    def reserve(self, request_id: str, claims: Sequence[Claim], at: datetime) -> list[int]:
        if not claims:
            return []
        self.connection.execute(insert(budget_holds), [_row(request_id, claim, at) for claim in claims])
        before = windows.locked(self.connection, (key_of(claim.hold) for claim in claims))
        for claim in claims:
            at_most = claim.limit if claim.enforced else None
            windows.take(self.connection, key_of(claim.hold), claim.hold.amount, at_most)
        return [_left(claim, before[key_of(claim.hold)]) for claim in claims]

    def release(self, request_id: str) -> None:
        held = self.connection.execute(_OF_REQUEST, {"request_id": request_id}).all()
        give_back(self.connection, held)
        forget(self.connection, held)

    def sweep(self, before: datetime) -> int:
        old = self.connection.execute(_OLDEST, {"in_state": "held", "before": before}).all()
        give_back(self.connection, old)
        if old:
            self.connection.execute(_SWEEP, [_this(row) for row in old])
        forget(self.connection, self.connection.execute(_OLDEST, {"in_state": "swept", "before": before - _KEPT}).all())
        return len(old)

    def inherit(self, heir_id: str, key_id: str, budgets: Sequence[Budget], at: datetime) -> None:
        old = [_current(key_id, budget, at) for budget in budgets]
        new = [key._replace(subject_id=heir_id) for key in old]
        before = windows.locked(self.connection, (*old, *new))
        spent = (before[key].used + before[key].reserved for key in old)
        windows.add(self.connection, {key: BudgetStanding(used) for key, used in zip(new, spent, strict=True)})

    def standing(self, kind: Kind, subject_id: str, unit: Unit, window: Window, period: date) -> BudgetStanding:
        return windows.standing(self.connection, WindowKey(kind.value, subject_id, unit.value, window.value, period))


def _current(key_id: str, budget: Budget, at: datetime) -> WindowKey:
    return WindowKey(Kind.KEY.value, key_id, budget.unit.value, budget.window.value, budget.window.start(at))


def reserved_in(held: Iterable[Row[Any]]) -> Counter[WindowKey]:
    """What those rows reserve, per window."""
    amounts: Counter[WindowKey] = Counter()
    for row in held:
        amounts[key_from(row)] += row.amount
    return amounts


def give_back(connection: Connection, held: Sequence[Row[Any]]) -> None:
    windows.add(connection, {key: BudgetStanding(0, -amount) for key, amount in reserved_in(held).items()})


def forget(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Each by its whole key: a search would lock the rows of requests that are running."""
    if rows:
        connection.execute(_DELETE, [_this(row) for row in rows])


def _row(request_id: str, claim: Claim, at: datetime) -> dict[str, Any]:
    values = key_of(claim.hold)._asdict()
    return values | {"request_id": request_id, "amount": claim.hold.amount, "created_at": at, "state": "held"}


def _left(claim: Claim, before: BudgetStanding) -> int:
    return claim.limit - before.used - before.reserved - claim.hold.amount


def _this(row: Row[Any]) -> dict[str, Any]:
    return {f"this_{name}": row._mapping[name] for name in _KEY}  # noqa: SLF001 # public, named so beside the columns

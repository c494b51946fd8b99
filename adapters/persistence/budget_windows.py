"""The windows of budgets in SQL: locked in one order everywhere, and begun with what the ledger has for them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, select, update

from adapters.persistence.admin_tables import budget_windows
from adapters.persistence.dialects import insert_or_keep
from adapters.persistence.usage import counted
from application.store import UsageFilter
from domain.limits import BudgetStanding, Hold, Kind, Unit, Window


class WindowKey(NamedTuple):
    """The primary key, as text. Whoever locks more than one window locks them in this order."""

    kind: str
    subject_id: str
    unit: str
    window: str
    period: date


_THIS = and_(*(budget_windows.c[name] == bindparam(f"this_{name}") for name in WindowKey._fields))
_STANDING = select(budget_windows.c.used, budget_windows.c.reserved).where(_THIS)
_LOCK = _STANDING.with_for_update()
_ADD = (
    update(budget_windows)
    .where(_THIS)
    .values(
        used=budget_windows.c.used + bindparam("more_used"),
        reserved=budget_windows.c.reserved + bindparam("more_reserved"),
    )
)
_TAKE = _ADD.where(
    budget_windows.c.used + budget_windows.c.reserved + bindparam("more_reserved") <= bindparam("at_most")
)
_UNKNOWN = -1
"""What is used of a window until whoever locks it next has asked the ledger."""
_FORGET = (
    update(budget_windows)
    .where(and_(*(budget_windows.c[name] == bindparam(f"this_{name}") for name in WindowKey._fields[:-1])))
    .values(used=_UNKNOWN)
)


def key_of(hold: Hold) -> WindowKey:
    return WindowKey(hold.kind.value, hold.subject_id, hold.unit.value, hold.window.value, hold.period)


def key_from(row: Row[Any]) -> WindowKey:
    return WindowKey(row.kind, row.subject_id, row.unit, row.window, row.period)


def locked(connection: Connection, keys: Iterable[WindowKey]) -> dict[WindowKey, BudgetStanding]:
    """How the windows stand, each locked until the unit ends, and made when it is not there.

    Each is locked by its whole key alone. A statement for several could read, and so lock, windows of others; a
    search for one that is missing would lock the gap, in which two could then hinder each other. Nothing is read
    before all are locked: what the unit reads is then not older than the locks.
    """
    ordered = sorted(set(keys))
    if not ordered:
        return {}
    new = [key._asdict() | {"used": _UNKNOWN, "reserved": 0} for key in ordered]
    connection.execute(insert_or_keep(connection.dialect.name, budget_windows, WindowKey._fields), new)
    rows = [(key, connection.execute(_LOCK, _this(key)).one()) for key in ordered]
    standings = {key: BudgetStanding(row.used, row.reserved) for key, row in rows}
    return standings | {key: _begun(connection, key, row.reserved) for key, row in rows if row.used == _UNKNOWN}


def begin_again(connection: Connection, kind: Kind, subject_id: str, budgets: Iterable[tuple[Unit, Window]]) -> None:
    """For budgets that are set: nobody counted in the windows what was used while there was no such budget."""
    for unit, window in sorted(budgets):
        names = {"kind": kind.value, "subject_id": subject_id, "unit": unit.value, "window": window.value}
        connection.execute(_FORGET, {f"this_{name}": value for name, value in names.items()})


def take(connection: Connection, key: WindowKey, amount: int, at_most: int | None) -> bool:
    """Reserve; False when there is no room. None takes in any case."""
    values = _this(key) | {"more_used": 0, "more_reserved": amount}
    if at_most is None:
        return connection.execute(_ADD, values).rowcount > 0
    return connection.execute(_TAKE, values | {"at_most": at_most}).rowcount > 0


def add(connection: Connection, changes: Mapping[WindowKey, BudgetStanding]) -> None:
    """What is more, or with a negative number less, in each window."""
    rows = [
        _this(key) | {"more_used": change.used, "more_reserved": change.reserved}
        for key, change in sorted(changes.items(), key=lambda it: it[0])
    ]
    if rows:
        connection.execute(_ADD, rows)


def standing(connection: Connection, key: WindowKey) -> BudgetStanding:
    row = connection.execute(_STANDING, _this(key)).first()
    if row is None:
        return BudgetStanding(_in_ledger(connection, key))
    return BudgetStanding(_in_ledger(connection, key) if row.used == _UNKNOWN else row.used, row.reserved)


def _begun(connection: Connection, key: WindowKey, reserved: int) -> BudgetStanding:
    used = _in_ledger(connection, key)
    connection.execute(_ADD, _this(key) | {"more_used": used - _UNKNOWN, "more_reserved": 0})
    return BudgetStanding(used, reserved)


def _in_ledger(connection: Connection, key: WindowKey) -> int:
    terms = counted(_of(key))
    amount: ColumnElement[Any] = terms.c.cost
    if key.unit == Unit.TOKENS:
        amount = terms.c.input + terms.c.cached_input + terms.c.cache_write + terms.c.output + terms.c.reasoning
    return int(connection.execute(select(func.sum(amount))).scalar() or 0)


def _of(key: WindowKey) -> UsageFilter:
    """A key that a team shares draws on the team's budgets instead of its user's."""
    subject: dict[str, Any] = {
        Kind.KEY: {"key_id": key.subject_id},
        Kind.USER: {"user_id": key.subject_id, "team_id": ""},
        Kind.TEAM: {"team_id": key.subject_id},
        Kind.GLOBAL: {},
    }[Kind(key.kind)]
    end = Window(key.window).end(datetime.combine(key.period, time(), UTC))
    return UsageFilter(since=key.period, until=None if end is None else end.date() - timedelta(days=1), **subject)


def _this(key: WindowKey) -> dict[str, Any]:
    return {f"this_{name}": value for name, value in key._asdict().items()}

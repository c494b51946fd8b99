"""The sums of the usage ledger, derived by one writer at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from operator import add
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, delete, func, select, update

from adapters.persistence.dialects import Combine, given, insert_or_combine
from adapters.persistence.tables import rollup_watermark, usage_ledger, usage_rollups
from adapters.persistence.transaction import SECONDS, transaction
from adapters.persistence.types import Utc
from adapters.persistence.usage import GROUP, SUMS, TERMS
from domain.ledger import Kind

Group = tuple[Any, ...]
Sums = dict[Group, tuple[int, ...]]
"""The sums of each group, in the orders of GROUP and SUMS."""

_SLICE = 50_000
_LONG = 3600.0
_WATERMARK = select(rollup_watermark.c.ledger_id).where(rollup_watermark.c.id == 1)
_NOW = func.current_timestamp(type_=Utc)
"""The server's clock, which has also set `recorded_at`."""
_THIS_GROUP = and_(*(usage_rollups.c[name] == bindparam(f"old_{name}") for name in GROUP))


@dataclass(frozen=True, slots=True)
class SqlRollups:
    """The port `Rollups`. Whoever locks the row of the watermark writes; SQLite locks the whole file instead.

    The server gives out ids before their rows become visible, so a missing id may still arrive. The watermark waits
    in front of it until the next row is `settled_seconds` old: no transaction that writes to the ledger lives as long.
    """

    engine: Engine
    settled_seconds: float = 2 * SECONDS + 5
    """An id is given out at the latest when a transaction is `SECONDS` old, and is visible so long after that."""
    batch: int = 2_000

    def advance(self) -> int:
        with transaction(self.engine) as connection:
            watermark = connection.execute(_WATERMARK.with_for_update(skip_locked=True)).scalar()
            if watermark is None:
                return 0
            upto, rows = self._settled(connection, watermark)
            if upto > watermark:
                _write(connection, _summed(connection, watermark, upto), add)
                _move(connection, upto)
            return rows

    def rebuild(self) -> int:
        with transaction(self.engine, _LONG) as connection:
            watermark: int = connection.execute(_WATERMARK.with_for_update()).scalar_one()
            right = _summed_in_slices(connection, watermark)
            stored = {row[: len(GROUP)]: row[len(GROUP) :] for row in connection.execute(_stored())}
            differing = {group for group in right.keys() | stored.keys() if right.get(group) != stored.get(group)}
            _write(connection, {group: right[group] for group in differing & right.keys()}, given)
            _forget(connection, differing - right.keys())
            return len(differing)

    def _settled(self, connection: Connection, watermark: int) -> tuple[int, int]:
        """The newest id that the sums may reach, and how many rows that count lie up to it."""
        ledger = usage_ledger.c
        query = select(ledger.id, ledger.kind, ledger.recorded_at, _NOW.label("now")).where(ledger.id > watermark)
        upto, counted = watermark, 0
        for row in connection.execute(query.order_by(ledger.id).limit(self.batch)):
            if row.id > upto + 1 and row.now - row.recorded_at < timedelta(seconds=self.settled_seconds):
                break
            upto, counted = row.id, counted + (row.kind != Kind.ATTEMPT)
        return upto, counted


def _summed(connection: Connection, after: int, upto: int) -> Sums:
    terms = TERMS.where(usage_ledger.c.id > after, usage_ledger.c.id <= upto).subquery()
    group = [terms.c[name] for name in GROUP]
    query = select(*group, *(func.sum(terms.c[name]) for name in SUMS)).group_by(*group)
    rows = connection.execute(query)
    return {row[: len(GROUP)]: tuple(int(number) for number in row[len(GROUP) :]) for row in rows}


def _summed_in_slices(connection: Connection, upto: int) -> Sums:
    """No single statement reads the whole ledger: the server ends those that take too long."""
    total: Sums = {}
    for after in range(0, upto, _SLICE):
        for group, numbers in _summed(connection, after, min(after + _SLICE, upto)).items():
            total[group] = tuple(map(add, total[group], numbers)) if group in total else numbers
    return total


def _stored() -> Any:
    return select(*(usage_rollups.c[name] for name in (*GROUP, *SUMS)))


def _write(connection: Connection, sums: Sums, combine: Combine) -> None:
    if sums:
        rows = [dict(zip((*GROUP, *SUMS), group + numbers, strict=True)) for group, numbers in sums.items()]
        connection.execute(insert_or_combine(connection.dialect.name, usage_rollups, SUMS, combine), rows)


def _forget(connection: Connection, groups: Iterable[Group]) -> None:
    rows = [{f"old_{name}": value for name, value in zip(GROUP, group, strict=True)} for group in groups]
    if rows:
        connection.execute(delete(usage_rollups).where(_THIS_GROUP), rows)


def _move(connection: Connection, watermark: int) -> None:
    connection.execute(update(rollup_watermark).where(rollup_watermark.c.id == 1).values(ledger_id=watermark))

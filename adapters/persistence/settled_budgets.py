"""The budgets of settled generations, in the transaction that stores their ledger rows."""

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, select

from adapters.persistence import budget_windows as windows
from adapters.persistence.admin_tables import budget_holds
from adapters.persistence.budget_windows import WindowKey, key_of
from adapters.persistence.budgets import forget, reserved_in
from adapters.persistence.tables import usage_ledger
from application.records import Settled
from domain.ledger import Kind, LedgerEntry
from domain.limits import BudgetStanding, Unit

_STORED = select(usage_ledger.c.request_id).where(
    usage_ledger.c.request_id.in_(bindparam("ids", expanding=True)), usage_ledger.c.kind == Kind.FINAL.value
)
_ROWS = select(budget_holds).where(budget_holds.c.request_id.in_(bindparam("ids", expanding=True)))


def lock_windows(connection: Connection, records: Iterable[Settled]) -> None:
    """To be called first: those who settle the same record wait for each other here.

    New windows begin with what the ledger has, so the records' own rows must not be stored yet.
    """
    windows.locked(connection, (key_of(hold) for record in records for hold in record.holds))


def settle_budgets(connection: Connection, records: Iterable[Settled]) -> None:
    """To be called between `lock_windows` and the storing of the final rows: a record that has one was counted.

    What a request used counts whether it still holds its reservation or not.
    """
    given = {record.request_id: record for record in reversed(list(records)) if record.holds}
    if not given:
        return
    ids = {"ids": sorted(given)}
    stored = set(connection.execute(_STORED, ids).scalars())
    rows = connection.execute(_ROWS, ids).all()
    used = _used(record for request_id, record in given.items() if request_id not in stored)
    free = reserved_in(row for row in rows if row.state == "held")
    windows.add(connection, {key: BudgetStanding(used[key], -free[key]) for key in used.keys() | free.keys()})
    forget(connection, rows)


def _used(records: Iterable[Settled]) -> Counter[WindowKey]:
    amounts: Counter[WindowKey] = Counter()
    for record in records:
        for hold in record.holds:
            amounts[key_of(hold)] += _amount(record.entries, hold.unit)
    return amounts


def _amount(entries: Sequence[LedgerEntry], unit: Unit) -> int:
    """What has no price is not charged, and counts nothing."""
    final = next((entry for entry in entries if entry.kind is Kind.FINAL), None)
    if final is None:
        return 0
    return final.usage.total_tokens if unit is Unit.TOKENS else final.charged or 0

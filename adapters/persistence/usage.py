"""Reads of the usage ledger and of the sums derived from it."""

from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Subquery, and_, case, func, select, union_all

from adapters.persistence.tables import rollup_watermark, usage_ledger, usage_rollups
from domain.ledger import Kind, LedgerEntry, State, UsageGroup, UsageTotal
from domain.usage import Source, Usage

SUMS = tuple(field.name for field in fields(UsageTotal))
GROUP = ("day", "user_id", "key_id", "model")

_TOKENS = ("input", "cached_input", "cache_write", "output", "reasoning")
_ENTRY = tuple(field.name for field in fields(LedgerEntry) if field.name != "usage")
_FINAL = usage_ledger.c.kind == Kind.FINAL.value

COUNTED = and_(usage_ledger.c.kind != Kind.ATTEMPT.value)
"""Final rows, and the adjustments of them."""

TERMS: Select[Any] = select(
    *(usage_ledger.c[name] for name in ("day", "user_id", "key_id")),
    usage_ledger.c.model_used.label("model"),
    case((_FINAL, 1), else_=0).label("requests"),
    *(usage_ledger.c[name] for name in _TOKENS),
    func.coalesce(usage_ledger.c.charged, 0).label("cost"),
    case((and_(_FINAL, usage_ledger.c.charged.is_(None)), 1), else_=0).label("unpriced"),
).where(COUNTED)
"""What each ledger row adds to the sums of its group."""


@dataclass(frozen=True, slots=True)
class SqlUsageLog:
    """Totals are the rollups and the few ledger rows that are not in them yet, in one statement and so one snapshot."""

    connection: Connection

    def groups(self, user_id: str, since: date) -> list[UsageGroup]:
        terms = _terms_of(user_id, since)
        names = (terms.c.day, terms.c.key_id, terms.c.model)
        query = select(*names, *_sums(terms)).group_by(*names).order_by(*names)
        rows = self.connection.execute(query).mappings()
        return [UsageGroup(row["day"], row["key_id"], row["model"], total_from(row)) for row in rows]

    def lifetime(self, user_id: str) -> UsageTotal:
        query = select(*_sums(_terms_of(user_id, date.min)))
        return total_from(self.connection.execute(query).mappings().one())

    def records(self, user_id: str, limit: int, before: str | None) -> list[LedgerEntry]:
        query = select(usage_ledger).where(usage_ledger.c.user_id == user_id, _FINAL)
        if before is not None:
            query = query.where(usage_ledger.c.request_id < before)
        newest = query.order_by(usage_ledger.c.request_id.desc()).limit(limit)
        return [entry_from(row) for row in self.connection.execute(newest).mappings()]


def total_from(row: RowMapping) -> UsageTotal:
    """Servers sum up integers to decimals, and nothing to NULL."""
    return UsageTotal(**{name: int(row[name] or 0) for name in SUMS})


def entry_from(row: RowMapping) -> LedgerEntry:
    usage = Usage(**{name: row[name] for name in _TOKENS}, source=Source(row["source"]))
    plain = {name: row[name] for name in _ENTRY}
    return LedgerEntry(**{**plain, "kind": Kind(row["kind"]), "state": State(row["state"]), "usage": usage})


def row_from(entry: LedgerEntry) -> dict[str, Any]:
    usage = entry.usage
    row = {name: getattr(entry, name) for name in _ENTRY}
    row |= {name: getattr(usage, name) for name in _TOKENS}
    row |= {"source": usage.source.value, "kind": entry.kind.value, "state": entry.state.value}
    return row


def _terms_of(user_id: str, since: date) -> Subquery:
    summed = select(*(usage_rollups.c[name] for name in (*GROUP, *SUMS))).where(
        usage_rollups.c.user_id == user_id, usage_rollups.c.day >= since
    )
    watermark = select(rollup_watermark.c.ledger_id).scalar_subquery()
    rest = TERMS.where(usage_ledger.c.id > watermark, usage_ledger.c.user_id == user_id, usage_ledger.c.day >= since)
    return union_all(summed, rest).subquery()


def _sums(terms: Subquery) -> list[Any]:
    return [func.sum(terms.c[name]).label(name) for name in SUMS]

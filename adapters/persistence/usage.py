"""Reads of the usage ledger and of the sums derived from it."""

from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Subquery, and_, case, func, select, union_all

from adapters.persistence.tables import api_keys, rollup_watermark, usage_ledger, usage_rollups
from application.store import GroupBy, UsageFilter
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
        terms = counted(UsageFilter(user_id=user_id, since=since))
        names = (terms.c.day, terms.c.key_id, terms.c.model)
        query = select(*names, *_sums(terms)).group_by(*names).order_by(*names)
        rows = self.connection.execute(query).mappings()
        return [UsageGroup(row["day"], row["key_id"], row["model"], total_from(row)) for row in rows]

    def lifetime(self, user_id: str) -> UsageTotal:
        query = select(*_sums(counted(UsageFilter(user_id=user_id))))
        return total_from(self.connection.execute(query).mappings().one())

    def records(self, user_id: str, limit: int, before: str | None) -> list[LedgerEntry]:
        return self.search(UsageFilter(user_id=user_id), limit, before)

    def totals(self, wanted: UsageFilter, by: GroupBy) -> list[tuple[str, UsageTotal]]:
        rows = self.connection.execute(_grouped(counted(wanted), by)).mappings()
        found = [(str(row["name"]), total_from(row)) for row in rows]
        if by is GroupBy.DAY:
            return sorted(found, key=lambda it: it[0])
        return sorted(found, key=lambda it: (-it[1].cost, it[0]))

    def search(self, wanted: UsageFilter, limit: int, before: str | None) -> list[LedgerEntry]:
        query = select(usage_ledger).where(_FINAL, *_conditions(wanted, **_LEDGER))
        if wanted.state is not None:
            query = query.where(usage_ledger.c.state == wanted.state)
        if before is not None:
            query = query.where(usage_ledger.c.request_id < before)
        newest = query.order_by(usage_ledger.c.request_id.desc()).limit(limit)
        return [entry_from(row) for row in self.connection.execute(newest).mappings()]


def total_from(row: RowMapping) -> UsageTotal:
    """Servers sum up integers to decimals, and nothing to NULL."""
    return UsageTotal(**{name: int(row[name] or 0) for name in SUMS})


def entry_from(row: RowMapping) -> LedgerEntry:
    usage = Usage(**{name: row[name] for name in (*_TOKENS, "images")}, source=Source(row["source"]))
    plain = {name: row[name] for name in _ENTRY}
    return LedgerEntry(**{**plain, "kind": Kind(row["kind"]), "state": State(row["state"]), "usage": usage})


def row_from(entry: LedgerEntry) -> dict[str, Any]:
    usage = entry.usage
    row = {name: getattr(entry, name) for name in _ENTRY}
    row |= {name: getattr(usage, name) for name in (*_TOKENS, "images")}
    row |= {"source": usage.source.value, "kind": entry.kind.value, "state": entry.state.value}
    return row


def counted(wanted: UsageFilter) -> Subquery:
    """One row or more for each group that `wanted` finds: the rollups, and what is not in them yet."""
    stored = {name: usage_rollups.c[name] for name in GROUP}
    summed = select(*(usage_rollups.c[name] for name in (*GROUP, *SUMS))).where(*_conditions(wanted, **stored))
    watermark = select(rollup_watermark.c.ledger_id).scalar_subquery()
    rest = TERMS.where(usage_ledger.c.id > watermark, *_conditions(wanted, **_TAIL))
    return union_all(summed, rest).subquery()


_LEDGER: dict[str, ColumnElement[Any]] = {
    "day": usage_ledger.c.day,
    "user_id": usage_ledger.c.user_id,
    "key_id": usage_ledger.c.key_id,
    "model": usage_ledger.c.model_used,
}

_TAIL = _LEDGER | {name: _LEDGER[name].concat("") for name in ("user_id", "key_id")}
"""No index fits an expression, so what is not in the rollups is found by its ids, which are few. The planners cannot
know where the watermark is, and would rather read the whole history of a user or key by its index."""


def _conditions(
    wanted: UsageFilter,
    day: ColumnElement[Any],
    user_id: ColumnElement[Any],
    key_id: ColumnElement[Any],
    model: ColumnElement[Any],
) -> list[ColumnElement[bool]]:
    given = (
        (wanted.user_id, lambda it: user_id == it),
        (wanted.team_id, lambda it: _of_team(key_id, it)),
        (wanted.key_id, lambda it: key_id == it),
        (wanted.model, lambda it: model == it),
        (wanted.since, lambda it: day >= it),
        (wanted.until, lambda it: day <= it),
    )
    return [condition(value) for value, condition in given if value is not None]


def _of_team(key_id: ColumnElement[Any], team_id: str) -> ColumnElement[bool]:
    """The empty text stands for no team."""
    keys = select(api_keys.c.id)
    if team_id:
        return key_id.in_(keys.where(api_keys.c.team_id == team_id))
    return key_id.not_in(keys.where(api_keys.c.team_id.is_not(None)))


def _grouped(terms: Subquery, by: GroupBy) -> Select[Any]:
    names = {GroupBy.DAY: "day", GroupBy.USER: "user_id", GroupBy.MODEL: "model"}
    name = terms.c[names.get(by, "key_id")]
    grouped = select(name.label("name"), *_sums(terms)).group_by(name)
    if by is not GroupBy.TEAM:
        return grouped
    per_key = grouped.subquery()
    team = func.coalesce(api_keys.c.team_id, "")
    joined = per_key.outerjoin(api_keys, api_keys.c.id == per_key.c.name)
    return select(team.label("name"), *_sums(per_key)).select_from(joined).group_by(team)


def _sums(terms: Subquery) -> list[Any]:
    return [func.sum(terms.c[name]).label(name) for name in SUMS]

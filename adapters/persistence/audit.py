"""The audit log in SQL; rows are only ever added."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, insert, or_, select

from adapters.persistence.admin_tables import audit_log as table
from domain.audit import Actor, AuditEntry

_ACTOR = ("user_id", "key_id", "ip", "request_id")
_ENTRY = ("id", "at", "action", "object_id")


@dataclass(frozen=True, slots=True)
class SqlAuditLog:
    connection: Connection

    def add(self, entry: AuditEntry) -> None:
        row = {name: getattr(entry, name) for name in _ENTRY} | {name: getattr(entry.actor, name) for name in _ACTOR}
        row |= {"before": _text(entry.before), "after": _text(entry.after)}
        self.connection.execute(insert(table).values(row))

    def page(
        self, limit: int, before: str | None, *, action: str | None = None, user_id: str | None = None
    ) -> list[AuditEntry]:
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(table.c.id < before)
        if action is not None:
            query = query.where(_within(action))
        if user_id is not None:
            query = query.where(table.c.user_id == user_id)
        return [_entry(row) for row in self.connection.execute(query).mappings()]


def _within(action: str) -> ColumnElement[bool]:
    """`/` comes after the full stop. Text is compared by bytes, so no character of `action` has a special meaning."""
    return or_(table.c.action == action, and_(table.c.action > f"{action}.", table.c.action < f"{action}/"))


def _entry(row: RowMapping) -> AuditEntry:
    return AuditEntry(
        **{name: row[name] for name in _ENTRY},
        actor=Actor(**{name: row[name] for name in _ACTOR}),
        before=orjson.loads(row["before"]),
        after=orjson.loads(row["after"]),
    )


def _text(fields: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(fields), option=orjson.OPT_SORT_KEYS).decode()

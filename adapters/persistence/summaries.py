"""Summaries of chat sessions in SQL."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, select, update

from adapters.persistence.dialects import insert_or_replace
from adapters.persistence.tables import session_summaries, sessions
from domain.session import Summary

_ONE = select(session_summaries).where(session_summaries.c.session_id == bindparam("session_id"))
_CHANGED = ("seq", "messages", "text", "created_at")
_HOLD = (
    update(sessions)
    .where(sessions.c.id == bindparam("session"), sessions.c.deleted_at.is_(None))
    .values(message_count=sessions.c.message_count)
)
"""Changes nothing, and keeps the session from being deleted until the unit is over."""


@dataclass(frozen=True, slots=True)
class SqlSummaries:
    connection: Connection

    def get(self, session_id: str) -> Summary | None:
        row = self.connection.execute(_ONE, {"session_id": session_id}).mappings().first()
        return None if row is None else Summary(**row)

    def put(self, summary: Summary) -> None:
        if not self.connection.execute(_HOLD, {"session": summary.session_id}).rowcount:
            return
        known = self.get(summary.session_id)
        if known is None or known.seq < summary.seq:
            statement = insert_or_replace(self.connection.dialect.name, session_summaries, _CHANGED)
            self.connection.execute(statement, asdict(summary))

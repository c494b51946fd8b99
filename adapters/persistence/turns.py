"""The turn lock of a session, two columns of its row; `SqlApply` releases it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, or_, select, update

from adapters.persistence.tables import sessions

_FREE = or_(sessions.c.active_request_id.is_(None), sessions.c.active_since < bindparam("stale_before"))
_TAKE = (
    update(sessions)
    .where(sessions.c.id == bindparam("session_id"), sessions.c.deleted_at.is_(None), _FREE)
    .values(active_request_id=bindparam("request_id"), active_since=bindparam("now"))
)
_ACTIVE = select(sessions.c.id).where(
    sessions.c.active_request_id == bindparam("request_id"), sessions.c.user_id == bindparam("owner_id")
)


@dataclass(frozen=True, slots=True)
class SqlTurns:
    connection: Connection

    def take(self, session_id: str, request_id: str, now: datetime, stale_before: datetime) -> bool:
        values = {"session_id": session_id, "request_id": request_id, "now": now, "stale_before": stale_before}
        # `rowcount` counts the rows that the condition found on every driver, whether or not a value changed.
        return self.connection.execute(_TAKE, values).rowcount == 1

    def session_of(self, request_id: str, user_id: str) -> str | None:
        found: str | None = self.connection.execute(_ACTIVE, {"request_id": request_id, "owner_id": user_id}).scalar()
        return found

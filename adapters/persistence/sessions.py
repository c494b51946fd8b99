"""Chat sessions in SQL."""

from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update

from adapters.persistence.tables import session_summaries, sessions
from domain.errors import NotFound
from domain.session import Session, SessionConfig, Strategy

_FIELDS = tuple(name for column in sessions.c if (name := column.name) not in ("active_since", "deleted_at"))
_SAVED = ("title", "provider", "model", "updated_at")
_LIVE = select(*(sessions.c[name] for name in _FIELDS)).where(sessions.c.deleted_at.is_(None))
_ONE = _LIVE.where(sessions.c.id == bindparam("session_id"), sessions.c.user_id == bindparam("user_id"))


@dataclass(frozen=True, slots=True)
class SqlSessions:
    connection: Connection

    def add(self, session: Session) -> None:
        row = {name: getattr(session, name) for name in _FIELDS} | {"config": _text(session.config)}
        self.connection.execute(insert(sessions).values(row))

    def get(self, session_id: str, user_id: str) -> Session:
        row = self.connection.execute(_ONE, {"session_id": session_id, "user_id": user_id}).mappings().first()
        if row is None:
            raise NotFound
        return _session(row)

    def page(self, user_id: str, limit: int, before: str | None) -> list[Session]:
        query = _LIVE.where(sessions.c.user_id == user_id).order_by(sessions.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(sessions.c.id < before)
        return [_session(row) for row in self.connection.execute(query).mappings()]

    def save(self, session: Session) -> None:
        row = {name: getattr(session, name) for name in _SAVED} | {"config": _text(session.config)}
        self.connection.execute(update(sessions).where(sessions.c.id == session.id).values(row))

    def delete(self, session_id: str, at: datetime) -> None:
        live = (sessions.c.id == session_id) & sessions.c.deleted_at.is_(None)
        self.connection.execute(update(sessions).where(live).values(deleted_at=at))
        self.connection.execute(delete(session_summaries).where(session_summaries.c.session_id == session_id))


def _text(config: SessionConfig) -> str:
    return orjson.dumps(config).decode()


def _session(row: RowMapping) -> Session:
    config = orjson.loads(row["config"])
    strategy = Strategy(config.get("context", Strategy.SLIDING))
    return Session(**{**row, "config": SessionConfig(**{**config, "context": strategy})})

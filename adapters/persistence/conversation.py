"""The part of a settled generation that belongs to a chat session."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from adapters.persistence.tables import messages, sessions
from application.records import Settled, Turn
from domain.ledger import Kind, LedgerEntry
from domain.session import MessageState

_CHANGED = ("message_count", "updated_at", "title", "active_request_id", "active_since", "conversation")
_LOCK = (
    select(*(sessions.c[name] for name in ("id", "deleted_at", *_CHANGED)))
    .where(sessions.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(sessions.c.id)
    .with_for_update()
)
_STORED = (
    select(messages.c.request_id)
    .where(messages.c.request_id.in_(bindparam("ids", expanding=True)))
    .where(messages.c.role == "user")
)
_SAVE = update(sessions).where(sessions.c.id == bindparam("key"))


def store_turns(connection: Connection, records: Sequence[Settled]) -> None:
    """`records` all have a turn. Sessions are locked in the order of their ids, so that two writers never cross."""
    open_sessions = _lock(connection, {turn.session_id for turn, _ in _turns(records)})
    if not open_sessions:
        return
    stored = _stored(connection, [record.request_id for record in records])
    rows: list[dict[str, Any]] = []
    for turn, record in _turns(records):
        session = open_sessions.get(turn.session_id)
        if session is None:
            continue
        if session.wants(record) and record.request_id not in stored:
            stored.add(record.request_id)
            rows += session.add(turn, record)
        session.release(record.request_id)
    if rows:
        connection.execute(insert(messages), rows)
    changes = [session.row() for session in open_sessions.values() if session.changed]
    if changes:
        connection.execute(_SAVE, changes)


@dataclass(slots=True)
class _OpenSession:
    """A locked session row, and what this transaction makes of it."""

    id: str
    deleted_at: datetime | None
    message_count: int
    updated_at: datetime
    title: str
    active_request_id: str | None
    active_since: datetime | None
    conversation: str
    changed: bool = False

    def wants(self, record: Settled) -> bool:
        """A deleted session gets no text back, and a turn without an answer has none."""
        return bool(record.answer) and self.deleted_at is None

    def add(self, turn: Turn, record: Settled) -> list[dict[str, Any]]:
        self.changed = True
        final = next(entry for entry in record.entries if entry.kind is Kind.FINAL)
        ended_at = record.ended_at or final.started_at
        asked, answered = self.message_count + 1, self.message_count + 2
        self.message_count = answered
        self.updated_at = max(self.updated_at, ended_at)
        self.title = self.title or turn.title or ""
        self.conversation = record.conversation
        return [
            _question(turn, final, asked),
            _answer(turn, record, final, answered) | {"created_at": ended_at},
        ]

    def release(self, request_id: str) -> None:
        if self.active_request_id == request_id:
            self.active_request_id, self.active_since, self.changed = None, None, True

    def row(self) -> dict[str, Any]:
        return {"key": self.id} | {name: getattr(self, name) for name in _CHANGED}


def _turns(records: Iterable[Settled]) -> Iterator[tuple[Turn, Settled]]:
    return ((record.turn, record) for record in records if record.turn is not None)


def _lock(connection: Connection, ids: set[str]) -> dict[str, _OpenSession]:
    rows: Iterable[Row[Any]] = connection.execute(_LOCK, {"ids": sorted(ids)}) if ids else ()
    return {row.id: _OpenSession(**row._mapping) for row in rows}  # noqa: SLF001 # public, named so beside the columns


def _stored(connection: Connection, request_ids: list[str]) -> set[str]:
    """Asked after the sessions are locked: whoever stored one of these turns before has committed."""
    return set(connection.execute(_STORED, {"ids": request_ids}).scalars())


def _question(turn: Turn, final: LedgerEntry, seq: int) -> dict[str, Any]:
    return {
        "id": turn.question_id,
        "session_id": turn.session_id,
        "seq": seq,
        "role": "user",
        "content": turn.question,
        "created_at": final.started_at,
        "state": MessageState.COMPLETE.value,
        "request_id": final.request_id,
        "model": None,
        "finish_reason": None,
    }


def _answer(turn: Turn, record: Settled, final: LedgerEntry, seq: int) -> dict[str, Any]:
    state = MessageState.COMPLETE if record.complete else MessageState.INCOMPLETE
    return {
        "id": turn.answer_id,
        "session_id": turn.session_id,
        "seq": seq,
        "role": "assistant",
        "content": record.answer,
        "state": state.value,
        "request_id": final.request_id,
        "model": final.model_used,
        "finish_reason": record.finish_reason,
    }

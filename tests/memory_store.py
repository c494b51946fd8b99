"""The storage ports in memory: what a database does for the services, without the database."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import groupby

from application.records import Settled, Turn
from domain.api_key import ApiKey
from domain.errors import Conflict, NotFound, ParleyError
from domain.ledger import Kind, LedgerEntry, UsageGroup, UsageTotal
from domain.session import Message, MessageState, Session
from domain.user import User

LedgerId = tuple[str, int, Kind]


@dataclass(slots=True)
class Rows:
    """Everything that is stored. All values are immutable, so a shallow copy is a snapshot."""

    users: dict[str, User] = field(default_factory=dict)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    deleted: dict[str, datetime] = field(default_factory=dict)
    locked_at: dict[str, datetime] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    ledger: dict[LedgerId, LedgerEntry] = field(default_factory=dict)

    def copy(self) -> "Rows":
        return Rows(**{name: dict(getattr(self, name)) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class MemoryUsers:
    rows: Rows

    def add(self, user: User) -> None:
        if self.by_email(user.email) is not None:
            raise Conflict("This e-mail address is taken.", param="email")
        self.rows.users[user.id] = replace(user, created_at=user.created_at.astimezone(UTC))

    def get(self, user_id: str) -> User | None:
        return self.rows.users.get(user_id)

    def by_email(self, email: str) -> User | None:
        return next((user for user in self.rows.users.values() if user.email == email), None)

    def any(self) -> bool:
        return bool(self.rows.users)


@dataclass(frozen=True, slots=True)
class MemoryKeys:
    rows: Rows

    def add(self, key: ApiKey) -> None:
        self.rows.keys[key.id] = key

    def by_kid(self, kid: str) -> tuple[ApiKey, User] | None:
        key = next((key for key in self.rows.keys.values() if key.kid == kid), None)
        return None if key is None else (key, self.rows.users[key.user_id])

    def of_user(self, user_id: str | None) -> list[ApiKey]:
        mine = [key for key in self.rows.keys.values() if user_id in (None, key.user_id)]
        return sorted(mine, key=lambda key: key.id, reverse=True)

    def revoke(self, key_id: str, at: datetime) -> bool:
        key = self.rows.keys.get(key_id)
        if key is None:
            return False
        self.rows.keys[key_id] = replace(key, revoked_at=key.revoked_at or at)
        return True


@dataclass(frozen=True, slots=True)
class MemorySessions:
    rows: Rows

    def add(self, session: Session) -> None:
        self.rows.sessions[session.id] = session

    def get(self, session_id: str, user_id: str) -> Session:
        session = self.rows.sessions.get(session_id)
        if session is None or session.user_id != user_id or session_id in self.rows.deleted:
            raise NotFound
        return session

    def page(self, user_id: str, limit: int, before: str | None) -> list[Session]:
        mine = [
            session
            for session in self.rows.sessions.values()
            if session.user_id == user_id
            and session.id not in self.rows.deleted
            and (before is None or session.id < before)
        ]
        return sorted(mine, key=lambda session: session.id, reverse=True)[:limit]

    def save(self, session: Session) -> None:
        self.rows.sessions[session.id] = replace(
            self.rows.sessions[session.id],
            title=session.title,
            provider=session.provider,
            model=session.model,
            config=session.config,
            updated_at=session.updated_at,
        )

    def delete(self, session_id: str, at: datetime) -> None:
        self.rows.deleted.setdefault(session_id, at)


@dataclass(frozen=True, slots=True)
class MemoryMessages:
    rows: Rows

    def window(self, session_id: str, limit: int) -> list[Message]:
        return self._of(session_id)[-limit:] if limit else []

    def page(self, session_id: str, limit: int, after: int) -> list[Message]:
        return [message for message in self._of(session_id) if message.seq > after][:limit]

    def _of(self, session_id: str) -> list[Message]:
        mine = (message for message in self.rows.messages.values() if message.session_id == session_id)
        return sorted(mine, key=lambda message: message.seq)


@dataclass(frozen=True, slots=True)
class MemoryTurns:
    rows: Rows

    def take(self, session_id: str, request_id: str, now: datetime, stale_before: datetime) -> bool:
        session = self.rows.sessions.get(session_id)
        if session is None:
            return False
        if session.active_request_id is not None and self.rows.locked_at[session_id] >= stale_before:
            return False
        self.rows.sessions[session_id] = replace(session, active_request_id=request_id)
        self.rows.locked_at[session_id] = now
        return True

    def release(self, session_id: str, request_id: str) -> None:
        session = self.rows.sessions.get(session_id)
        if session is not None and session.active_request_id == request_id:
            self.rows.sessions[session_id] = replace(session, active_request_id=None)

    def session_of(self, request_id: str, user_id: str) -> str | None:
        mine = (session for session in self.rows.sessions.values() if session.user_id == user_id)
        return next((session.id for session in mine if session.active_request_id == request_id), None)


@dataclass(frozen=True, slots=True)
class MemoryUsageLog:
    """Sums on the spot what the database keeps as rollups."""

    rows: Rows

    def groups(self, user_id: str, since: date) -> list[UsageGroup]:
        mine = [entry for entry in self._counted(user_id) if entry.started_at.date() >= since]
        mine.sort(key=_group)
        return [UsageGroup(*key, _total(list(entries))) for key, entries in groupby(mine, _group)]

    def lifetime(self, user_id: str) -> UsageTotal:
        return _total(self._counted(user_id))

    def records(self, user_id: str, limit: int, before: str | None) -> list[LedgerEntry]:
        mine = [
            entry
            for entry in self._counted(user_id)
            if entry.kind is Kind.FINAL and (before is None or entry.request_id < before)
        ]
        return sorted(mine, key=lambda entry: entry.request_id, reverse=True)[:limit]

    def _counted(self, user_id: str) -> list[LedgerEntry]:
        return [
            entry for entry in self.rows.ledger.values() if entry.user_id == user_id and entry.kind is not Kind.ATTEMPT
        ]


@dataclass(frozen=True, slots=True)
class MemoryUnitOfWork:
    users: MemoryUsers
    keys: MemoryKeys
    sessions: MemorySessions
    messages: MemoryMessages
    turns: MemoryTurns
    usage: MemoryUsageLog


class MemoryBegin:
    """A `Begin` that works. `open` is the number of transactions that are open now, `begun` of all there ever were.

    Set `down` to an error and every further transaction raises it.
    """

    def __init__(self) -> None:
        self.rows = Rows()
        self.open = 0
        self.begun = 0
        self.down: ParleyError | None = None

    @contextmanager
    def __call__(self) -> Iterator[MemoryUnitOfWork]:
        if self.down is not None:
            raise self.down
        self.open += 1
        self.begun += 1
        before = self.rows
        self.rows = before.copy()
        try:
            yield _work(self.rows)
        except BaseException:
            self.rows = before
            raise
        finally:
            self.open -= 1

    def apply(self, records: Sequence[Settled]) -> None:
        """The port `Apply`: each record takes effect once, however often it is given."""
        with self() as work:
            for record in records:
                for entry in record.entries:
                    self.rows.ledger.setdefault((entry.request_id, entry.attempt, entry.kind), entry)
                if record.turn is not None:
                    _store_messages(self.rows, record, record.turn)
                    work.turns.release(record.turn.session_id, record.request_id)


def _work(rows: Rows) -> MemoryUnitOfWork:
    return MemoryUnitOfWork(
        MemoryUsers(rows),
        MemoryKeys(rows),
        MemorySessions(rows),
        MemoryMessages(rows),
        MemoryTurns(rows),
        MemoryUsageLog(rows),
    )


def _store_messages(rows: Rows, record: Settled, turn: Turn) -> None:
    session = rows.sessions.get(turn.session_id)
    if session is None or session.id in rows.deleted or not record.answer or turn.answer_id in rows.messages:
        return
    at = max(record.ended_at or session.updated_at, session.updated_at)
    count = session.message_count
    state = MessageState.COMPLETE if record.complete else MessageState.INCOMPLETE
    model = next((entry.model_used for entry in record.entries if entry.kind is Kind.FINAL), session.model)
    rows.messages[turn.question_id] = Message(
        turn.question_id, session.id, count + 1, "user", _storable(turn.question), at, request_id=record.request_id
    )
    rows.messages[turn.answer_id] = Message(
        turn.answer_id,
        session.id,
        count + 2,
        "assistant",
        _storable(record.answer),
        at,
        state,
        record.request_id,
        model,
        record.finish_reason,
    )
    title = turn.title if turn.title and not session.title else session.title
    rows.sessions[session.id] = replace(session, message_count=count + 2, title=title, updated_at=at)


def _storable(text: str) -> str:
    """No database takes a NUL or half of a surrogate pair."""
    return re.sub("[\0\ud800-\udfff]", "�", text)


def _group(entry: LedgerEntry) -> tuple[date, str, str]:
    return (entry.started_at.date(), entry.key_id, entry.model_used)


def _total(entries: Sequence[LedgerEntry]) -> UsageTotal:
    finals = [entry for entry in entries if entry.kind is Kind.FINAL]
    return UsageTotal(
        requests=len(finals),
        input=sum(entry.usage.input for entry in entries),
        cached_input=sum(entry.usage.cached_input for entry in entries),
        cache_write=sum(entry.usage.cache_write for entry in entries),
        output=sum(entry.usage.output for entry in entries),
        reasoning=sum(entry.usage.reasoning for entry in entries),
        cost=sum(entry.charged or 0 for entry in entries),
        unpriced=sum(1 for entry in finals if entry.charged is None),
    )

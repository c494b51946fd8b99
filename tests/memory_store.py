"""The storage ports in memory: what a database does for the services, without the database."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from itertools import groupby

from application.records import Settled, Turn
from application.store import GroupBy, UsageFilter
from domain.errors import NotFound, ParleyError
from domain.ledger import Kind, LedgerEntry, UsageGroup, UsageTotal
from domain.session import Message, MessageState, Session, Summary
from tests.memory_accounts import (
    MemoryFactors,
    MemoryIdentities,
    MemoryKeys,
    MemoryLogins,
    MemoryOutbox,
    MemoryTeams,
    MemoryThrottles,
    MemoryTokens,
    MemoryUsers,
)
from tests.memory_admin import (
    MemoryAudit,
    MemoryBudgets,
    MemoryCredentials,
    MemoryLimits,
    MemoryPrices,
    MemoryWorkers,
)
from tests.memory_files import MemoryFiles, MemoryImageJobs
from tests.memory_idempotency import MemoryIdempotency
from tests.rows import Rows


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
        self.rows.summaries.pop(session_id, None)


@dataclass(frozen=True, slots=True)
class MemorySummaries:
    rows: Rows

    def get(self, session_id: str) -> Summary | None:
        return self.rows.summaries.get(session_id)

    def put(self, summary: Summary) -> None:
        known = self.rows.summaries.get(summary.session_id)
        gone = summary.session_id not in self.rows.sessions or summary.session_id in self.rows.deleted
        if not gone and (known is None or known.seq < summary.seq):
            self.rows.summaries[summary.session_id] = summary


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

    def totals(self, wanted: UsageFilter, by: GroupBy) -> list[tuple[str, UsageTotal]]:
        found = [entry for entry in self.rows.ledger.values() if entry.kind is not Kind.ATTEMPT]
        found = [entry for entry in found if self._fits(entry, replace(wanted, state=None))]
        found.sort(key=lambda entry: self._group(entry, by))
        grouped = groupby(found, lambda entry: self._group(entry, by))
        sums = [(key, _total(list(entries))) for key, entries in grouped]
        return sums if by is GroupBy.DAY else sorted(sums, key=lambda it: (-it[1].cost, it[0]))

    def search(self, wanted: UsageFilter, limit: int, before: str | None) -> list[LedgerEntry]:
        found = [
            entry
            for entry in self.rows.ledger.values()
            if entry.kind is Kind.FINAL and self._fits(entry, wanted) and (before is None or entry.request_id < before)
        ]
        return sorted(found, key=lambda entry: entry.request_id, reverse=True)[:limit]

    def _counted(self, user_id: str) -> list[LedgerEntry]:
        return [
            entry for entry in self.rows.ledger.values() if entry.user_id == user_id and entry.kind is not Kind.ATTEMPT
        ]

    def _team(self, entry: LedgerEntry) -> str:
        key = self.rows.keys.get(entry.key_id)
        return (key.team_id if key else None) or ""

    def _group(self, entry: LedgerEntry, by: GroupBy) -> str:
        return {
            GroupBy.DAY: entry.started_at.date().isoformat(),
            GroupBy.USER: entry.user_id,
            GroupBy.TEAM: self._team(entry),
            GroupBy.MODEL: entry.model_used,
            GroupBy.KEY: entry.key_id,
        }[by]

    def _fits(self, entry: LedgerEntry, wanted: UsageFilter) -> bool:
        day = entry.started_at.date()
        return (
            wanted.user_id in (None, entry.user_id)
            and wanted.team_id in (None, self._team(entry))
            and wanted.key_id in (None, entry.key_id)
            and wanted.model in (None, entry.model_used)
            and wanted.state in (None, entry.state.value)
            and (wanted.since is None or day >= wanted.since)
            and (wanted.until is None or day <= wanted.until)
        )


@dataclass(frozen=True, slots=True)
class MemoryUnitOfWork:
    users: MemoryUsers
    keys: MemoryKeys
    logins: MemoryLogins
    tokens: MemoryTokens
    factors: MemoryFactors
    identities: MemoryIdentities
    throttles: MemoryThrottles
    outbox: MemoryOutbox
    teams: MemoryTeams
    limits: MemoryLimits
    budgets: MemoryBudgets
    credentials: MemoryCredentials
    prices: MemoryPrices
    audit: MemoryAudit
    workers: MemoryWorkers
    idempotency: MemoryIdempotency
    files: MemoryFiles
    image_jobs: MemoryImageJobs
    sessions: MemorySessions
    messages: MemoryMessages
    summaries: MemorySummaries
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
            work.budgets.meet(records)
            for record in records:
                work.budgets.settle(record)
                for entry in record.entries:
                    self.rows.ledger.setdefault((entry.request_id, entry.attempt, entry.kind), entry)
                if record.turn is not None:
                    _store_messages(self.rows, record, record.turn)
                    _release(self.rows, record.turn.session_id, record.request_id)


def _work(rows: Rows) -> MemoryUnitOfWork:
    return MemoryUnitOfWork(**{field.name: field.type(rows) for field in fields(MemoryUnitOfWork)})


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
    rows.sessions[session.id] = replace(
        session, message_count=count + 2, title=title, updated_at=at, conversation=record.conversation
    )


def _release(rows: Rows, session_id: str, request_id: str) -> None:
    session = rows.sessions.get(session_id)
    if session is not None and session.active_request_id == request_id:
        rows.sessions[session_id] = replace(session, active_request_id=None)


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

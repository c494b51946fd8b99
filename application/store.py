"""What the application asks of storage: repositories, and the unit of work that holds them together."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from application.account_store import (
    Identities,
    Keys,
    Logins,
    OneTimeTokens,
    Outbox,
    SecondFactors,
    Teams,
    Throttles,
    Users,
)
from application.admin_store import AuditLog, Budgets, Credentials, LimitBook, PriceChanges, WorkerStates
from application.file_store import Files, ImageJobs
from application.idempotency_store import Idempotency
from application.records import Settled
from domain.ledger import LedgerEntry, UsageGroup, UsageTotal
from domain.session import Message, Session, Summary


class Sessions(Protocol):
    """Every look-up takes the owner's id: other people's sessions do not exist."""

    def add(self, session: Session) -> None: ...

    def get(self, session_id: str, user_id: str) -> Session:
        """Raises NotFound, for deleted sessions as well."""
        ...

    def page(self, user_id: str, limit: int, before: str | None) -> list[Session]:
        """Newest first by id; `before` is the last id of the previous page."""
        ...

    def save(self, session: Session) -> None:
        """Stores title, provider, model, config and `updated_at`."""
        ...

    def delete(self, session_id: str, at: datetime) -> None:
        """Hides the session and its messages; the ledger keeps its rows."""
        ...


class Messages(Protocol):
    """The messages of a session whose ownership was checked by `Sessions.get`."""

    def window(self, session_id: str, limit: int) -> list[Message]:
        """The newest `limit` messages, oldest first."""
        ...

    def page(self, session_id: str, limit: int, after: int) -> list[Message]:
        """Messages with `seq` > `after`, oldest first."""
        ...


class Summaries(Protocol):
    """What stands for the older messages of a session whose ownership was checked; deleted with the session."""

    def get(self, session_id: str) -> Summary | None: ...

    def put(self, summary: Summary) -> None:
        """In place of one that ends before it. Nothing for a session that is gone: nobody could delete it later."""
        ...


class Turns(Protocol):
    """The turn lock of a session: one send at a time."""

    def take(self, session_id: str, request_id: str, now: datetime, stale_before: datetime) -> bool:
        """False when another turn, younger than `stale_before`, holds the lock. One conditional UPDATE."""
        ...

    def session_of(self, request_id: str, user_id: str) -> str | None:
        """The session that `request_id` is answering right now."""
        ...


class GroupBy(StrEnum):
    DAY = "day"
    USER = "user"
    TEAM = "team"
    MODEL = "model"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """None does not filter. Days are UTC, `until` is the last day that counts."""

    user_id: str | None = None
    team_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    state: str | None = None
    since: date | None = None
    until: date | None = None


class UsageLog(Protocol):
    """Reads of the ledger and of what is derived from it."""

    def groups(self, user_id: str, since: date) -> list[UsageGroup]:
        """Rollups of one user from `since` on, oldest day first."""
        ...

    def lifetime(self, user_id: str) -> UsageTotal: ...

    def records(self, user_id: str, limit: int, before: str | None) -> list[LedgerEntry]:
        """Final rows, newest first by request id; `before` is the last request id of the previous page."""
        ...

    def totals(self, wanted: UsageFilter, by: GroupBy) -> list[tuple[str, UsageTotal]]:
        """Everybody's, from the rollups and the tail of the ledger.

        Days ascending as ISO dates, else most costly first; the use of keys without a team is under the empty text.
        `state` is not looked at.
        """
        ...

    def search(self, wanted: UsageFilter, limit: int, before: str | None) -> list[LedgerEntry]:
        """Everybody's final rows, in the order of `records`."""
        ...


class UnitOfWork(Protocol):
    @property
    def logins(self) -> Logins: ...
    @property
    def tokens(self) -> OneTimeTokens: ...
    @property
    def factors(self) -> SecondFactors: ...
    @property
    def identities(self) -> Identities: ...
    @property
    def throttles(self) -> Throttles: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def teams(self) -> Teams: ...
    @property
    def limits(self) -> LimitBook: ...
    @property
    def budgets(self) -> Budgets: ...
    @property
    def credentials(self) -> Credentials: ...
    @property
    def prices(self) -> PriceChanges: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def workers(self) -> WorkerStates: ...
    @property
    def idempotency(self) -> Idempotency: ...
    @property
    def files(self) -> Files: ...
    @property
    def image_jobs(self) -> ImageJobs: ...
    @property
    def users(self) -> Users: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def messages(self) -> Messages: ...
    @property
    def summaries(self) -> Summaries: ...
    @property
    def turns(self) -> Turns: ...
    @property
    def usage(self) -> UsageLog: ...


Begin = Callable[[], AbstractContextManager[UnitOfWork]]
"""Commits on exit, rolls back on error. Raises DatabaseUnavailable or DatabaseBusy. Never open during a model call."""

Apply = Callable[[Sequence[Settled]], None]
"""Store settled generations in one transaction, each exactly once however often it is given: ledger rows, messages,
released turn locks, settled budgets.

Raises DatabaseUnavailable or DatabaseBusy, and then everything may be given again."""


class Rollups(Protocol):
    """Sums per day × user × key × model, derived from the ledger by one writer at a time under a lock."""

    def advance(self) -> int:
        """Add the ledger rows that are not in the sums yet; returns how many. 0 when another writer has the lock."""
        ...

    def rebuild(self) -> int:
        """Make all sums anew from the ledger; returns how many groups had differed."""
        ...

"""The seams: what the application needs from the outside, in its own words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from application.cancellation import Cancellation
from application.records import Opened, Progressed, Settled
from domain.api_key import ApiKey
from domain.completion import Completion, Delta, ModelCard, Prompt
from domain.ledger import LedgerEntry, UsageGroup, UsageTotal
from domain.session import Message, Session
from domain.user import User

# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────


class ChatModel(Protocol):
    """One provider that answers. Raises `ProviderError`s, and the cancellation's reason when it is cancelled."""

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion: ...

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        """One list per read of the upstream with the events it carried, then exactly one closing `Completion`.

        An empty list means: nothing has arrived for a while (the heartbeat interval), still waiting. A stream that
        ends before its semantic terminal marker raises `UpstreamTruncated`. Closing the iterator closes the upstream.
        """
        ...


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a model is served: `id` is `provider/model`, `name` the provider's own name of the model."""

    id: str
    provider: str
    name: str
    chat: ChatModel
    card: ModelCard
    options: frozenset[str]
    """The parameters of a chat completion that this provider documents."""


class Models(Protocol):
    """The models that are configured."""

    def resolve(self, model: str) -> Deployment:
        """Find `provider/model`, or a bare name that exactly one provider lists. Raises UnknownModel."""
        ...

    def default(self, provider: str | None = None) -> str:
        """`provider/model` of what a session uses when its creator named no model. Raises UnknownModel."""
        ...

    def listed(self) -> Sequence[tuple[str, ModelCard]]:
        """Every known model as (`provider`, card)."""
        ...


# ── storage ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Users(Protocol):
    def add(self, user: User) -> None:
        """Raises Conflict when the e-mail address is taken."""
        ...

    def get(self, user_id: str) -> User | None: ...

    def by_email(self, email: str) -> User | None: ...

    def any(self) -> bool:
        """Whether there is at least one user."""
        ...


class Keys(Protocol):
    def add(self, key: ApiKey) -> None: ...

    def by_kid(self, kid: str) -> tuple[ApiKey, User] | None:
        """The key and its user, whatever the state of either."""
        ...

    def of_user(self, user_id: str | None) -> list[ApiKey]:
        """Newest first; of all users when None."""
        ...

    def revoke(self, key_id: str, at: datetime) -> bool:
        """False when there is no such key. Revoking twice keeps the first time."""
        ...


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


class Turns(Protocol):
    """The turn lock of a session: one send at a time."""

    def take(self, session_id: str, request_id: str, now: datetime, stale_before: datetime) -> bool:
        """False when another turn, younger than `stale_before`, holds the lock. One conditional UPDATE."""
        ...

    def release(self, session_id: str, request_id: str) -> None:
        """For a turn that never reached the journal; all others are released with their record."""
        ...

    def session_of(self, request_id: str, user_id: str) -> str | None:
        """The session that `request_id` is answering right now."""
        ...


class UsageLog(Protocol):
    """Reads of the ledger and of what is derived from it."""

    def groups(self, user_id: str, since: date) -> list[UsageGroup]:
        """Rollups of one user from `since` on, oldest day first."""
        ...

    def lifetime(self, user_id: str) -> UsageTotal: ...

    def records(self, user_id: str, limit: int, before: str | None) -> list[LedgerEntry]:
        """Final rows, newest first by request id; `before` is the last request id of the previous page."""
        ...


class UnitOfWork(Protocol):
    @property
    def users(self) -> Users: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def messages(self) -> Messages: ...
    @property
    def turns(self) -> Turns: ...
    @property
    def usage(self) -> UsageLog: ...


Begin = Callable[[], AbstractContextManager[UnitOfWork]]
"""Commits on exit, rolls back on error. Raises DatabaseUnavailable or DatabaseBusy. Never open during a model call."""

Apply = Callable[[Sequence[Settled]], None]
"""Store settled generations in one transaction, each exactly once however often it is given: ledger rows, messages,
released turn locks. Raises DatabaseUnavailable or DatabaseBusy, and then everything may be given again."""


class Rollups(Protocol):
    """Sums per day × user × key × model, derived from the ledger by one writer at a time under a lock."""

    def advance(self) -> int:
        """Add the ledger rows that are not in the sums yet; returns how many. 0 when another writer has the lock."""
        ...

    def rebuild(self) -> int:
        """Make all sums anew from the ledger; returns how many groups had differed."""
        ...


# ── journal ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Receipt(Protocol):
    """A settled record on its way into SQL."""

    def wait_applied(self, seconds: float) -> bool:
        """True as soon as SQL has it, False when `seconds` passed first; it is safe in the journal either way."""
        ...


class Journal(Protocol):
    """Raises AccountingUnavailable when a record can neither be journalled nor stored in SQL."""

    def open(self, record: Opened) -> None:
        """Survives the death of the process on return."""
        ...

    def progress(self, record: Progressed) -> None: ...

    def settle(self, record: Settled) -> Receipt:
        """Durable on return (group `fdatasync`), so it may block for a few milliseconds."""
        ...


# ── cache and counters ───────────────────────────────────────────────────────────────────────────────────────────


class Cache(Protocol):
    """Values that may vanish at any moment. Never raises for a dead or slow server: a read is then a miss."""

    def get(self, key: str) -> bytes | None: ...

    def set(self, key: str, value: bytes, seconds: int) -> None: ...

    def delete(self, key: str) -> None: ...


class Counters(Protocol):
    """Fixed-window counters, exact across workers and machines while their server answers.

    When it does not, each worker counts locally and every hit weighs as much as there are workers, so the sum over
    all workers stays within the limit.
    """

    def hit(self, key: str, window: int, amount: int = 1) -> tuple[int, float]:
        """Add `amount`; returns the count in this window of `window` seconds and the seconds until it ends."""
        ...

    def peek(self, key: str) -> tuple[int, float]:
        """The count and the seconds left, (0, 0.0) without a window."""
        ...


class Signals(Protocol):
    """Wishes to stop a generation, whichever worker runs it. Best effort: a wish may be lost, and none waits."""

    def publish(self, request_id: str) -> None:
        """Tell every listener, in this worker before it returns. Never raises."""
        ...

    def listen(self, callback: Callable[[str], object]) -> None:
        """From now on `callback` gets the request ids, from any thread; it must be quick and must not raise."""
        ...


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds; only differences mean anything."""
        ...


class PasswordHasher(Protocol):
    def hash(self, password: str) -> str: ...

    def verify(self, password_hash: str, password: str) -> bool: ...


NewId = Callable[[str], str]
"""`new_id("req")` is `req_…`, time-sortable and unique without coordination."""

NewSecret = Callable[[int], str]
"""That many random characters of `domain.api_key.ALPHABET`, from the system's generator."""

Record = Callable[[object], None]
"""Takes any fact; never raises."""

Headers = Mapping[str, str]

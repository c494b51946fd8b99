"""The seams: what the application needs from the outside, in its own words.

Those of storage are in `store`, those towards providers in `model_ports`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from application.records import Opened, Progressed, Settled
from domain.mail import Mail
from domain.usage import PriceBook

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


@dataclass(frozen=True, slots=True)
class Share:
    """One subject's part in a call: `key` names its counters; None does not limit."""

    key: str
    tpm: int | None = None
    concurrency: int | None = None
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of a reservation. `refused` is the index of the share that has no room, and then nothing was reserved.

    `tokens` are what is left of the minute's tokens of each share with a `tpm`, this call counted, and `reset` the
    seconds until that minute ends. `over` are the shares that were let through only in shadow.
    """

    refused: int | None = None
    by_tokens: bool = False
    """Whether tokens, and not concurrency, refused."""
    retry_after: float = 0.0
    tokens: tuple[tuple[int, int, float], ...] = ()
    """(index of the share, tokens left, seconds until reset)."""
    over: tuple[tuple[int, bool], ...] = ()
    """(index of the share, whether tokens had no room)."""


class Capacity(Protocol):
    """Tokens per minute and calls at once: reserved together in one atomic step, settled when the call is over.

    Exact across workers while its server answers, otherwise each worker counts locally against limit ÷ workers.
    Never raises for a dead or slow server.
    """

    def reserve(self, request_id: str, shares: Sequence[Share], tokens: int) -> Verdict:
        """`tokens` is the estimate that counts until the call is settled."""
        ...

    def settle(self, request_id: str, tokens: int) -> None:
        """The call is over and used `tokens`; idempotent, and nothing for a call that never reserved."""
        ...

    def renew(self) -> None:
        """Keep the places of this worker's running calls; those of a worker that died are free after 30 s."""
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
    """Works beside the event loop and few at a time. Raises Overloaded when too many wait."""

    def hash(self, password: str) -> str: ...

    def verify(self, password_hash: str | None, password: str) -> bool:
        """None is never right, and takes as long as a real one."""
        ...

    def outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than today's."""
        ...


class KnownPasswords(Protocol):
    def __contains__(self, password: str) -> bool: ...


class Vault(Protocol):
    """Encrypts what must be read again. Each purpose has a key of its own, so that one cannot open another's."""

    def seal(self, purpose: str, secret: str) -> bytes: ...

    def open(self, purpose: str, sealed: bytes) -> str:
        """Raises ValueError for what was not sealed for this purpose with a key that is still known."""
        ...


class OneTimeCodes(Protocol):
    """Time-based one-time passwords (RFC 6238: SHA-1, 6 digits, 30 s), as authenticator applications make them."""

    def new_secret(self) -> str:
        """Base 32, 160 bits."""
        ...

    def uri(self, secret: str, email: str) -> str:
        """`otpauth://…`, for a QR code."""
        ...

    def step_of(self, secret: str, code: str, at: datetime) -> int | None:
        """The time step whose code this is, one step early or late allowed; None for a wrong code."""
        ...


class Mailer(Protocol):
    def send(self, mail: Mail) -> None:
        """Raises MailUnavailable when no server took it, RecipientRefused when that is because of the address."""
        ...


class Prices(Protocol):
    """The prices in force, which an administrator may change while calls run."""

    @property
    def book(self) -> PriceBook: ...


NewId = Callable[[str], str]
"""`new_id("req")` is `req_…`, time-sortable and unique without coordination."""

NewSecret = Callable[[int], str]
"""That many random characters of `domain.api_key.ALPHABET`, from the system's generator."""

Record = Callable[[object], None]
"""Takes any fact; never raises."""

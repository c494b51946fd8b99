"""What happened, as frozen facts; recorders turn them into log lines and metrics."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpServed:
    """One HTTP request, after its last byte. `route` is the matched rule, `unmatched` without one; seconds."""

    method: str
    route: str
    status: int
    seconds: float
    request_id: str
    key_id: str | None
    bytes: int
    """Of the answer's body."""
    client_request_id: str | None = None
    overhead_seconds: float | None = None
    """What the gateway itself took, queueing included; None where no provider was called."""
    upstream_seconds: float | None = None
    client_retry: int | None = None
    """How often the client says to have tried before: each try is a request of its own, and billed."""


@dataclass(frozen=True, slots=True)
class ModelCalled:
    """One attempt at one provider. `model` is `provider/model`; seconds; `outcome` is an error code or `ok`."""

    provider: str
    model: str
    outcome: str
    seconds: float
    first_event_seconds: float | None


@dataclass(frozen=True, slots=True)
class TurnSettled:
    """One generation, however it ended. `state` is a ledger state, `outcome` an error code or `ok`."""

    request_id: str
    provider: str
    model: str
    state: str
    outcome: str
    streamed: bool
    seconds: float
    first_token_seconds: float | None
    prompt_tokens: int
    completion_tokens: int
    source: str
    cost: int | None
    """Nano-units; None when the model has no known price."""
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class EventsDropped:
    """Events of an upstream that were of no known type or not parseable."""

    provider: str
    count: int


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """`resource` is `redis` or `database`; a closed breaker lets calls pass."""

    resource: str
    open: bool
    reason: str


@dataclass(frozen=True, slots=True)
class CredentialChanged:
    """What a provider's credential (`#1` is the first) is good for: a model of the provider, or `*`.

    `state` is `open` (the provider failed), `refused` (the credential is), or `closed`: it is called again. `seconds`
    is how long it rests, `reason` an error code.
    """

    provider: str
    credential: str
    model: str
    state: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class JournalApplied:
    """One transaction of the applier. `reaped` is True for the journal of a worker that died."""

    records: int
    seconds: float
    reaped: bool


@dataclass(frozen=True, slots=True)
class JournalDegraded:
    """The journal could not be written; `fallback` is `sql` when the record went to SQL instead, else `none`."""

    reason: str
    fallback: str


@dataclass(frozen=True, slots=True)
class JournalRejected:
    """SQL refuses a record for what it is, or a part of a file is not readable: `file` keeps it for a human.

    `reason` is a class of error or `damaged`; the id is None when it is not readable either.
    """

    request_id: str | None
    reason: str
    file: str


@dataclass(frozen=True, slots=True)
class RedisRefused:
    """Redis answered, but with an error: out of memory, read-only, no permission. `reason` is the kind of error."""

    reason: str


@dataclass(frozen=True, slots=True)
class LimiterFailed:
    """A request passed uncounted because the limiter itself is broken. `reason` is the kind of error."""

    reason: str


@dataclass(frozen=True, slots=True)
class MailSent:
    """One attempt to send a mail. `kind` names its text; `outcome` is `sent`, `postponed` or `given_up`.

    `reason` says why it did not leave, without a word of the server's.
    """

    kind: str
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RequestRepeated:
    """A request whose idempotency key is taken. `outcome` is `replayed` or the code of the error that it got."""

    outcome: str


@dataclass(frozen=True, slots=True)
class LimitHit:
    """A call met a limit. `kind` is whose limit, `metric` is `requests`, `tokens`, `concurrency` or `budget`.

    In shadow it was let through all the same.
    """

    kind: str
    metric: str
    shadow: bool


@dataclass(frozen=True, slots=True)
class GuardrailHit:
    """A rule found what it looks for; `action` is `block`, `mask` or `note`, `side` is `input` or `output`."""

    rule: str
    action: str
    side: str


@dataclass(frozen=True, slots=True)
class GuardrailFailed:
    """A rule could not be applied. `reason` is the kind of error; without `blocked` the call went on unchecked."""

    rule: str
    reason: str
    blocked: bool


@dataclass(frozen=True, slots=True)
class CacheAsked:
    """The exact cache was asked for an answer."""

    hit: bool

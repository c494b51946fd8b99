"""The usage ledger: insert-only rows, one per provider attempt and one final row per request."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from domain.usage import Usage


class Kind(StrEnum):
    ATTEMPT = "attempt"
    FINAL = "final"
    ADJUST = "adjust"


class State(StrEnum):
    """How a generation ended."""

    COMPLETED = "completed"
    PARTIAL = "partial"
    """Some output had arrived when it was cut, by whichever side."""
    FAILED = "failed"
    ABANDONED = "abandoned"
    """The worker died; the numbers come from its journal."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One row. `(request_id, attempt, kind)` is unique, so storing a row twice stores it once.

    `cost` is what the provider bills us, `charged` what the user is billed; both in nano-units, None when the model
    has no known price. `attempt` is 1, 2 … for attempts and 0 for the final row. Durations are in milliseconds.
    """

    request_id: str
    attempt: int
    kind: Kind
    user_id: str
    key_id: str
    model_requested: str
    model_used: str
    provider: str
    usage: Usage
    state: State
    started_at: datetime
    duration_ms: int
    cost: int | None = None
    charged: int | None = None
    price_version: str = ""
    session_id: str | None = None
    estimate_method: str | None = None
    error_code: str | None = None
    first_token_ms: int | None = None
    streamed: bool = False
    cache_hit: bool = False
    """Answered from the cache: no provider was called."""


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """Sums of final ledger rows. `cost` in nano-units counts priced requests only; `unpriced` counts the others."""

    requests: int = 0
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost: int = 0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class UsageGroup:
    day: date
    key_id: str
    model: str
    total: UsageTotal

"""How long each phase of a provider call may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """All in seconds.

    `headers` runs from the request until the provider's status line, `first_token` from there until the first event,
    `idle` from any byte to the next one. `total` covers all attempts of a request at this provider together: it
    limits the caller's `Cancellation`. A stream reports silence every `heartbeat`.
    """

    connect: float = 5.0
    headers: float = 60.0
    first_token: float = 60.0
    idle: float = 30.0
    total: float = 600.0
    heartbeat: float = 5.0
    answer: float | None = None
    """In place of `headers` where the answer is not streamed: it is generated before its status line is sent."""

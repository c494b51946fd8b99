"""How long each phase of a provider call may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """All in seconds.

    `headers` runs from the request until the provider's status line; an answer that is not streamed is generated in
    that time. `first_token` runs from the status line until the first event, `idle` from any byte to the next one.
    `total` covers the whole request, all its attempts together: it limits the caller's `Cancellation`. A stream reports
    silence every `heartbeat`.
    """

    connect: float = 5.0
    headers: float = 60.0
    first_token: float = 60.0
    idle: float = 30.0
    total: float = 600.0
    heartbeat: float = 5.0

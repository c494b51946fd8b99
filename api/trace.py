"""What one HTTP request knows of itself, from its first hook to its last byte."""

from dataclasses import dataclass
from typing import cast

from flask import current_app, g

from application.ports import Clock, NewId

EXTENSION = "parley-trace"


@dataclass(slots=True)
class Trace:
    """`started` is monotonic. The milliseconds stay None where no provider was called."""

    request_id: str
    started: float
    method: str = ""
    route: str = "unmatched"
    client_request_id: str | None = None
    client_retry: int | None = None
    """How often the client says to have tried before."""
    key_id: str | None = None
    upstream_ms: int | None = None
    overhead_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Tracer:
    """Begins traces: an id of our own always, whatever the client sent."""

    clock: Clock
    new_id: NewId

    def begin(self) -> Trace:
        g.trace = trace = Trace(self.new_id("req"), self.clock.monotonic())
        return trace


def current_trace() -> Trace:
    """The trace of the request being served; it begins here when the request failed before its first hook."""
    trace: Trace | None = g.get("trace")
    return trace or cast("Tracer", current_app.extensions[EXTENSION]).begin()

"""A call that costs money, as the web sees it: admitted, watched for the client's leaving, and always left again."""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

from flask import current_app, g, request

from api.auth import current_principal
from api.disconnect import Watch, watch
from api.trace import current_trace
from application.call import Call
from application.cancellation import Cancellation
from application.in_flight import InFlight
from application.ports import Clock

EXTENSION = "parley-paid"
KEYED = "HTTP_IDEMPOTENCY_KEY"
"""In the WSGI environment of a request with an idempotency key. Such a call goes on without its client, who may ask
for its answer again."""

_SEND_BUFFER = 128 * 1024
"""Bytes, which Linux doubles: what the kernel keeps of a stream whose client does not read."""


@dataclass(frozen=True, slots=True)
class PaidCalls:
    """`total_seconds` bounds a whole call, `send_seconds` how long a client may leave a piece of a stream unread."""

    in_flight: InFlight
    clock: Clock
    total_seconds: float
    send_seconds: float

    def begin(self, *, streamed: bool) -> "PaidCall":
        """Raises Overloaded and ServerShuttingDown."""
        trace = current_trace()
        cancellation = Cancellation(self.total_seconds, self.clock.monotonic)
        self.in_flight.enter(trace.request_id, cancellation, current_principal())
        try:
            g.call = call = Call(trace.request_id, cancellation, streamed, *_wishes(request.environ))
            return PaidCall(self, call, request.environ)
        except BaseException:
            self.in_flight.leave(trace.request_id)
            raise


class PaidCall:
    """Ends with its `with` block, or, once it is `handed_over` to a stream, with that stream."""

    __slots__ = ("_calls", "_client", "_handed_over", "_watch", "call")

    def __init__(self, calls: PaidCalls, call: Call, environ: dict[str, Any]) -> None:
        self.call = call
        self._calls = calls
        self._handed_over = False
        self._client = environ.get("gunicorn.socket")
        self._watch: Watch | None = None if KEYED in environ else watch(environ, call.cancellation)

    @property
    def began_at(self) -> int:
        """Unix time in whole seconds."""
        return int(self._calls.clock.now().timestamp())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._handed_over:
            self.end()

    def hand_over(self) -> None:
        """From now on the stream ends this call; a write to a client that does not read is bounded."""
        self._handed_over = True
        if self._client is not None:
            self._client.settimeout(self._calls.send_seconds)
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def end(self) -> None:
        """Idempotent."""
        self._calls.in_flight.leave(self.call.request_id)
        if self._watch is not None:
            self._watch.stop()
        if self._handed_over and self._client is not None:
            self._client.settimeout(None)


def _wishes(environ: dict[str, Any]) -> tuple[bool, bool]:
    """RFC 9111: whether no stored answer will do, and whether this one is not to be stored; then neither is right."""
    control = environ.get("HTTP_CACHE_CONTROL", "").lower()
    unkept = "no-store" in control
    return unkept or "no-cache" in control, unkept


def begin_call(*, streamed: bool) -> PaidCall:
    return cast("PaidCalls", current_app.extensions[EXTENSION]).begin(streamed=streamed)

"""How a generation is told to stop, and by when it must have ended."""

from collections.abc import Callable

from domain.errors import ParleyError
from domain.provider_errors import UpstreamTotalTimeout
from domain.usage import Usage


class Cancellation:
    """Shared by a request and the provider call that serves it.

    Anyone may `cancel`; the first reason wins. Whoever waits on a socket registers `on_cancel`, which is called at
    once, from the canceller's greenlet, and must not block: it shuts the socket down so that the waiter wakes up.
    """

    __slots__ = ("_clock", "_deadline", "_listener", "_started", "attempts", "counted", "reason")

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """`seconds` from now the generation has to be over; `clock` is monotonic."""
        self.reason: ParleyError | None = None
        self.attempts = 0
        """Calls that were made to providers for this request; the innermost decorator of a `ChatModel` counts."""
        self.counted: Usage | None = None
        """What a provider had counted of the whole stream when it was cut; None when it had sent more since."""
        self._clock = clock
        self._started = clock()
        self._deadline = self._started + seconds
        self._listener: Callable[[], None] | None = None

    def cancel(self, reason: ParleyError) -> None:
        if self.reason is not None:
            return
        self.reason = reason
        if self._listener is not None:
            self._listener()

    def on_cancel(self, listener: Callable[[], None] | None) -> None:
        """`listener` is called before this returns when somebody has cancelled already."""
        self._listener = listener
        if listener is not None and self.reason is not None:
            listener()

    def limit(self, seconds: float) -> None:
        """The generation has to be over so many seconds after it began, unless it has to be sooner."""
        self._deadline = min(self._deadline, self._started + seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._deadline - self._clock())

    def check(self) -> None:
        """Raises the reason, or UpstreamTotalTimeout when the time is over."""
        if self.reason is not None:
            raise self.reason
        if self.remaining() <= 0:
            raise UpstreamTotalTimeout

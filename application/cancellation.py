"""How a generation is told to stop, and by when it must have ended."""

from collections.abc import Callable
from dataclasses import dataclass

from domain.errors import ClientGone, ParleyError
from domain.provider_errors import UpstreamTotalTimeout
from domain.usage import Usage


@dataclass(slots=True)
class Attempt:
    """One call to one provider for a request; `model` is `provider/model`. Times are monotonic."""

    provider: str
    model: str
    started: float
    ended: float | None = None
    code: str = ""
    """Of the error that it ended with; empty while it runs, and when it went well."""
    usage: Usage | None = None
    """What it is billed although another attempt took over; None when it is billed nothing."""


LEFT_SECONDS = 60.0
"""How long an answer is heard that nobody waits for any more."""


def _always() -> bool:
    return True


class Cancellation:
    """Shared by a request and the provider call that serves it.

    Anyone may `cancel`; the first reason wins. Whoever waits on a socket registers `on_cancel`, which is called at
    once, from the canceller's greenlet, and must not block: it shuts the socket down so that the waiter wakes up.
    """

    __slots__ = (
        "_clock",
        "_deadline",
        "_end_at",
        "_left_at",
        "_listener",
        "_started",
        "attempts",
        "counted",
        "drains",
        "patient",
        "reason",
        "room",
    )

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """`seconds` from now the generation has to be over; `clock` is monotonic."""
        self.reason: ParleyError | None = None
        self.attempts: list[Attempt] = []
        """The calls that were made to providers for this request; the innermost decorator of a model notes them."""
        self.drains = False
        """Whether whoever answers bills all of an answer anyway: it is better heard to its end then, for the count."""
        self.room: Callable[[], bool] = _always
        """Whether one answer more may be heard that nobody waits for."""
        self.counted: Usage | None = None
        """What a provider had counted of the whole stream when it was cut; where it had sent more since, no output."""
        self.patient = True
        """Whether to wait for a provider that asks for a short while: nobody else could take over."""
        self._clock = clock
        self._started = clock()
        self._left_at: float | None = None
        self._end_at = self._deadline = self._started + seconds
        self._listener: Callable[[], None] | None = None

    @property
    def left(self) -> bool:
        """Nobody waits for the answer any more, and it is heard to its end all the same."""
        return self._left_at is not None

    def cancel(self, reason: ParleyError) -> None:
        if self.reason is None and not (isinstance(reason, ClientGone) and self.leave()):
            self._end(reason)

    def leave(self) -> bool:
        """Nobody waits for the answer from now on. False when it may as well be cancelled."""
        if self.reason is not None or not self.drains:
            return False
        if self._left_at is None and self.room():
            self._left_at = self._clock()
        return self.left

    def give_up(self) -> None:
        """What nobody waits for has taken its time."""
        if self._left_at is not None and self.reason is None and self._clock() - self._left_at >= LEFT_SECONDS:
            self._end(ClientGone())

    def on_cancel(self, listener: Callable[[], None] | None) -> None:
        """`listener` is called before this returns when somebody has cancelled already."""
        self._listener = listener
        if listener is not None and self.reason is not None:
            listener()

    @property
    def is_over(self) -> bool:
        """No time is left for anybody: not for another provider either."""
        return self._clock() >= self._end_at

    def pass_on(self) -> None:
        """Another provider is asked from now on: the `limit` of the one before holds no more."""
        self._started = self._clock()
        self._deadline = self._end_at

    def limit(self, seconds: float) -> None:
        """The provider that is asked has so many seconds with all its attempts, unless the generation has fewer."""
        self._deadline = min(self._deadline, self._started + seconds)

    def hurry(self, seconds: float) -> None:
        """The generation has to be over so many seconds from now, unless it has to be sooner."""
        self._end_at = self._deadline = min(self._deadline, self._clock() + seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._deadline - self._clock())

    def check(self) -> None:
        """Raises the reason, or UpstreamTotalTimeout when the time is over."""
        if self.reason is not None:
            raise self.reason
        if self.remaining() <= 0:
            raise UpstreamTotalTimeout

    def _end(self, reason: ParleyError) -> None:
        self.reason = reason
        if self._listener is not None:
            self._listener()

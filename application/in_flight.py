"""The generations that this process is making right now."""

from application.cancellation import Cancellation
from domain.errors import Overloaded, ParleyError, ServerShuttingDown, StoppedByUser
from domain.user import Principal

_MOST_LEFT = 16
"""Answers that are heard to their end although nobody waits for them."""


class InFlight:
    """Caps them, finds them by request id, and ends them when the process or their credential has to go."""

    def __init__(self, limit: int = 400) -> None:
        self._limit = limit
        self._running: dict[str, tuple[Cancellation, Principal | None]] = {}
        self._staying: set[str] = set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._running)

    def enter(self, request_id: str, cancellation: Cancellation, principal: Principal | None = None) -> None:
        """Raises Overloaded or ServerShuttingDown; refuse early rather than late."""
        if self.draining:
            raise ServerShuttingDown(retry_after=1)
        if len(self._running) >= self._limit:
            raise Overloaded(retry_after=1)
        cancellation.room = self._has_room
        self._running[request_id] = (cancellation, principal)

    def leave(self, request_id: str) -> None:
        if request_id in self._staying:
            self._staying.discard(request_id)
        else:
            self._running.pop(request_id, None)

    def stay(self, request_id: str) -> None:
        """It goes on when its request has ended: two have to `leave` now."""
        self._staying.add(request_id)

    def give_up(self) -> None:
        """To be called every second: end what nobody waits for when it has taken its time."""
        for cancellation, _ in list(self._running.values()):
            cancellation.give_up()

    def running(self) -> list[tuple[str, Principal]]:
        """What nobody has ended yet, by request id, and on whose behalf it runs."""
        return [
            (request_id, caller)
            for request_id, (cancellation, caller) in self._running.items()
            if caller is not None and cancellation.reason is None
        ]

    def stop(self, request_id: str) -> bool:
        """On request of its owner; False when this process does not run it."""
        return self.end(request_id, StoppedByUser())

    def end(self, request_id: str, reason: ParleyError) -> bool:
        """False when this process does not run it."""
        if request_id not in self._running:
            return False
        self._running[request_id][0].cancel(reason)
        return True

    def cancel_all(self, reason: type[ParleyError]) -> None:
        for cancellation, _ in list(self._running.values()):
            cancellation.cancel(reason())

    def _has_room(self) -> bool:
        return sum(cancellation.left for cancellation, _ in self._running.values()) < _MOST_LEFT

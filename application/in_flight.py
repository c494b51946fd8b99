"""The generations that this process is making right now."""

from application.cancellation import Cancellation
from domain.errors import Overloaded, ParleyError, ServerShuttingDown, StoppedByUser


class InFlight:
    """Caps them, finds them by request id, and ends them when the process has to go."""

    def __init__(self, limit: int = 400) -> None:
        self._limit = limit
        self._running: dict[str, Cancellation] = {}
        self.draining = False

    def __len__(self) -> int:
        return len(self._running)

    def enter(self, request_id: str, cancellation: Cancellation) -> None:
        """Raises Overloaded or ServerShuttingDown; refuse early rather than late."""
        if self.draining:
            raise ServerShuttingDown(retry_after=1)
        if len(self._running) >= self._limit:
            raise Overloaded(retry_after=1)
        self._running[request_id] = cancellation

    def leave(self, request_id: str) -> None:
        self._running.pop(request_id, None)

    def stop(self, request_id: str) -> bool:
        """On request of its owner; False when this process does not run it."""
        cancellation = self._running.get(request_id)
        if cancellation is None:
            return False
        cancellation.cancel(StoppedByUser())
        return True

    def cancel_all(self, reason: type[ParleyError]) -> None:
        for cancellation in list(self._running.values()):
            cancellation.cancel(reason())

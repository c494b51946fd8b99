"""How a wish to stop a generation reaches the worker that runs it."""

from collections.abc import Callable


class MemorySignals:
    """All there is with one worker."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[str], object]] = []

    def publish(self, request_id: str) -> None:
        for callback in self._callbacks:
            callback(request_id)

    def listen(self, callback: Callable[[str], object]) -> None:
        self._callbacks.append(callback)

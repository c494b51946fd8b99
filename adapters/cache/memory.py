"""A cache in this process, for an installation of one worker."""

import threading

from application.ports import Clock


class MemoryCache:
    """Holds at most `size` values; the one that was written first makes room."""

    def __init__(self, clock: Clock, size: int = 1_000) -> None:
        self._monotonic = clock.monotonic
        self._size = size
        self._values: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        found = self._values.get(key)
        if found is None or found[1] <= self._monotonic():
            return None
        return found[0]

    def set(self, key: str, value: bytes, seconds: int) -> None:
        with self._lock:
            self._values.pop(key, None)
            if len(self._values) >= self._size:
                del self._values[next(iter(self._values))]
            self._values[key] = (value, self._monotonic() + seconds)

    def delete(self, key: str) -> None:
        with self._lock:
            self._values.pop(key, None)

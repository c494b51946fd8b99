"""A cache in this process, for an installation of one worker."""

import threading

from application.ports import Clock

_OVERHEAD = 200
"""Bytes of a value besides its own and its key's, about."""


class MemoryCache:
    """Holds at most `size` bytes, all counted; the values that were written first make room."""

    def __init__(self, clock: Clock, size: int = 32 << 20) -> None:
        self._monotonic = clock.monotonic
        self._free = self._size = size
        self._values: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        found = self._values.get(key)
        if found is None or found[1] <= self._monotonic():
            return None
        return found[0]

    def set(self, key: str, value: bytes, seconds: int) -> None:
        needed = _room(key, value)
        with self._lock:
            self._forget(key)
            if needed > self._size:
                return
            while needed > self._free:
                self._forget(next(iter(self._values)))
            self._free -= needed
            self._values[key] = (value, self._monotonic() + seconds)

    def delete(self, key: str) -> None:
        with self._lock:
            self._forget(key)

    def _forget(self, key: str) -> None:
        found = self._values.pop(key, None)
        if found is not None:
            self._free += _room(key, found[0])


def _room(key: str, value: bytes) -> int:
    return _OVERHEAD + len(key) + len(value)

"""Counters of one process: all there is without Redis, and the fallback while Redis is down."""

import threading

from application.ports import Clock


class MemoryCounters:
    """Fixed windows that start with their first hit. Holds at most `size` of them, so memory stays bounded."""

    def __init__(self, clock: Clock, size: int = 10_000) -> None:
        self._monotonic = clock.monotonic
        self._size = size
        self._windows: dict[str, tuple[int, float]] = {}
        self._sweep_at = 0.0
        self._lock = threading.Lock()

    def hit(self, key: str, window: int, amount: int = 1) -> tuple[int, float]:
        now = self._monotonic()
        with self._lock:
            count, ends = self._windows.get(key, (0, 0.0))
            if ends <= now:
                self._make_room(now)
                count, ends = 0, now + window
            count += amount
            self._windows[key] = (count, ends)
        return count, ends - now

    def peek(self, key: str) -> tuple[int, float]:
        count, ends = self._windows.get(key, (0, 0.0))
        left = ends - self._monotonic()
        return (count, left) if left > 0 else (0, 0.0)

    def _make_room(self, now: float) -> None:
        """Windows that are over go first; when all are running, the one that began first."""
        if len(self._windows) < self._size:
            return
        if now >= self._sweep_at:
            self._sweep_at = now + 1
            self._windows = {key: window for key, window in self._windows.items() if window[1] > now}
        if len(self._windows) >= self._size:
            del self._windows[next(iter(self._windows))]

"""Values that are expensive to look up and may be a few seconds old."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from application.ports import Clock
from domain.errors import Unavailable

K = TypeVar("K")
V = TypeVar("V")

PAUSE = 1.0
"""Seconds: how long an absence is believed, and how long a failed look-up is not repeated."""
LOADS = 4
"""So many look-ups run at the same time; a storm of cold keys must not take all database connections."""


class _Entry(Generic[V]):
    __slots__ = ("fresh_until", "loaded_at", "value")

    def __init__(self, value: V | None, loaded_at: float, fresh_until: float) -> None:
        self.value = value
        self.loaded_at = loaded_at
        self.fresh_until = fresh_until


class _Flight(Generic[V]):
    """One look-up that many wait for. `landed` without entry and error: its leader was killed."""

    __slots__ = ("entry", "error", "landed")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.entry: _Entry[V] | None = None
        self.error: Exception | None = None


class Fresh(Generic[K, V]):
    """What `load` returned at most `ttl` seconds ago; one look-up at a time per key, however many ask.

    While `load` raises Unavailable, a value younger than `stale` seconds is served instead (never an absence); every
    other error reaches all who wait. None is believed for a second only. Holds at most `size` values.
    """

    def __init__(
        self,
        load: Callable[[K], V | None],
        clock: Clock,
        ttl: float = 5.0,
        stale: float = 60.0,
        size: int = 10_000,
    ) -> None:
        self._load = load
        self._monotonic = clock.monotonic
        self._ttl = ttl
        self._stale = stale
        self._size = size
        self._entries: dict[K, _Entry[V]] = {}
        self._flights: dict[K, _Flight[V]] = {}
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(LOADS)

    def get(self, key: K) -> V | None:
        while True:
            entry = self._entries.get(key)
            if entry is not None and self._monotonic() < entry.fresh_until:
                return entry.value
            flight, leads = self._board(key)
            if leads:
                self._fly(key, flight)
            else:
                flight.landed.wait()
            if flight.error is not None:
                raise flight.error
            if flight.entry is not None:
                return flight.entry.value

    def forget(self, key: K) -> None:
        """The next `get` looks up; a look-up that is under way is not remembered."""
        with self._lock:
            self._entries.pop(key, None)
            self._flights.pop(key, None)

    def _board(self, key: K) -> tuple[_Flight[V], bool]:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = _Flight()
            return flight, True

    def _fly(self, key: K, flight: _Flight[V]) -> None:
        try:
            with self._slots:
                flight.entry = self._look_up(key)
        except Exception as error:  # noqa: BLE001 - it is raised to everyone who waits
            flight.error = error
        finally:
            self._land(key, flight)

    def _look_up(self, key: K) -> _Entry[V]:
        known = self._entries.get(key)
        if known is not None and self._monotonic() < known.fresh_until:
            return known  # another flight landed just before this one began
        try:
            value = self._load(key)
        except Unavailable:
            known = self._entries.get(key)
            now = self._monotonic()
            if known is None or known.value is None or now - known.loaded_at >= self._stale:
                raise
            return _Entry(known.value, known.loaded_at, now + PAUSE)
        now = self._monotonic()
        return _Entry(value, now, now + (PAUSE if value is None else self._ttl))

    def _land(self, key: K, flight: _Flight[V]) -> None:
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
                if flight.entry is not None:
                    self._remember(key, flight.entry)
        flight.landed.set()

    def _remember(self, key: K, entry: _Entry[V]) -> None:
        self._entries.pop(key, None)
        if len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = entry

"""Capacity of one process: all there is without Redis, and the fallback while Redis is down."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.limits.verdicts import BY_CONCURRENCY, BY_TOKENS, LEASE, WINDOW, Row, verdict_of
from application.ports import Clock, Share, Verdict


@dataclass(slots=True, eq=False)
class _Minute:
    ends: float
    used: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    """What a running call has reserved: the minutes its tokens are in, and the keys under which it has a place."""

    tokens: int
    minutes: tuple[_Minute, ...]
    places: tuple[str, ...]


class MemoryCapacity:
    """Gives a worker its part of every limit: limit ÷ workers, but never less than one.

    A call that is larger than the whole limit of a minute may have a minute of its own. Holds at most `size` calls
    and `size` minutes, so memory stays bounded; the oldest go first.
    """

    def __init__(self, clock: Clock, workers: int = 1, lease: float = LEASE, size: int = 10_000) -> None:
        """`workers` are those of all machines together."""
        self._monotonic = clock.monotonic
        self._workers = workers
        self._lease = lease
        self._size = size
        self._minutes: dict[str, _Minute] = {}
        self._running: dict[str, dict[str, float]] = {}
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def reserve(self, request_id: str, shares: Sequence[Share], tokens: int) -> Verdict:
        now = self._monotonic()
        with self._lock:
            minutes = [None if share.tpm is None else self._minute(share.key, now) for share in shares]
            rows = [self._look(share, minute, tokens, now) for share, minute in zip(shares, minutes, strict=True)]
            verdict = verdict_of(shares, rows, tokens)
            if verdict.refused is None:
                self._take(request_id, _Held(tokens, tuple(filter(None, minutes)), _places(shares)), now)
        return verdict

    def settle(self, request_id: str, tokens: int) -> None:
        with self._lock:
            self._free(request_id, tokens)

    def renew(self) -> None:
        """A place whose lease has run out stays lost."""
        now = self._monotonic()
        with self._lock:
            for key in list(self._running):
                for request_id in self._places_of(key, now):
                    self._running[key][request_id] = now + self._lease

    def _look(self, share: Share, minute: _Minute | None, tokens: int, now: float) -> Row:
        tpm, most = self._part(share.tpm), self._part(share.concurrency)
        crowded = most is not None and len(self._places_of(share.key, now)) >= most
        over = BY_CONCURRENCY if crowded else 0
        if minute is None or tpm is None:
            return Row(0, 0.0, over, None)
        if minute.used + max(1, min(tokens, tpm)) > tpm:
            over = BY_TOKENS
        return Row(minute.used, minute.ends - now, over, tpm)

    def _take(self, request_id: str, held: _Held, now: float) -> None:
        if len(self._held) >= self._size:
            oldest = next(iter(self._held))
            self._free(oldest, self._held[oldest].tokens)
        self._held[request_id] = held
        for minute in held.minutes:
            minute.used += held.tokens
        for key in held.places:
            self._running.setdefault(key, {})[request_id] = now + self._lease

    def _free(self, request_id: str, tokens: int) -> None:
        held = self._held.pop(request_id, None)
        if held is None:
            return
        for minute in held.minutes:
            minute.used += tokens - held.tokens
        for key in held.places:
            running = self._running.get(key, {})
            running.pop(request_id, None)
            if not running:
                self._running.pop(key, None)

    def _part(self, limit: int | None) -> int | None:
        return max(1, limit // self._workers) if limit else limit

    def _places_of(self, key: str, now: float) -> dict[str, float]:
        """Those that are not over. The first one ends first: all leases are equally long, and renewed together."""
        running = self._running.get(key, {})
        while running and (first := next(iter(running))) and running[first] <= now:
            del running[first]
        return running

    def _minute(self, key: str, now: float) -> _Minute:
        minute = self._minutes.get(key)
        if minute is None or minute.ends <= now:
            self._make_room(key)
            minute = self._minutes[key] = _Minute(now + WINDOW)
        return minute

    def _make_room(self, key: str) -> None:
        """All minutes are equally long, so the first one is the oldest, over or not."""
        self._minutes.pop(key, None)
        if len(self._minutes) >= self._size:
            del self._minutes[next(iter(self._minutes))]


def _places(shares: Sequence[Share]) -> tuple[str, ...]:
    return tuple(share.key for share in shares if share.concurrency is not None)

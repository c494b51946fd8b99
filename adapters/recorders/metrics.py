"""Every metric of Parley by name. `docs/operations.md` lists them, and a test compares the two."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client reads this variable itself, and has no other way to be told."""

_LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FIRST = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30, 60)
_SHORT = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)
_RESERVED = {"counter": 1 << 19, "histogram": 1 << 20, "gauge_livesum": 1 << 16, "gauge_livemax": 1 << 16}

_Mode = Literal["livesum", "livemax"]


class Metrics:
    """The metrics themselves, without values until something happens."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.http_requests = self._counter("http_requests", "HTTP requests", "method", "route", "status")
        self.http_seconds = self._histogram("http_seconds", "Duration of HTTP requests", _LONG, "route")
        self.overhead_seconds = self._histogram("overhead_seconds", "What the gateway itself took", _SHORT)
        self.turns = self._counter("turns", "Generations", "provider", "model", "state", "outcome")
        self.turn_seconds = self._histogram("turn_seconds", "Duration of generations", _LONG, "provider")
        self.first_token_seconds = self._histogram(
            "first_token_seconds", "Time to the first token of a stream", _FIRST, "provider", "model"
        )
        self.tokens = self._counter("tokens", "Tokens", "provider", "model", "kind")
        self.cost_nano = self._counter("cost_nano", "Cost in nano-units of money", "provider", "model")
        self.unpriced = self._counter("unpriced", "Generations of models without a price", "provider", "model")
        self.model_calls = self._counter("model_calls", "Attempts at providers", "provider", "model", "outcome")
        self.model_seconds = self._histogram("model_seconds", "Duration of attempts", _LONG, "provider")
        self.events_dropped = self._counter("events_dropped", "Upstream events that were not relayed", "provider")
        self.breaker_open = self._gauge("breaker_open", "1 where any worker's breaker is open", "livemax", "resource")
        self.breaker_opened = self._counter("breaker_opened", "Times that a breaker opened", "resource")
        self.credentials_resting = self._gauge(
            "credentials_resting", "Credentials not called now", "livemax", "provider", "model", "state"
        )
        self.journal_records = self._counter("journal_records", "Journal records moved into SQL")
        self.journal_reaped = self._counter("journal_reaped", "Journal records taken over from dead workers")
        self.journal_apply_seconds = self._histogram("journal_apply_seconds", "Duration of a move into SQL", _SHORT)
        self.journal_rejected = self._counter("journal_rejected", "Records that SQL refuses, kept in a file")
        self.journal_degraded = self._counter("journal_degraded", "Records the journal could not take", "fallback")
        self.journal_lag_records = self._gauge("journal_lag_records", "Journal records not yet in SQL", "livesum")
        self.journal_lag_seconds = self._gauge("journal_lag_seconds", "Age of the oldest of them", "livemax")
        self.redis_refused = self._counter("redis_refused", "Commands that Redis answered with an error", "reason")
        self.limiter_failed = self._counter("limiter_failed", "Requests that passed uncounted", "reason")
        self.limit_hits = self._counter("limit_hits", "Limits that calls met", "kind", "metric", "shadow")
        self.repeats = self._counter("repeated_requests", "Requests with an idempotency key that is taken", "outcome")
        self.guardrail_hits = self._counter("guardrail_hits", "Matches of guardrails", "rule", "action", "side")
        self.guardrail_failures = self._counter("guardrail_failures", "Guardrails that failed", "rule", "blocked")
        self.cache_lookups = self._counter("cache_lookups", "Answers looked for in the cache", "hit")
        self.mails = self._counter("mails", "Attempts to send a mail", "kind", "outcome")
        self.in_flight = self._gauge("in_flight", "Generations running now", "livesum")
        self.workers = self._gauge("workers", "Worker processes alive", "livesum")
        self.resident_bytes = self._gauge("resident_bytes", "Resident memory of all workers", "livesum")
        self.hub_blocked = self._counter("hub_blocked", "Times that a worker's event loop stood still for 0.5 s")
        self.log_lines_dropped = self._counter("log_lines_dropped", "Log lines that could not be written")
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """A counter that appears with its first event has no increase that an alert could see."""
        for resource in ("redis", "database"):
            self.breaker_open.labels(resource)
            self.breaker_opened.labels(resource)
        for fallback in ("sql", "none"):
            self.journal_degraded.labels(fallback)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"parley_{name}_total", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
        return Histogram(f"parley_{name}", text, labels, buckets=tuple(buckets), registry=self._registry)

    def _gauge(self, name: str, text: str, mode: _Mode, *labels: str) -> Gauge:
        return Gauge(f"parley_{name}", text, labels, multiprocess_mode=mode, registry=self._registry)


def new_registry() -> CollectorRegistry:
    """An empty registry; in a gateway of several processes its values are in files that every process can read."""
    folder = shared_folder()
    if folder and _reserve(folder) and values.ValueClass is values.MutexValue:
        # gunicorn's master may have imported prometheus_client before the folder was named: decide again.
        values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]  # prometheus_client's own
    return CollectorRegistry()


def shared_folder() -> Path | None:
    """Where the values of all processes of this gateway are; None when it is one process with its own registry."""
    folder = os.environ.get(_FOLDER)
    return Path(folder) if folder else None


def _reserve(folder: Path) -> bool:
    """Allocate this process's files; False when the disk is full: then its values stay in its memory.

    They are mapped, and a write through a mapping that finds no free block ends the process (SIGBUS).
    """
    try:
        for kind, size in _RESERVED.items():
            hidden = folder / f".{kind}_{os.getpid()}"
            with hidden.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
            hidden.rename(folder / f"{kind}_{os.getpid()}.db")
    except OSError:
        return False
    return True

"""`GET /metrics`, and the values that are measured now and then instead of at every request."""

import hmac
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import gevent
from flask import Blueprint, Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from adapters.recorders.metrics import Metrics, shared_folder
from api.answer import Answer
from api.auth import PUBLIC, bearer_token, requires
from domain.errors import Forbidden, Unauthenticated

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Proto", "Via")
_LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
_BLOCKED_SECONDS = 0.5
_STATM = Path("/proc/self/statm")


def init_metrics(app: Flask, token: str | None, registry: CollectorRegistry | None = None) -> None:
    """Add the route. `registry` holds the values of a gateway that is one process; several share a folder instead."""
    expected = sha256(token.encode()).digest() if token else None
    pages = Blueprint("metrics", __name__)

    @pages.get("/metrics")
    @requires(PUBLIC)  # it has a token of its own
    def metrics() -> Response:
        _admit(expected)
        # Up to 0.2 s of work with 200 models: on a thread of its own this worker's streams wait for 35 ms at most.
        text = gevent.get_hub().threadpool.apply(exposition, (registry,))
        return Answer(text, 200, content_type=CONTENT_TYPE_LATEST)

    app.register_blueprint(pages)


def exposition(registry: CollectorRegistry | None) -> bytes:
    """Everything in Prometheus's text format."""
    folder = shared_folder()
    if folder is None:
        return generate_latest(registry or CollectorRegistry())
    shared = CollectorRegistry()
    MultiProcessCollector(shared, str(folder))  # type: ignore[no-untyped-call]  # prometheus_client's own
    return generate_latest(shared)


def _admit(expected: bytes | None) -> None:
    """By the token; without a configured one only a process of this machine that comes straight to us.

    Raises Unauthenticated or Forbidden.
    """
    if expected is None:
        if request.remote_addr in _LOOPBACK and not any(name in request.headers for name in _FORWARDED):
            return
        _refuse()
    if not hmac.compare_digest(sha256(bearer_token().encode()).digest(), expected):
        raise Unauthenticated


def _refuse() -> NoReturn:
    raise Forbidden("Metrics are for this machine alone until PARLEY_METRICS_TOKEN is set.")


@dataclass(slots=True)
class Sampler:
    """Sets the gauges of one worker; `run` is a greenlet of its own that never ends."""

    metrics: Metrics
    in_flight: Callable[[], int]
    lag: Callable[[], tuple[int, float]]
    """Records of the journal that are not in SQL yet, and the age of the oldest in seconds."""
    dropped_lines: Callable[[], int]
    count_rests: Callable[[], object] = int
    """Sets the gauge of credentials that are not called just now."""
    seconds: float = 1.0
    _dropped: int = 0

    def run(self) -> NoReturn:
        while True:
            self.sample()
            self.rest()

    def sample(self) -> None:
        metrics = self.metrics
        records, seconds = self.lag()
        metrics.workers.set(1)
        metrics.in_flight.set(self.in_flight())
        metrics.journal_lag_records.set(records)
        metrics.journal_lag_seconds.set(seconds)
        metrics.resident_bytes.set(_resident_bytes())
        self.count_rests()
        dropped = self.dropped_lines()
        metrics.log_lines_dropped.inc(dropped - self._dropped)
        self._dropped = dropped

    def rest(self) -> None:
        """Sleep; waking up much too late means that nothing else ran either."""
        due = time.monotonic() + self.seconds
        time.sleep(self.seconds)
        if time.monotonic() - due > _BLOCKED_SECONDS:
            self.metrics.hub_blocked.inc()


def _resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()

"""What a worker tells of itself for all to see, and what it clears away for all."""

import os
import socket
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import islice
from typing import Any

from application.admin_store import WorkerState
from application.breaker import Breaker
from application.idempotency import KEPT
from application.in_flight import InFlight
from application.model_ports import Rest
from application.ports import Clock
from application.store import Begin
from infrastructure.settings import Settings

_RESTS = 100
"""Told of at most: names of models may come from clients."""
_DAY = timedelta(days=1)
_KEPT = timedelta(days=30)
"""Logins that ended and one-time tokens that ran out: nothing works with them any more."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """Where a worker's state is read."""

    in_flight: InFlight
    breakers: Mapping[str, Breaker]
    """By resource: `database`, `redis`."""
    lag: Callable[[], tuple[int, float]]
    """Records of the journal that are not in SQL yet, and the age of the oldest in seconds."""
    pool: Callable[[], tuple[int, int]]
    """Database connections: how many are kept at most, and how many are in use."""
    config: Callable[[], str]
    """The hash of the configuration."""
    rests: Callable[[], Iterable[Rest]]
    """The providers' credentials that are not called just now."""
    program: str = field(default_factory=lambda: version("parley"))

    def read(self) -> dict[str, Any]:
        records, seconds = self.lag()
        size, used = self.pool()
        return {
            "pid": os.getpid(),
            "version": self.program,
            "config": self.config(),
            "in_flight": len(self.in_flight),
            "draining": self.in_flight.draining,
            "breakers": {name: _breaker(breaker) for name, breaker in self.breakers.items()},
            "journal": {"records": records, "seconds": round(seconds, 1)},
            "database_pool": {"size": size, "checked_out": used},
            "providers": [asdict(rest) for rest in islice(self.rests(), _RESTS)],
        }


@dataclass(frozen=True, slots=True)
class WorkerStateReport:
    """Of one worker; `id` is its own for its whole life, and nobody else's ever."""

    id: str
    begin: Begin
    clock: Clock
    gauges: Gauges
    started_at: datetime
    host: str = field(default_factory=socket.gethostname)

    @classmethod
    def begin_life(cls, begin: Begin, clock: Clock, gauges: Gauges) -> "WorkerStateReport":
        """Of the worker that this process is."""
        return cls(f"wrk_{uuid.uuid4().hex}", begin, clock, gauges, clock.now())

    def write(self) -> None:
        state = self.gauges.read()  # before the transaction, which takes a connection of the pool
        row = WorkerState(self.id, self.host, self.started_at, self.clock.now(), state)
        with self.begin() as work:
            work.workers.put(row)


def watched(settings: Settings, database: Breaker, redis: Breaker) -> dict[str, Breaker]:
    """The breakers of the servers that there are."""
    return {"database": database} if settings.redis_url is None else {"database": database, "redis": redis}


def sweep(begin: Begin, clock: Clock, turn_seconds: float) -> None:
    """Give back what dead workers held of budgets, and forget what is long over.

    `turn_seconds` is the age from which no call can be running any more.
    """
    now = clock.now()
    with begin() as work:
        work.budgets.sweep(now - timedelta(seconds=turn_seconds))
    with begin() as work:
        work.throttles.sweep(now - _DAY)
        work.logins.sweep(now - _KEPT)
        work.tokens.sweep(now - _KEPT)
        work.workers.sweep(now - _DAY)
        work.idempotency.sweep(now - KEPT)


def _breaker(breaker: Breaker) -> dict[str, Any]:
    return {"open": breaker.is_open, "reason": breaker.reason if breaker.is_open else ""}

"""The life of one worker process: what starts after the fork, how it drains, what it leaves behind."""

import signal
import uuid
from functools import partial
from types import FrameType
from typing import Any

import gevent
from gevent.event import Event

from application.in_flight import InFlight
from domain.errors import ServerShuttingDown
from infrastructure import edge
from infrastructure.app import container_of
from infrastructure.chores import attempt, every
from infrastructure.database import pool_state
from infrastructure.logging import dropped_lines, register_secret
from infrastructure.metrics import Sampler
from infrastructure.worker_states import Gauges, WorkerStateReport, sweep

_CLOSE_SECONDS = 5.0


def start(worker: Any) -> None:
    """Gunicorn's `post_worker_init`: patched, forked, the application loaded, no request accepted yet."""
    edge.guard()
    container = container_of(worker.wsgi)
    for secret in container.secrets():  # the operator's are known already, the installation's own is not
        register_secret(secret)
    in_flight = container.in_flight()
    container.journal().start()
    container.signals().listen(in_flight.stop)
    _begin_chores(container)
    gevent.spawn(every, 1.0, container.revocations().sweep)
    gevent.spawn(every, 10.0, container.capacity().renew)
    attempt(container.live_configuration().refresh)  # before the first request could miss it
    gevent.spawn(every, 5.0, container.live_configuration().refresh)
    gevent.spawn(Sampler(container.prometheus().metrics, in_flight.__len__, container.journal().lag, dropped_lines).run)
    _drain_on_term(in_flight, container.settings().server["drain"])


def stop(worker: Any) -> None:
    """Gunicorn's `worker_exit`: move what the journal still holds into SQL; what does not fit in time is reaped."""
    if worker.wsgi is not None:
        container_of(worker.wsgi).journal().close(_CLOSE_SECONDS)


def run_alone(container: Any) -> None:
    """`parley worker`: what runs in the background, without serving, until SIGTERM or SIGINT."""
    over = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, over.set)
    journal = container.journal()
    journal.start()
    _begin_chores(container)
    over.wait()
    journal.close(_CLOSE_SECONDS)


def _begin_chores(container: Any) -> None:
    """What any process can do for all, and several may do at the same time."""
    settings, begin, clock = container.settings(), container.begin(), container.clock()
    gevent.spawn(every, 1.0, container.rollups().advance)
    gevent.spawn(every, 60.0, partial(sweep, begin, clock, settings.turn_seconds))
    gevent.spawn(every, 5.0, _state_report(container).write)
    mails = container.mails()
    if mails is not None:
        gevent.spawn(every, 2.0, mails.deliver)


def _state_report(container: Any) -> WorkerStateReport:
    settings, clock = container.settings(), container.clock()
    breakers = {"database": container.database_breaker()}
    if settings.redis_url is not None:
        breakers["redis"] = container.redis_breaker()
    pool = partial(pool_state, container.engine())
    gauges = Gauges(container.in_flight(), breakers, container.journal().lag, pool, settings.config_hash)
    return WorkerStateReport(f"wrk_{uuid.uuid4().hex}", container.begin(), clock, gauges, clock.now())


def _drain_on_term(in_flight: InFlight, seconds: float) -> None:
    """Our deadline is earlier than gunicorn's, whose end is SIGKILL: running streams get an error event instead."""
    stop_accepting = signal.getsignal(signal.SIGTERM)

    def drain(number: int, frame: FrameType | None) -> None:
        in_flight.draining = True
        gevent.spawn_later(seconds, in_flight.cancel_all, ServerShuttingDown)
        if callable(stop_accepting):
            stop_accepting(number, frame)

    signal.signal(signal.SIGTERM, drain)

"""The life of one worker process: what starts after the fork, how it drains, what it leaves behind."""

import logging
import signal
from types import FrameType
from typing import Any

import gevent
from gevent.event import Event

from adapters.persistence.rollups import SqlRollups
from application.in_flight import InFlight
from domain.errors import ServerShuttingDown, Unavailable
from infrastructure import edge
from infrastructure.app import container_of
from infrastructure.logging import dropped_lines
from infrastructure.metrics import Sampler

_ROLLUP_SECONDS = 1.0
_ROLLUP_PAUSE = 60.0
"""After an error that the next round will probably meet again."""
_CLOSE_SECONDS = 5.0

_log = logging.getLogger(__name__)


def start(worker: Any) -> None:
    """Gunicorn's `post_worker_init`: patched, forked, the application loaded, no request accepted yet."""
    edge.guard()
    container = container_of(worker.wsgi)
    in_flight = container.in_flight()
    container.journal().start()
    container.signals().listen(in_flight.stop)
    gevent.spawn(_roll_up, container.rollups())
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
    gevent.spawn(_roll_up, container.rollups())
    over.wait()
    journal.close(_CLOSE_SECONDS)


def _drain_on_term(in_flight: InFlight, seconds: float) -> None:
    """Our deadline is earlier than gunicorn's, whose end is SIGKILL: running streams get an error event instead."""
    stop_accepting = signal.getsignal(signal.SIGTERM)

    def drain(number: int, frame: FrameType | None) -> None:
        in_flight.draining = True
        gevent.spawn_later(seconds, in_flight.cancel_all, ServerShuttingDown)
        if callable(stop_accepting):
            stop_accepting(number, frame)

    signal.signal(signal.SIGTERM, drain)


def _roll_up(rollups: SqlRollups) -> None:
    while True:
        gevent.sleep(_ROLLUP_SECONDS)
        try:
            rollups.advance()
        except Unavailable:  # the ledger keeps the rows; the next round sums them
            continue
        except Exception:  # noqa: BLE001 - the outermost frame of a greenlet that has to outlive everything
            _log.exception("the usage could not be summed up")
            gevent.sleep(_ROLLUP_PAUSE)

"""The life of one worker process: what starts after the fork, how it drains, what it leaves behind."""

import signal
from functools import partial
from types import FrameType
from typing import Any

import gevent
from gevent.event import Event

from api.limits import change_default_rate
from application.in_flight import InFlight
from domain.errors import ServerShuttingDown
from infrastructure import edge
from infrastructure.app import container_of
from infrastructure.chores import attempt, every
from infrastructure.guardrail_parts import rules
from infrastructure.logging import dropped_lines, register_secret
from infrastructure.metrics import Sampler
from infrastructure.parts import adopt_limits
from infrastructure.settings import accepted_copy
from infrastructure.worker_states import sweep

_CLOSE_SECONDS = 5.0
_LOOK_SECONDS = 0.05


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
    gevent.spawn(every, 1.0, in_flight.give_up)
    gevent.spawn(every, 10.0, container.capacity().renew)
    gevent.spawn(every, 1.0, container.image_jobs().renew)
    _keep_configured(worker.wsgi, container)
    gevent.spawn(_sampler(container).run)
    _drain_on_term(in_flight, container.settings().server["drain"])


def _keep_configured(app: Any, container: Any) -> None:
    """What administrators enter, and what the file says after a SIGHUP: one may have come while this worker began."""
    live, defaults = container.live_configuration(), container.default_limits()
    live.follow(partial(adopt_limits, defaults))
    live.follow(lambda settings: change_default_rate(app, settings.limits["rpm"], shadow=settings.limits["shadow"]))
    live.follow(lambda settings: container.guardrails().use(rules(settings.guardrails)))
    gevent.signal_handler(signal.SIGHUP, attempt, live.reload)
    attempt(partial(live.reload, accepted_copy()))
    attempt(live.refresh)  # before the first request could miss it
    gevent.spawn(every, 5.0, live.refresh)


def stop(worker: Any) -> None:
    """Gunicorn's `worker_exit`: move what the journal still holds into SQL; what does not fit in time is reaped."""
    if worker.wsgi is not None:
        container = container_of(worker.wsgi)
        _await_the_rest(container)
        container.journal().close(_CLOSE_SECONDS)


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
    gevent.spawn(every, 5.0, container.state_report().write)
    gevent.spawn(every, 2.0, container.image_jobs().sweep)
    gevent.spawn(every, 600.0, container.files().sweep)
    mails = container.mails()
    if mails is not None:
        gevent.spawn(every, 2.0, mails.deliver)


def _await_the_rest(container: Any) -> None:
    """Jobs, and answers heard without a client: for no request gunicorn does not wait. They end when the drain ends."""
    in_flight, jobs, beside = container.in_flight(), container.image_jobs(), container.generations().beside
    if (jobs.running or beside.running) and not in_flight.draining:  # it does not end by SIGTERM: nobody tells them
        in_flight.cancel_all(ServerShuttingDown)
    with gevent.Timeout(container.settings().server["drain"] + _CLOSE_SECONDS, exception=False):
        while jobs.running or beside.running:
            gevent.sleep(_LOOK_SECONDS)


def _sampler(container: Any) -> Sampler:
    return Sampler(
        container.prometheus().metrics,
        container.in_flight().__len__,
        container.journal().lag,
        dropped_lines,
        lambda: container.prometheus().count_rests(container.models().rests()),
    )


def _drain_on_term(in_flight: InFlight, seconds: float) -> None:
    """Our deadline is earlier than gunicorn's, whose end is SIGKILL: running streams get an error event instead."""
    stop_accepting = signal.getsignal(signal.SIGTERM)

    def drain(number: int, frame: FrameType | None) -> None:
        in_flight.draining = True
        gevent.spawn_later(seconds, in_flight.cancel_all, ServerShuttingDown)
        if callable(stop_accepting):
            stop_accepting(number, frame)

    signal.signal(signal.SIGTERM, drain)

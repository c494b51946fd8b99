"""What a worker tells of itself, and what it clears away."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from application.admin_store import Claim, WorkerState
from application.breaker import Breaker
from application.cancellation import Cancellation
from application.in_flight import InFlight
from application.model_ports import Rest
from domain.idempotency import KeyedCall
from domain.limits import Hold, Kind, Unit, Window
from domain.throttle import KEY_GUESS
from infrastructure.database import create_engine_for, pool_state
from infrastructure.worker_states import Gauges, WorkerStateReport, sweep
from tests.fakes import FrozenClock, MemoryBegin, RecordingRecorder

TURN_SECONDS = 660.0


class Worker:
    def __init__(self, folder: Path) -> None:
        self.clock, self.begin, self.in_flight = FrozenClock(), MemoryBegin(), InFlight()
        self.rests: list[Rest] = []
        self.database = Breaker("database", self.clock, RecordingRecorder(), failures=1)
        self.engine = create_engine_for("sqlite://", folder)
        gauges = Gauges(
            self.in_flight,
            {"database": self.database},
            lambda: (7, 1.26),
            partial(pool_state, self.engine),
            config=lambda: "c0ffee",
            rests=lambda: self.rests,
            program="1.2.3",
        )
        self.report = WorkerStateReport("wrk_1", self.begin, self.clock, gauges, self.clock.now(), host="box")

    def state(self) -> dict[str, Any]:
        self.report.write()
        return dict(self.begin.rows.workers["wrk_1"].state)


@pytest.fixture
def worker(tmp_path: Path):
    found = Worker(tmp_path)
    yield found
    found.engine.dispose()


def test_each_process_is_a_worker_of_its_own(worker):
    lives = [WorkerStateReport.begin_life(worker.begin, worker.clock, worker.report.gauges) for _ in range(2)]

    assert len({life.id for life in lives}) == 2
    assert [life.started_at for life in lives] == [worker.clock.now()] * 2


def test_a_worker_tells_what_it_does(worker):
    worker.in_flight.enter("req_1", Cancellation(10, worker.clock.monotonic))

    state = worker.state()

    assert state.pop("pid") > 1
    assert state == {
        "version": "1.2.3",
        "config": "c0ffee",
        "in_flight": 1,
        "draining": False,
        "breakers": {"database": {"open": False, "reason": ""}},
        "journal": {"records": 7, "seconds": 1.3},
        "database_pool": {"size": 1, "checked_out": 0},
        "providers": [],
    }


def test_credentials_that_rest_are_told_with_the_reason_and_without_their_secret(worker):
    worker.rests = [Rest("acme", "#2", "large", "open", 8.5, "upstream_error")]

    assert worker.state()["providers"] == [
        {
            "provider": "acme",
            "credential": "#2",
            "model": "large",
            "state": "open",
            "seconds": 8.5,
            "reason": "upstream_error",
        }
    ]


def test_not_more_rests_are_told_than_fit_into_a_row(worker):
    worker.rests = [Rest("acme", "#1", f"made-up-{number}", "open", 1.0, "upstream_error") for number in range(500)]

    assert len(worker.state()["providers"]) == 100


def test_its_row_says_who_and_where_and_since_when(worker):
    worker.report.write()
    worker.clock.advance(5)
    worker.report.write()

    (row,) = worker.begin.rows.workers.values()
    assert (row.id, row.host) == ("wrk_1", "box")
    assert row.seen_at - row.started_at == timedelta(seconds=5)


def test_an_open_breaker_is_told_with_its_reason_and_a_closed_one_without(worker):
    worker.database.failed("OperationalError")
    assert worker.state()["breakers"]["database"] == {"open": True, "reason": "OperationalError"}

    worker.database.succeeded()
    assert worker.state()["breakers"]["database"] == {"open": False, "reason": ""}


def test_a_worker_that_drains_says_so(worker):
    worker.in_flight.draining = True

    assert worker.state()["draining"] is True


def test_connections_in_use_are_counted():
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=3)
    with engine.connect():
        found = pool_state(engine)
    engine.dispose()

    assert found == (3, 1)


def test_an_engine_without_a_pool_has_no_connections_to_count():
    engine = create_engine("sqlite://")

    assert pool_state(engine) == (0, 0)


# ── sweeping ─────────────────────────────────────────────────────────────────────────────────────────────────────


def a_hold(amount: int, clock: FrozenClock) -> Hold:
    return Hold(Kind.KEY, "key_1", Unit.TOKENS, Window.DAY, clock.now().date(), amount)


def reserve(worker: Worker, request_id: str, amount: int) -> int:
    """What is left of 100 then."""
    with worker.begin() as work:
        (left,) = work.budgets.reserve(request_id, [Claim(a_hold(amount, worker.clock), 100)], worker.clock.now())
        return left


def test_what_a_dead_worker_held_of_a_budget_is_given_back_when_no_call_can_be_that_old(worker):
    reserve(worker, "req_1", 60)
    worker.clock.advance(TURN_SECONDS)
    sweep(worker.begin, worker.clock, TURN_SECONDS)
    assert reserve(worker, "req_2", 10) == 30

    worker.clock.advance(1)
    sweep(worker.begin, worker.clock, TURN_SECONDS)

    assert reserve(worker, "req_3", 10) == 80


def test_what_requests_with_keys_were_answered_is_kept_for_a_day(worker):
    with worker.begin() as work:
        work.idempotency.claim(KeyedCall(b"id", "usr_1", b"fingerprint", "req_1", worker.clock.now()))
    worker.clock.advance(86_400)
    sweep(worker.begin, worker.clock, TURN_SECONDS)
    assert len(worker.begin.rows.keyed) == 1

    worker.clock.advance(1)
    sweep(worker.begin, worker.clock, TURN_SECONDS)

    assert worker.begin.rows.keyed == {}


def test_throttles_and_workers_of_yesterday_are_forgotten(worker):
    with worker.begin() as work:
        work.throttles.hit("key:192.0.2.1", KEY_GUESS, worker.clock.now())
        work.workers.put(WorkerState("wrk_0", "box", worker.clock.now(), worker.clock.now(), {}))
    worker.clock.advance(86_400)
    sweep(worker.begin, worker.clock, TURN_SECONDS)
    assert (len(worker.begin.rows.throttles), len(worker.begin.rows.workers)) == (1, 1)

    worker.clock.advance(1)
    sweep(worker.begin, worker.clock, TURN_SECONDS)

    assert (worker.begin.rows.throttles, worker.begin.rows.workers) == ({}, {})

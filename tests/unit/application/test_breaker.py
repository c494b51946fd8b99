import pytest

from application.breaker import Breaker
from application.facts import BreakerChanged
from tests.fakes import FrozenClock, RecordingRecorder


class Case:
    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.record = RecordingRecorder()
        self.breaker = Breaker("redis", self.clock, self.record, failures=3, seconds=2.0)

    def trip(self) -> Breaker:
        for _ in range(3):
            self.breaker.failed("timeout")
        return self.breaker


@pytest.fixture
def case() -> Case:
    return Case()


def test_it_lets_calls_pass_while_they_succeed(case: Case):
    case.breaker.succeeded()

    assert case.breaker.allows()
    assert not case.breaker.is_open
    assert case.record.facts == []


def test_a_success_forgets_the_failures_before_it(case: Case):
    for _ in range(5):
        case.breaker.failed("timeout")
        case.breaker.failed("timeout")
        case.breaker.succeeded()

    assert case.breaker.allows()


def test_it_opens_after_failures_in_a_row_and_nobody_waits_any_more(case: Case):
    breaker = case.trip()

    assert breaker.is_open
    assert not breaker.allows()
    assert breaker.reason == "timeout"
    assert case.record.facts == [BreakerChanged("redis", open=True, reason="timeout")]


def test_one_probe_per_pause_is_let_through(case: Case):
    breaker = case.trip()
    case.clock.advance(2.0)

    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_a_probe_that_succeeds_closes_it(case: Case):
    breaker = case.trip()
    case.clock.advance(2.0)
    assert breaker.allows()

    breaker.succeeded()

    assert breaker.allows()
    assert case.record.facts[-1] == BreakerChanged("redis", open=False, reason="")


def test_a_probe_that_fails_starts_the_pause_again_without_a_word(case: Case):
    breaker = case.trip()
    case.clock.advance(2.0)
    assert breaker.allows()
    case.clock.advance(1.0)

    breaker.failed("refused")

    case.clock.advance(1.9)
    assert not breaker.allows()
    case.clock.advance(0.2)
    assert breaker.allows()
    assert len(case.record.facts) == 1


def test_after_it_closed_it_takes_as_many_failures_as_before(case: Case):
    case.trip().succeeded()

    case.breaker.failed("timeout")

    assert case.breaker.allows()

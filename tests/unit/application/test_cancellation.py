import pytest

from application.cancellation import Cancellation
from domain.errors import ClientGone, StoppedByUser
from domain.provider_errors import UpstreamTotalTimeout
from tests.fakes import FrozenClock


def test_nothing_happens_until_somebody_cancels():
    cancellation = Cancellation(600, FrozenClock().monotonic)

    cancellation.check()

    assert (cancellation.reason, cancellation.attempts) == (None, [])


def test_the_first_reason_wins():
    cancellation = Cancellation(600, FrozenClock().monotonic)

    cancellation.cancel(StoppedByUser())
    cancellation.cancel(ClientGone())

    with pytest.raises(StoppedByUser):
        cancellation.check()


def test_whoever_waits_is_woken_once():
    cancellation, woken = Cancellation(600, FrozenClock().monotonic), []
    cancellation.on_cancel(lambda: woken.append(cancellation.reason.code))

    cancellation.cancel(StoppedByUser())
    cancellation.cancel(ClientGone())

    assert woken == ["stopped"]


def test_whoever_comes_too_late_does_not_wait_at_all():
    cancellation, woken = Cancellation(600, FrozenClock().monotonic), []
    cancellation.cancel(StoppedByUser())

    cancellation.on_cancel(lambda: woken.append("late"))
    cancellation.on_cancel(None)

    assert woken == ["late"]


def test_who_has_gone_is_not_woken():
    cancellation, woken = Cancellation(600, FrozenClock().monotonic), []
    cancellation.on_cancel(lambda: woken.append("late"))
    cancellation.on_cancel(None)

    cancellation.cancel(StoppedByUser())

    assert woken == []


def test_time_runs_out():
    clock = FrozenClock()
    cancellation = Cancellation(10, clock.monotonic)

    clock.advance(4)
    assert cancellation.remaining() == 6
    cancellation.check()
    clock.advance(7)

    assert cancellation.remaining() == 0
    with pytest.raises(UpstreamTotalTimeout):
        cancellation.check()


def test_a_reason_is_told_before_the_time():
    clock = FrozenClock()
    cancellation = Cancellation(10, clock.monotonic)

    cancellation.cancel(ClientGone())
    clock.advance(11)

    with pytest.raises(ClientGone):
        cancellation.check()


def test_a_limit_counts_from_the_beginning_and_only_shortens():
    clock = FrozenClock()
    cancellation = Cancellation(600, clock.monotonic)
    clock.advance(10)

    cancellation.limit(30)
    assert cancellation.remaining() == 20
    cancellation.limit(900)
    assert cancellation.remaining() == 20


def test_a_limit_is_of_one_provider_and_the_next_has_its_own_from_the_moment_it_is_asked():
    clock = FrozenClock()
    cancellation = Cancellation(600, clock.monotonic)
    cancellation.limit(30)
    clock.advance(40)
    assert (cancellation.remaining(), cancellation.is_over) == (0, False)

    cancellation.pass_on()
    assert cancellation.remaining() == 560
    cancellation.limit(30)
    assert cancellation.remaining() == 30

    clock.advance(560)
    cancellation.pass_on()
    assert (cancellation.remaining(), cancellation.is_over) == (0, True)


def test_who_has_to_hurry_gets_no_more_time_from_another_provider():
    clock = FrozenClock()
    cancellation = Cancellation(600, clock.monotonic)
    cancellation.hurry(5)

    cancellation.pass_on()

    assert cancellation.remaining() == 5


def test_a_client_that_leaves_cancels_nothing_that_is_billed_anyway():
    cancellation, woken = Cancellation(600, FrozenClock().monotonic), []
    cancellation.on_cancel(lambda: woken.append(True))
    cancellation.drains = True

    cancellation.cancel(ClientGone())
    cancellation.check()

    assert (cancellation.left, cancellation.reason, woken) == (True, None, [])
    cancellation.cancel(StoppedByUser())
    assert isinstance(cancellation.reason, StoppedByUser)
    assert (woken, cancellation.leave()) == ([True], False)


def test_whoever_is_to_hurry_has_the_seconds_from_now():
    clock = FrozenClock()
    cancellation = Cancellation(600, clock.monotonic)
    clock.advance(10)

    cancellation.hurry(30)
    assert cancellation.remaining() == 30
    cancellation.hurry(900)
    assert cancellation.remaining() == 30

import pytest

from application.cancellation import Cancellation
from application.in_flight import InFlight
from domain.errors import Overloaded, ServerShuttingDown, StoppedByUser
from tests.fakes import FrozenClock


def a_cancellation() -> Cancellation:
    return Cancellation(600, FrozenClock().monotonic)


def test_more_than_the_limit_is_refused_early():
    in_flight = InFlight(limit=2)
    in_flight.enter("req_1", a_cancellation())
    in_flight.enter("req_2", a_cancellation())

    with pytest.raises(Overloaded) as refusal:
        in_flight.enter("req_3", a_cancellation())

    assert refusal.value.retry_after == 1
    assert len(in_flight) == 2


def test_who_leaves_makes_room():
    in_flight = InFlight(limit=1)
    in_flight.enter("req_1", a_cancellation())

    in_flight.leave("req_1")
    in_flight.leave("req_1")

    in_flight.enter("req_2", a_cancellation())
    assert len(in_flight) == 1


def test_a_process_that_is_leaving_takes_nothing_new():
    in_flight = InFlight()
    in_flight.draining = True

    with pytest.raises(ServerShuttingDown):
        in_flight.enter("req_1", a_cancellation())


def test_one_generation_is_cancelled_by_its_id():
    in_flight, one, two = InFlight(), a_cancellation(), a_cancellation()
    in_flight.enter("req_1", one)
    in_flight.enter("req_2", two)

    assert in_flight.stop("req_1")

    assert isinstance(one.reason, StoppedByUser)
    assert two.reason is None


def test_what_runs_elsewhere_is_not_cancelled_here():
    assert not InFlight().stop("req_1")


def test_all_of_them_are_cancelled_at_once_although_they_leave_meanwhile():
    in_flight, all_of_them = InFlight(), [a_cancellation() for _ in range(3)]
    for number, cancellation in enumerate(all_of_them):
        in_flight.enter(f"req_{number}", cancellation)
        cancellation.on_cancel(lambda number=number: in_flight.leave(f"req_{number}"))

    in_flight.cancel_all(ServerShuttingDown)

    assert {type(cancellation.reason) for cancellation in all_of_them} == {ServerShuttingDown}
    assert len({id(cancellation.reason) for cancellation in all_of_them}) == 3
    assert len(in_flight) == 0

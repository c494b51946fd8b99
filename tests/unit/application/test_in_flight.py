import pytest

from application.cancellation import Cancellation
from application.in_flight import InFlight
from domain.errors import ClientGone, KeyRevoked, Overloaded, ServerShuttingDown, StoppedByUser
from tests.builders import a_principal
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


def test_it_knows_on_whose_behalf_something_runs_until_somebody_ends_it():
    in_flight, ada, eve = InFlight(), a_principal(), a_principal(user_id="usr_2")
    calls = {request_id: a_cancellation() for request_id in ("req_1", "req_2", "req_3", "req_4")}
    for (request_id, call), principal in zip(calls.items(), (ada, eve, ada, None), strict=True):
        in_flight.enter(request_id, call, principal)

    assert in_flight.running() == [("req_1", ada), ("req_2", eve), ("req_3", ada)]
    calls["req_2"].cancel(ClientGone())
    in_flight.leave("req_3")
    assert in_flight.running() == [("req_1", ada)]


def test_a_call_is_ended_for_a_reason():
    in_flight, call = InFlight(), a_cancellation()
    in_flight.enter("req_1", call)

    assert in_flight.end("req_1", KeyRevoked())

    assert isinstance(call.reason, KeyRevoked)
    assert not in_flight.end("req_2", KeyRevoked())


def a_left_one(in_flight: InFlight, name: str) -> Cancellation:
    cancellation = a_cancellation()
    cancellation.drains = True
    in_flight.enter(name, cancellation)
    cancellation.cancel(ClientGone())
    return cancellation


def test_sixteen_answers_are_heard_to_their_end_without_a_client_and_no_more():
    in_flight = InFlight()
    left = [a_left_one(in_flight, f"req_{number}").left for number in range(18)]

    assert left == [True] * 16 + [False] * 2

    in_flight.leave("req_0")
    assert a_left_one(in_flight, "req_18").left


def test_whoever_left_already_needs_no_more_room():
    in_flight = InFlight()
    first = a_left_one(in_flight, "req_0")
    for number in range(1, 16):
        a_left_one(in_flight, f"req_{number}")
    first.cancel(ClientGone())

    assert first.leave()
    assert first.reason is None


@pytest.mark.parametrize("turns", [["work", "request"], ["request", "work"]])
def test_what_goes_on_after_its_request_stays_until_both_have_left(turns: list[str]):
    in_flight, cancellation = InFlight(), a_cancellation()
    in_flight.enter("req_1", cancellation)
    in_flight.stay("req_1")

    seen = []
    for _ in turns:
        in_flight.leave("req_1")
        seen.append(in_flight.stop("req_1"))

    assert seen == [True, False]
    assert isinstance(cancellation.reason, StoppedByUser)


def test_what_nobody_waits_for_is_given_up_in_the_end():
    clock = FrozenClock()
    in_flight, cancellations = InFlight(), [Cancellation(600, clock.monotonic) for _ in range(2)]
    for number, cancellation in enumerate(cancellations):
        in_flight.enter(f"req_{number}", cancellation)
    cancellations[0].drains = True
    cancellations[0].cancel(ClientGone())

    clock.advance(60)
    in_flight.give_up()

    assert [type(cancellation.reason) for cancellation in cancellations] == [ClientGone, type(None)]

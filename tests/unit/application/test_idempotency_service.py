from dataclasses import replace

import pytest

from application.facts import RequestRepeated
from application.idempotency import KEPT, IdempotencyService
from domain.errors import (
    DatabaseBusy,
    DatabaseUnavailable,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    RequestAbandoned,
)
from domain.idempotency import Reply
from domain.ledger import State
from tests.builders import a_principal, a_settled, an_entry
from tests.world import World

HELLO, BYE = b"h" * 32, b"b" * 32
REPLY = Reply(200, (("Content-Type", "application/json"),), b"Hello")
TURN = 660


def claim(world: World, request_id: str = "req_1", fingerprint: bytes = HELLO, **caller):
    return world.idempotency.claim(a_principal(**caller), "key", fingerprint, request_id)


def settle(world: World, state: State):
    world.begin.apply([a_settled(entries=(an_entry(request_id="req_1", state=state),), request_id="req_1")])


def outcomes(world: World):
    return [fact.outcome for fact in world.record.facts if isinstance(fact, RequestRepeated)]


def test_the_first_request_with_a_key_is_to_be_executed(world: World):
    assert claim(world).reply is None
    assert outcomes(world) == []


def test_a_repeat_waits_while_the_first_is_running(world: World):
    claim(world)

    with pytest.raises(IdempotencyInProgress) as refusal:
        claim(world, "req_2")

    assert (refusal.value.retry_after, refusal.value.retryable) == (1, True)
    assert outcomes(world) == ["idempotency_in_progress"]


def test_a_repeat_gets_the_reply_of_the_first(world: World):
    world.idempotency.finish(claim(world), REPLY)

    assert claim(world, "req_2").reply == claim(world, "req_3").reply == REPLY
    assert outcomes(world) == ["replayed", "replayed"]


def test_what_follows_a_long_reply_is_read_part_by_part_and_no_transaction_stays_open(world: World):
    world.idempotency.finish(claim(world), REPLY, [b"two", b"three"])
    rest = world.idempotency.rest(claim(world, "req_2"))
    before = world.begin.begun

    assert (next(rest), world.begin.begun, world.begin.open) == (b"two", before + 1, 0)
    assert list(rest) == [b"three"]


def test_a_long_reply_ends_early_when_its_key_is_another_requests_meanwhile(world: World):
    world.idempotency.finish(claim(world), REPLY, [b"two", b"three"])
    rest = world.idempotency.rest(claim(world, "req_2"))
    next(rest)
    world.clock.advance(KEPT.total_seconds())
    world.idempotency.finish(claim(world, "req_3", BYE), REPLY, [b"2", b"3"])

    assert list(rest) == []


@pytest.mark.parametrize("finished", [False, True])
def test_another_request_with_the_same_key_is_refused(world: World, finished):
    call = claim(world)
    if finished:
        world.idempotency.finish(call, REPLY)

    with pytest.raises(IdempotencyKeyReused):
        claim(world, "req_2", BYE)

    assert outcomes(world) == ["idempotency_key_reused"]


def test_another_user_with_the_same_key_is_independent(world: World):
    world.idempotency.finish(claim(world), REPLY)

    assert claim(world, "req_2", BYE, user_id="usr_2").reply is None


def test_a_key_that_was_given_back_is_free_for_any_request(world: World):
    world.idempotency.release(claim(world))

    assert claim(world, "req_2", BYE).request_id == "req_2"


def test_what_was_left_by_a_dead_worker_is_never_executed_again(world: World):
    claim(world)
    settle(world, State.ABANDONED)

    for request_id in ("req_2", "req_3"):
        with pytest.raises(RequestAbandoned):
            claim(world, request_id)

    assert outcomes(world) == ["request_abandoned", "request_abandoned"]


def test_between_its_end_and_its_reply_a_call_counts_as_running(world: World):
    call = claim(world)
    settle(world, State.COMPLETED)

    with pytest.raises(IdempotencyInProgress):
        claim(world, "req_2")

    world.idempotency.finish(call, REPLY)
    assert claim(world, "req_3").reply == REPLY


def test_a_call_that_ended_and_whose_reply_never_came_is_abandoned_in_the_end(world: World):
    claim(world)
    settle(world, State.COMPLETED)
    world.clock.advance(TURN + 1)

    with pytest.raises(RequestAbandoned):
        claim(world, "req_2")


def test_a_claim_whose_worker_died_before_it_began_is_free_again(world: World):
    claim(world)
    world.clock.advance(TURN)
    with pytest.raises(IdempotencyInProgress):
        claim(world, "req_2")
    world.clock.advance(1)

    assert claim(world, "req_3", BYE).request_id == "req_3"
    with pytest.raises(IdempotencyInProgress):
        claim(world, "req_4", BYE)


def test_whoever_lost_the_key_keeps_nothing_under_it(world: World):
    lost = claim(world)
    world.clock.advance(TURN + 1)
    own = claim(world, "req_2")

    world.idempotency.finish(lost, REPLY)
    world.idempotency.release(lost)
    world.idempotency.finish(own, replace(REPLY, body=b"own"))

    assert claim(world, "req_3").reply == replace(REPLY, body=b"own")


def test_after_a_day_the_key_is_free_whether_or_not_it_was_swept(world: World):
    world.idempotency.finish(claim(world), REPLY)
    world.clock.advance(KEPT.total_seconds() - 1)
    assert claim(world, "req_2").reply == REPLY
    world.clock.advance(1)

    assert claim(world, "req_3", BYE).reply is None


def test_without_the_database_nothing_is_claimed(world: World):
    world.begin.down = DatabaseUnavailable()

    with pytest.raises(DatabaseUnavailable):
        claim(world)


def test_what_cannot_be_kept_or_given_back_is_no_error_and_the_key_stays_taken(world: World):
    call = claim(world)
    world.begin.down = DatabaseUnavailable()
    world.idempotency.finish(call, REPLY)
    world.idempotency.release(call)
    world.begin.down = None

    with pytest.raises(IdempotencyInProgress):
        claim(world, "req_2")


def test_a_busy_database_is_asked_again_and_not_for_ever(world: World):
    pauses = []

    def pause():
        pauses.append(world.begin.down)
        if len(pauses) == free_after:
            world.begin.down = None

    service = IdempotencyService(world.begin, world.clock, world.record, pause=pause)
    free_after = 3
    world.begin.down = DatabaseBusy()
    assert service.claim(a_principal(), "key", HELLO, "req_1").reply is None
    assert len(pauses) == 3

    free_after = 99
    world.begin.down = DatabaseBusy()
    with pytest.raises(DatabaseBusy):
        service.claim(a_principal(), "key", HELLO, "req_2")
    assert len(pauses) == 6

"""What the repository of idempotency keys does. Provide the fixtures `begin` on an empty store, and `apply`."""

from dataclasses import replace
from datetime import timedelta

from domain.idempotency import PART, KeyedCall, Reply
from domain.ledger import Kind, State
from tests.builders import NOW, a_settled, an_entry

LATER = NOW + timedelta(hours=1)
BYTES = bytes(range(256)) * 300
REPLY = Reply(200, (("Content-Type", "application/json"), ("X-Parley-Model", "large")), BYTES)


def a_call(number: int = 1, **fields):
    given = {
        "id": bytes([number]) * 32,
        "user_id": "usr_1",
        "fingerprint": bytes(32),
        "request_id": f"req_{number}",
        "claimed_at": NOW,
    }
    return KeyedCall(**{**given, **fields})


def put(begin, *calls):
    with begin() as work:
        for call in calls:
            assert work.idempotency.claim(call) == call


def stored(begin, call):
    """What has the key of `call`, None when it is free."""
    probe = replace(call, request_id="req_probe", reply=None)
    with begin() as work:
        found = work.idempotency.claim(probe)
        work.idempotency.release(probe)
    return None if found == probe else found


def rest(begin, call):
    """What follows the body of its reply."""
    found = []
    with begin() as work:
        while (part := work.idempotency.part(call, len(found) + 1)) is not None:
            found.append(part)
    return found


class IdempotencyContract:
    def test_the_first_claim_of_a_key_gets_it_and_every_other_learns_whose_it_is(self, begin):
        first, second = a_call(), a_call(request_id="req_2", user_id="usr_2", fingerprint=b"x" * 32, claimed_at=LATER)
        with begin() as work:
            assert work.idempotency.claim(first) == first
            assert work.idempotency.claim(second) == first
        with begin() as work:
            assert work.idempotency.claim(second) == first

    def test_keys_are_told_apart_by_every_byte(self, begin):
        calls = [a_call(id=b"k" * 31 + last, request_id=f"req_{last}") for last in (b"a", b"A", b"\0", b" ", b"\xe4")]
        put(begin, *calls)

        assert [stored(begin, call) for call in calls] == calls

    def test_a_reply_is_kept_byte_by_byte(self, begin):
        put(begin, a_call())
        with begin() as work:
            work.idempotency.finish(a_call(), REPLY)

        assert stored(begin, a_call()) == a_call(reply=REPLY)

    def test_a_long_reply_is_kept_in_parts_that_are_found_by_their_numbers(self, begin):
        put(begin, a_call(), a_call(2))
        long = [b"\0" * PART, bytes(range(256)) * (PART >> 8), b"end"]
        with begin() as work:
            work.idempotency.finish(a_call(), replace(REPLY, body=b"b" * PART), long)
            work.idempotency.finish(a_call(2), REPLY, [b"another"])

        assert stored(begin, a_call()) == a_call(reply=replace(REPLY, body=b"b" * PART))
        assert rest(begin, a_call()) == long
        assert rest(begin, a_call(2)) == [b"another"]

    def test_a_reply_that_was_kept_stays_whoever_finishes_again(self, begin):
        """As after a COMMIT whose answer was lost."""
        put(begin, a_call())
        for body, parts in ((b"1", [b"2", b"3"]), (b"1", [b"2", b"3"]), (b"4", [b"5"]), (b"6", [])):
            with begin() as work:
                work.idempotency.finish(a_call(), replace(REPLY, body=body), parts)

        assert stored(begin, a_call()) == a_call(reply=replace(REPLY, body=b"1"))
        assert rest(begin, a_call()) == [b"2", b"3"]

    def test_nothing_is_left_of_a_long_reply_that_is_forgotten(self, begin):
        other = a_call(request_id="req_2")
        for forget in (
            lambda work: work.idempotency.forget("usr_1"),
            lambda work: work.idempotency.sweep(LATER),
            lambda work: work.idempotency.take_over(other),
        ):
            put(begin, a_call())
            with begin() as work:
                work.idempotency.finish(a_call(), REPLY, [b"2", b"3"])
                forget(work)
                work.idempotency.claim(other)
                work.idempotency.finish(other, REPLY, [b"own"])

            assert rest(begin, a_call()) == []
            assert rest(begin, other) == [b"own"]
            with begin() as work:
                work.idempotency.sweep(LATER)

    def test_a_key_that_was_given_back_is_free(self, begin):
        put(begin, a_call())
        with begin() as work:
            work.idempotency.release(a_call())

        assert stored(begin, a_call()) is None

    def test_a_reply_is_not_given_back(self, begin):
        put(begin, a_call())
        with begin() as work:
            work.idempotency.finish(a_call(), REPLY)
            work.idempotency.release(a_call())

        assert stored(begin, a_call()) == a_call(reply=REPLY)

    def test_whoever_has_not_the_key_changes_nothing(self, begin):
        put(begin, a_call())
        other = a_call(request_id="req_2")
        with begin() as work:
            for call in (other, a_call(3)):
                work.idempotency.finish(call, REPLY, [b"rest"])
                work.idempotency.release(call)

        assert stored(begin, a_call()) == a_call()
        assert stored(begin, a_call(3)) is None
        assert rest(begin, a_call()) == rest(begin, other) == rest(begin, a_call(3)) == []

    def test_a_key_that_is_taken_over_is_wholly_the_other_requests(self, begin):
        other = a_call(request_id="req_2", fingerprint=b"y" * 32, claimed_at=LATER)
        put(begin, a_call())
        with begin() as work:
            work.idempotency.finish(a_call(), REPLY)
            work.idempotency.take_over(other)
            work.idempotency.finish(a_call(), replace(REPLY, status=500))

        assert stored(begin, a_call()) == other

    def test_how_a_request_ended_is_told_by_its_final_row_alone(self, begin, apply):
        attempt = an_entry(kind=Kind.ATTEMPT, attempt=1, request_id="req_2", state=State.FAILED)
        for request_id, entries in (
            ("req_1", (an_entry(request_id="req_1", state=State.ABANDONED),)),
            ("req_2", (attempt,)),
            ("req_3", (an_entry(request_id="req_3"),)),
        ):
            apply([a_settled(request_id=request_id, entries=entries)])

        with begin() as work:
            outcomes = [work.idempotency.outcome(f"req_{number}") for number in (1, 2, 3, 4)]
        assert outcomes == [State.ABANDONED, None, State.COMPLETED, None]

    def test_a_user_who_goes_leaves_nothing(self, begin):
        put(begin, a_call(1), a_call(2), a_call(3, user_id="usr_2"))
        with begin() as work:
            work.idempotency.forget("usr_1")

        assert [stored(begin, a_call(number)) for number in (1, 2)] == [None, None]
        assert stored(begin, a_call(3)) == a_call(3, user_id="usr_2")

    def test_only_what_is_old_enough_is_swept(self, begin):
        put(begin, a_call(1), a_call(2), a_call(3, claimed_at=LATER))
        with begin() as work:
            work.idempotency.finish(a_call(2), REPLY)
            assert (work.idempotency.sweep(LATER), work.idempotency.sweep(LATER)) == (2, 0)

        assert stored(begin, a_call(1)) is None
        assert stored(begin, a_call(3)) == a_call(3, claimed_at=LATER)

"""What every Capacity does."""

from collections.abc import Callable

from application.ports import Capacity, Share, Verdict

LEASE = 0.6
"""Seconds; of what is tested here."""

Act = Callable[[], object]


def admitted(capacity: Capacity, shares: list[Share], tokens: int = 0, calls: int = 10, name: str = "req") -> int:
    """How many of so many calls pass; they all go on running."""
    verdicts = [capacity.reserve(f"{name}_{number}", shares, tokens) for number in range(calls)]
    return sum(verdict.refused is None for verdict in verdicts)


class CapacityContract:
    """Subclass it with fixtures: `capacity` with leases of `LEASE`, `pass_time`, and `next_minute` for its tokens."""

    def test_no_more_calls_run_at_once_than_are_allowed(self, capacity: Capacity):
        shares = [Share("a", concurrency=3)]
        assert admitted(capacity, shares) == 3

        refusal = capacity.reserve("req_x", shares, 5)

        assert (refusal.refused, refusal.by_tokens) == (0, False)
        assert refusal.retry_after > 0

    def test_a_call_that_ends_makes_room_for_one(self, capacity: Capacity):
        shares = [Share("a", concurrency=2)]
        admitted(capacity, shares, calls=2)

        capacity.settle("req_0", 0)

        assert admitted(capacity, shares, name="next") == 1

    def test_settling_twice_or_what_is_unknown_frees_nothing(self, capacity: Capacity):
        shares = [Share("a", tpm=100, concurrency=2)]
        admitted(capacity, shares, 10, calls=2)

        for request_id in ("req_0", "req_0", "req_unknown"):
            capacity.settle(request_id, 0)

        assert capacity.reserve("next", shares, 0).tokens[0][1] == 90
        assert capacity.reserve("one too many", shares, 0).refused == 0

    def test_the_tokens_of_a_minute_add_up_to_the_limit(self, capacity: Capacity):
        shares = [Share("a", tpm=100)]
        assert admitted(capacity, shares, 30) == 3

        refusal = capacity.reserve("req_x", shares, 11)

        assert (refusal.refused, refusal.by_tokens) == (0, True)
        assert 58 < refusal.retry_after <= 60
        assert capacity.reserve("req_y", shares, 10).refused is None

    def test_it_tells_what_is_left_and_for_how_long(self, capacity: Capacity):
        shares = [Share("a", concurrency=9), Share("b", tpm=100), Share("c", tpm=50)]

        (b, b_left, b_reset), (c, c_left, _) = capacity.reserve("req_1", shares, 30).tokens

        assert ((b, b_left), (c, c_left)) == ((1, 70), (2, 20))
        assert 58 < b_reset <= 60
        refusal = capacity.reserve("req_2", shares, 30)
        assert [(index, left) for index, left, _ in refusal.tokens] == [(1, 70), (2, 20)]

    def test_the_next_minute_begins_at_zero(self, capacity: Capacity, next_minute: Act):
        shares = [Share("a", tpm=100)]
        admitted(capacity, shares, 50)

        next_minute()

        assert admitted(capacity, shares, 50, name="next") == 2

    def test_what_was_not_used_is_given_back(self, capacity: Capacity):
        shares = [Share("a", tpm=100)]
        capacity.reserve("req_1", shares, 90)

        capacity.settle("req_1", 10)

        assert capacity.reserve("req_2", shares, 20).tokens[0][1] == 70

    def test_what_was_used_beyond_the_estimate_counts(self, capacity: Capacity):
        shares = [Share("a", tpm=100)]
        capacity.reserve("req_1", shares, 10)

        capacity.settle("req_1", 250)

        assert capacity.reserve("req_2", shares, 1).refused == 0

    def test_a_call_that_ends_in_a_later_minute_changes_nothing_there(self, capacity: Capacity, next_minute: Act):
        shares = [Share("a", tpm=100)]
        capacity.reserve("req_1", shares, 90)
        next_minute()
        capacity.reserve("req_2", shares, 40)

        capacity.settle("req_1", 5)

        assert capacity.reserve("req_3", shares, 10).tokens[0][1] == 50

    def test_a_call_larger_than_the_limit_may_have_a_minute_of_its_own(self, capacity: Capacity, next_minute: Act):
        shares = [Share("a", tpm=100)]
        assert admitted(capacity, shares, 5_000) == 1

        next_minute()
        capacity.reserve("small", shares, 1)

        assert capacity.reserve("large", shares, 5_000).refused == 0

    def test_a_limit_of_zero_lets_nothing_pass(self, capacity: Capacity):
        assert capacity.reserve("req_1", [Share("a", tpm=0)], 0).refused == 0
        assert capacity.reserve("req_1", [Share("a", concurrency=0)], 0).refused == 0

    def test_a_refused_call_takes_nothing_from_anybody(self, capacity: Capacity):
        wide, full = Share("wide", tpm=100, concurrency=1), Share("full", concurrency=0)

        assert capacity.reserve("req_1", [wide, full], 70).refused == 1

        assert capacity.reserve("req_2", [wide], 70).tokens == ((0, 30, 60.0),)
        capacity.settle("req_1", 0)
        assert capacity.reserve("req_3", [wide], 0).refused == 0

    def test_all_shares_of_a_call_count(self, capacity: Capacity):
        team = Share("team", concurrency=3)

        assert admitted(capacity, [Share("a", concurrency=2), team], name="a") == 2
        assert admitted(capacity, [Share("b", concurrency=2), team], name="b") == 1

    def test_in_shadow_a_call_counts_and_passes_and_that_is_told(self, capacity: Capacity):
        shares = [Share("a", tpm=100, enforced=False), Share("b", concurrency=1, enforced=False)]
        assert capacity.reserve("req_1", shares, 80).over == ()

        verdict = capacity.reserve("req_2", shares, 80)

        assert verdict == Verdict(tokens=((0, 0, verdict.tokens[0][2]),), over=((0, True), (1, False)))
        assert capacity.reserve("req_3", [Share("a", tpm=200)], 50).refused == 0

    def test_a_place_that_nobody_renews_is_free_after_its_lease(
        self, capacity: Capacity, pass_time: Callable[[float], object]
    ):
        shares = [Share("a", concurrency=2)]
        admitted(capacity, shares)

        pass_time(LEASE + 0.05)

        assert admitted(capacity, shares, name="next") == 2

    def test_a_lost_place_is_free_although_others_are_kept(
        self, capacity: Capacity, pass_time: Callable[[float], object]
    ):
        shares = [Share("a", concurrency=2)]
        for name in ("early", "late"):
            capacity.reserve(name, shares, 0)
            pass_time(LEASE * 0.6)

        assert admitted(capacity, shares, name="next") == 1

    def test_the_places_of_running_calls_can_be_kept(self, capacity: Capacity, pass_time: Callable[[float], object]):
        shares = [Share("a", concurrency=2)]
        admitted(capacity, shares, calls=2)
        capacity.settle("req_0", 0)

        for _ in range(3):
            pass_time(LEASE / 2)
            capacity.renew()

        assert admitted(capacity, shares, name="next") == 1

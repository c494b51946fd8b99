"""What every Counters does."""

from collections.abc import Callable

from application.ports import Counters


class CountersContract:
    """Subclass it with the fixtures `counters` and `pass_time`, which makes that many seconds pass."""

    def test_hits_add_up(self, counters: Counters):
        assert [counters.hit("a", 60)[0] for _ in range(3)] == [1, 2, 3]

    def test_a_hit_adds_its_amount(self, counters: Counters):
        counters.hit("a", 60, 5)

        assert counters.hit("a", 60, 7)[0] == 12

    def test_keys_are_counted_apart(self, counters: Counters):
        counters.hit("a", 60)

        assert counters.hit("b", 60)[0] == 1

    def test_a_new_window_has_all_its_seconds(self, counters: Counters):
        _, left = counters.hit("a", 60)

        assert left == 60

    def test_the_window_ends_at_the_same_moment_for_all_its_hits(
        self, counters: Counters, pass_time: Callable[[float], None]
    ):
        counters.hit("a", 60)
        pass_time(0.2)

        assert 59 < counters.hit("a", 60)[1] <= 59.81

    def test_a_window_that_is_over_counts_from_the_start(self, counters: Counters, pass_time: Callable[[float], None]):
        counters.hit("a", 1, 9)
        pass_time(1.05)

        assert counters.hit("a", 1) == (1, 1)

    def test_looking_does_not_count(self, counters: Counters):
        counters.hit("a", 60, 4)
        counters.peek("a")

        count, left = counters.peek("a")
        assert count == 4
        assert 59 < left <= 60

    def test_there_is_nothing_to_see_without_a_window(self, counters: Counters, pass_time: Callable[[float], None]):
        counters.hit("over", 1)
        pass_time(1.05)

        assert counters.peek("never") == counters.peek("over") == (0, 0.0)

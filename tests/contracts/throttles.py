"""What the counters of attempts do."""

from dataclasses import replace
from datetime import timedelta

from domain.throttle import Rule
from tests.builders import NOW
from tests.contracts.populated import LATER, SECOND, Populated

RULE = Rule(free=3, window=timedelta(minutes=15))


class ThrottlesContract(Populated):
    def test_free_attempts_pass_and_then_each_waits_longer(self, populated):
        with populated() as work:
            assert [work.throttles.hit("ada", RULE, NOW) for _ in range(5)] == [0, 0, 0, 1, 1]
        with populated() as work:
            assert [work.throttles.hit("ada", RULE, NOW + SECOND) for _ in range(2)] == [0, 2]

    def test_an_attempt_that_was_refused_does_not_count(self, populated):
        with populated() as work:
            for _ in range(9):
                work.throttles.hit("ada", RULE, NOW)

        with populated() as work:
            assert work.throttles.hit("ada", RULE, NOW + SECOND) == 0

    def test_everybody_has_a_count_of_their_own(self, populated):
        with populated() as work:
            for _ in range(4):
                work.throttles.hit("ada", RULE, NOW)
            assert work.throttles.hit("Ada", RULE, NOW) == 0

    def test_a_rule_without_a_second_free_attempt_waits_at_once(self, populated):
        with populated() as work:
            assert [work.throttles.hit("ada", replace(RULE, free=1), NOW) for _ in range(2)] == [0, 1]

    def test_when_the_window_is_over_the_count_begins_anew(self, populated):
        over = NOW + RULE.window + RULE.longest
        with populated() as work:
            assert [work.throttles.hit("ada", RULE, NOW) for _ in range(4)] == [0, 0, 0, 1]
            assert [work.throttles.hit("ada", RULE, over) for _ in range(4)] == [0, 0, 0, 1]

    def test_a_cleared_count_begins_anew(self, populated):
        with populated() as work:
            for _ in range(4):
                work.throttles.hit("ada", RULE, NOW)
            work.throttles.clear("ada")
            work.throttles.clear("bob")

        with populated() as work:
            assert [work.throttles.hit("ada", RULE, NOW) for _ in range(4)] == [0, 0, 0, 1]

    def test_an_attempt_that_is_taken_back_does_not_count(self, populated):
        with populated() as work:
            work.throttles.refund("ada")
            for _ in range(9):
                assert work.throttles.hit("ada", RULE, NOW) == 0
                work.throttles.refund("ada")

        with populated() as work:
            assert [work.throttles.hit("ada", RULE, NOW) for _ in range(4)] == [0, 0, 0, 1]

    def test_taking_back_never_leaves_less_than_no_attempt(self, populated):
        with populated() as work:
            work.throttles.hit("ada", RULE, NOW)
            for _ in range(5):
                work.throttles.refund("ada")

        with populated() as work:
            assert [work.throttles.hit("ada", RULE, NOW) for _ in range(4)] == [0, 0, 0, 1]

    def test_a_wait_that_has_begun_goes_on_when_an_attempt_is_taken_back(self, populated):
        with populated() as work:
            for _ in range(3):
                work.throttles.hit("ada", RULE, NOW)
            work.throttles.refund("ada")

        with populated() as work:
            assert [work.throttles.hit("ada", RULE, at) for at in (NOW, NOW + SECOND)] == [1, 0]

    def test_only_what_is_over_is_swept(self, populated):
        with populated() as work:
            work.throttles.hit("old", RULE, NOW)
            work.throttles.hit("blocked", replace(RULE, free=1, first=timedelta(hours=2)), NOW)
            work.throttles.hit("young", RULE, LATER)

        with populated() as work:
            assert (work.throttles.sweep(LATER), work.throttles.sweep(LATER)) == (1, 0)
            assert work.throttles.sweep(NOW + timedelta(hours=3)) == 2

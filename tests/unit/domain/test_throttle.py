from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.throttle import ACCOUNT, ADDRESS, FORGOTTEN, KEY_GUESS, REGISTRATION, Rule, Throttle, begin
from tests.builders import NOW

RULES = [ACCOUNT, ADDRESS, REGISTRATION, FORGOTTEN, KEY_GUESS]

rules = st.sampled_from(RULES) | st.builds(
    Rule,
    free=st.integers(1, 50),
    window=st.timedeltas(timedelta(seconds=1), timedelta(days=1)),
    first=st.timedeltas(timedelta(seconds=1), timedelta(minutes=1)),
    longest=st.timedeltas(timedelta(minutes=1), timedelta(days=1)),
)
pauses = st.lists(st.timedeltas(timedelta(0), timedelta(hours=2)), min_size=1, max_size=25)


def attempts(rule: Rule, between: list[timedelta]) -> Iterator[tuple[datetime, Throttle]]:
    """The throttle at each moment, after the attempt if that was allowed."""
    now, throttle = NOW, begin(rule, NOW)
    for pause in between:
        now += pause
        if not throttle.wait(now):
            throttle = throttle.hit(rule, now)
        yield now, throttle


def waits(rule: Rule, count: int) -> list[int]:
    """How long an attacker who never gives up waits before each of so many attempts."""
    now, throttle, found = NOW, begin(rule, NOW), [0]
    while len(found) < count:
        found.append(throttle.wait(now))
        now += timedelta(seconds=found[-1])
        throttle = throttle.hit(rule, now)
    return found


@given(rules, pauses)
def test_nobody_ever_waits_longer_than_the_longest_wait(rule: Rule, between: list[timedelta]):
    for now, throttle in attempts(rule, between):
        assert timedelta(seconds=throttle.wait(now)) < rule.longest + timedelta(seconds=1)


@given(rules, pauses)
def test_nobody_is_locked_out_for_ever(rule: Rule, between: list[timedelta]):
    *_, (now, throttle) = attempts(rule, between)

    later = now + timedelta(seconds=throttle.wait(now))

    assert throttle.wait(later) == 0
    assert throttle.hit(rule, later).wait(later) <= rule.longest.total_seconds() + 1


@given(rules, pauses)
def test_who_stays_away_long_enough_begins_anew(rule: Rule, between: list[timedelta]):
    *_, (now, throttle) = attempts(rule, between)

    later = now + timedelta(seconds=throttle.wait(now)) + rule.window + rule.longest

    assert throttle.hit(rule, later) == begin(rule, later)


@given(rules, pauses)
def test_as_many_attempts_as_are_free_are_never_delayed(rule: Rule, between: list[timedelta]):
    throttle = begin(rule, NOW)
    for _ in range(rule.free - 2):
        throttle = throttle.hit(rule, NOW)
        assert throttle.wait(NOW) == 0
    if rule.free > 1:
        throttle = throttle.hit(rule, NOW)
    assert throttle.wait(NOW) > 0


@pytest.mark.parametrize("rule", RULES)
def test_the_waits_double_up_to_the_longest(rule: Rule):
    found = waits(rule, rule.free + 25)
    rest = found[rule.free :]

    assert set(found[: rule.free]) == {0}
    assert rest[0] == rule.first.total_seconds()
    assert all(after in (2 * before, rule.longest.total_seconds()) for before, after in pairwise(rest))
    assert rest[-1] == rule.longest.total_seconds()


def test_the_waits_at_an_account_are_those_that_are_documented():
    assert waits(ACCOUNT, 17) == [0] * 5 + [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_an_attack_on_an_account_gets_little_more_than_a_hundred_guesses_a_day():
    day = timedelta(days=1).total_seconds()
    moments = accumulate(waits(ACCOUNT, 500))

    assert sum(1 for moment in moments if moment < day) < 115


def test_a_wait_is_rounded_up_to_whole_seconds():
    throttle = Throttle(9, NOW, NOW + timedelta(seconds=2))

    assert throttle.wait(NOW) == 2
    assert throttle.wait(NOW + timedelta(milliseconds=1)) == 2
    assert throttle.wait(NOW + timedelta(milliseconds=1_001)) == 1
    assert throttle.wait(NOW + timedelta(seconds=2)) == 0


def test_failures_of_long_ago_do_not_count():
    throttle = begin(ACCOUNT, NOW)
    for _ in range(ACCOUNT.free - 2):
        throttle = throttle.hit(ACCOUNT, NOW)

    later = NOW + ACCOUNT.window

    assert throttle.hit(ACCOUNT, later) == Throttle(1, later, later)


def test_a_clock_that_was_set_back_begins_anew():
    earlier = NOW - timedelta(hours=1)

    assert begin(ACCOUNT, NOW).hit(ACCOUNT, earlier) == Throttle(1, earlier, earlier)


def test_where_nothing_is_free_the_first_attempt_has_its_wait():
    rule = Rule(free=1, window=timedelta(minutes=1))

    assert begin(rule, NOW).wait(NOW) == 1

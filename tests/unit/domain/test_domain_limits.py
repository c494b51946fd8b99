from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits import EPOCH, NO_LIMITS, Bound, Budget, Kind, Unit, Window

MOMENTS = st.timedeltas(timedelta(0), timedelta(days=80_000)).map(lambda since: midnight(EPOCH) + since)
ENDING = [Window.DAY, Window.WEEK, Window.MONTH]


def midnight(day):
    return datetime.combine(day, datetime.min.time(), UTC)


@pytest.mark.parametrize(
    ("window", "moment", "start", "end"),
    [
        (Window.DAY, "2026-12-31T23:59:59.999999Z", date(2026, 12, 31), date(2027, 1, 1)),
        (Window.DAY, "2027-01-01T00:00:00Z", date(2027, 1, 1), date(2027, 1, 2)),
        (Window.DAY, "2028-02-28T12:00:00Z", date(2028, 2, 28), date(2028, 2, 29)),
        (Window.WEEK, "2027-01-03T23:00:00Z", date(2026, 12, 28), date(2027, 1, 4)),
        (Window.WEEK, "2027-01-04T00:00:00Z", date(2027, 1, 4), date(2027, 1, 11)),
        (Window.MONTH, "2026-12-31T23:00:00Z", date(2026, 12, 1), date(2027, 1, 1)),
        (Window.MONTH, "2027-01-31T00:00:00Z", date(2027, 1, 1), date(2027, 2, 1)),
        (Window.MONTH, "2028-02-29T00:00:00Z", date(2028, 2, 1), date(2028, 3, 1)),
    ],
)
def test_a_window_begins_and_ends_at_midnight(window, moment, start, end):
    moment = datetime.fromisoformat(moment)

    assert (window.start(moment), window.end(moment)) == (start, midnight(end))


def test_a_total_never_ends():
    moment = datetime(2026, 11, 21, tzinfo=UTC)

    assert (Window.TOTAL.start(moment), Window.TOTAL.end(moment)) == (EPOCH, None)


def test_windows_are_those_of_utc_wherever_the_caller_is():
    moment = datetime(2027, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))

    assert Window.DAY.start(moment) == date(2026, 12, 31)
    assert Window.MONTH.end(moment) == datetime(2027, 1, 1, tzinfo=UTC)


@given(moment=MOMENTS, window=st.sampled_from(ENDING))
def test_every_moment_lies_in_its_window_and_windows_leave_no_gap(moment, window):
    start, end = window.start(moment), window.end(moment)

    assert midnight(start) <= moment < end
    assert window.start(end) == end.date()
    assert window.end(end - timedelta(microseconds=1)) == window.end(midnight(start)) == end


@given(moment=MOMENTS)
def test_a_week_has_seven_days_and_begins_on_monday(moment):
    start = Window.WEEK.start(moment)

    assert start.isoweekday() == 1
    assert Window.WEEK.end(moment) - midnight(start) == timedelta(days=7)


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(Unit.MONEY, Window.DAY, 1_500_000_000), "1.5 per day"),
        (Budget(Unit.MONEY, Window.WEEK, 100_000_000_000), "100 per week"),
        (Budget(Unit.MONEY, Window.TOTAL, 1), "0.000000001 in all"),
        (Budget(Unit.TOKENS, Window.MONTH, 1_000_000), "1,000,000 tokens per month"),
        (Budget(Unit.TOKENS, Window.WEEK, 0), "0 tokens per week"),
    ],
)
def test_a_budget_reads_as_people_say_it(budget, text):
    assert str(budget) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.KEY, "this key"),
        (Kind.USER, "this user"),
        (Kind.TEAM, "this team"),
        (Kind.GLOBAL, "the whole installation"),
    ],
)
def test_a_bound_names_its_subject(kind, text):
    assert str(Bound(kind, "id_1", NO_LIMITS)) == text

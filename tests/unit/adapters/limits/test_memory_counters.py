import pytest

from adapters.limits.memory import MemoryCounters
from tests.contracts.counters import CountersContract
from tests.fakes import FrozenClock


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def pass_time(clock):
    return clock.advance


class TestMemoryCounters(CountersContract):
    @pytest.fixture
    def counters(self, clock):
        return MemoryCounters(clock)


def test_windows_that_are_over_make_room_before_those_that_run(clock):
    counters = MemoryCounters(clock, size=2)
    counters.hit("long", 60)
    counters.hit("short", 1)
    clock.advance(2)

    counters.hit("new", 60)

    assert counters.peek("long")[0] == counters.peek("new")[0] == 1


def test_the_number_of_windows_is_bounded_even_when_all_of_them_run(clock):
    counters = MemoryCounters(clock, size=2)
    for key in "abc":
        counters.hit(key, 60)

    assert [key for key in "abc" if counters.peek(key)[0]] == ["b", "c"]

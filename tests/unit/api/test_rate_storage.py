import time

import pytest
from limits import RateLimitItemPerMinute
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from api.rate_storage import URI, CountersStorage
from tests.fakes import FrozenClock, MemoryCounters

THREE = RateLimitItemPerMinute(3)


@pytest.fixture
def storage():
    return storage_from_string(URI, counters=MemoryCounters(FrozenClock()))


def test_the_address_stands_for_our_storage(storage):
    assert isinstance(storage, CountersStorage)


def test_a_fixed_window_lets_exactly_its_number_pass(storage):
    limiter = FixedWindowRateLimiter(storage)

    assert [limiter.hit(THREE, "a") for _ in range(4)] == [True, True, True, False]
    assert limiter.test(THREE, "a") is False
    assert limiter.test(THREE, "b") is True


def test_the_state_of_a_window_is_what_remains_and_the_time_of_day_it_ends(storage):
    limiter = FixedWindowRateLimiter(storage)
    limiter.hit(THREE, "a")

    stats = limiter.get_window_stats(THREE, "a")

    assert stats.remaining == 2
    assert stats.reset_time == pytest.approx(time.time() + 60, abs=5)


def test_a_count_cannot_be_taken_back(storage):
    assert storage.check()
    with pytest.raises(NotImplementedError):
        storage.reset()
    with pytest.raises(NotImplementedError):
        storage.clear("a")

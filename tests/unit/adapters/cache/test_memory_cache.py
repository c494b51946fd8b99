import pytest

from adapters.cache.memory import MemoryCache
from tests.contracts.cache import CacheContract
from tests.fakes import FrozenClock


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def pass_time(clock):
    return clock.advance


class TestMemoryCache(CacheContract):
    @pytest.fixture
    def cache(self, clock):
        return MemoryCache(clock)


def test_the_oldest_value_makes_room():
    cache = MemoryCache(FrozenClock(), size=2)
    for key in "abab":
        cache.set(key, b"1", 60)

    cache.set("c", b"1", 60)

    assert [key for key in "abc" if cache.get(key)] == ["b", "c"]

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


def test_the_oldest_values_make_room():
    cache = MemoryCache(FrozenClock(), size=3_000)
    for key in "abcab":
        cache.set(key, b"1" * 700, 60)

    cache.set("d", b"1" * 1_700, 60)

    assert [key for key in "abcd" if cache.get(key)] == ["b", "d"]


def test_it_never_holds_more_than_it_may_and_nothing_that_is_larger():
    cache, large = MemoryCache(FrozenClock(), size=100_000), b"1" * 100_000
    cache.set("large", b"small", 60)
    cache.set("large", large, 60)
    for number in range(1_000):
        cache.set(f"key {number}", b"1" * number, 60)

    kept = [value for number in range(1_000) if (value := cache.get(f"key {number}")) is not None]
    assert cache.get("large") is None
    assert 90_000 - 200 * len(kept) < sum(map(len, kept)) <= 100_000


def test_what_is_deleted_makes_room_again():
    cache = MemoryCache(FrozenClock(), size=2_000)
    for _ in range(5):
        cache.set("a", b"1" * 1_000, 60)
        cache.delete("a")
    cache.set("b", b"1" * 700, 60)
    cache.set("c", b"1" * 700, 60)

    assert cache.get("b")

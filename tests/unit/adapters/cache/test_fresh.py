import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.cache.fresh import LOADS, Fresh
from domain.errors import DatabaseUnavailable, NotFound
from tests.fakes import FrozenClock


class Source:
    """Answers `key!`, what is in `values`, or raises `down`; counts how often, and how many at the same time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.values: dict[str, str | None] = {}
        self.down: BaseException | None = None
        self.calls: list[str] = []
        self.at_once = self.most_at_once = 0
        self._seconds = seconds
        self._lock = threading.Lock()

    def __call__(self, key: str) -> str | None:
        with self._lock:
            self.calls.append(key)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(self._seconds)
        with self._lock:
            self.at_once -= 1
        if self.down is not None:
            raise self.down
        return self.values.get(key, f"{key}!")


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def fresh(source, clock):
    return Fresh(source, clock)


def test_a_value_is_looked_up_again_only_after_five_seconds(fresh, source, clock):
    fresh.get("a")
    clock.advance(4.9)
    fresh.get("a")
    assert source.calls == ["a"]

    clock.advance(0.2)
    source.values["a"] = "new"

    assert fresh.get("a") == "new"


def test_two_hundred_who_ask_for_a_cold_key_share_one_look_up(clock):
    source = Source(seconds=0.05)
    fresh = Fresh(source, clock)

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(fresh.get, ["a"] * 200))

    assert answers == ["a!"] * 200
    assert source.calls == ["a"]


def test_four_look_ups_run_at_the_same_time_at_most(clock):
    source = Source(seconds=0.02)
    fresh = Fresh(source, clock)
    keys = [f"key-{number}" for number in range(20)]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(fresh.get, keys))

    assert answers == [f"{key}!" for key in keys]
    assert source.most_at_once == LOADS


def test_an_absence_is_believed_for_one_second(fresh, source, clock):
    source.values["a"] = None
    assert fresh.get("a") is fresh.get("a") is None
    assert len(source.calls) == 1

    clock.advance(1.1)
    source.values["a"] = "made meanwhile"

    assert fresh.get("a") == "made meanwhile"


def test_a_forgotten_key_is_looked_up_at_once(fresh, source):
    fresh.get("a")
    source.values["a"] = "new"

    fresh.forget("a")

    assert fresh.get("a") == "new"


def test_a_look_up_that_began_before_its_key_was_forgotten_is_not_remembered(clock):
    began, go_on = threading.Event(), threading.Event()
    answers = iter(["old", "new"])

    def load(_: str) -> str:
        answer = next(answers)
        if answer == "old":
            began.set()
            go_on.wait(5)
        return answer

    fresh = Fresh(load, clock)
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(fresh.get, "a")
        began.wait(5)
        fresh.forget("a")
        go_on.set()
        assert early.result() == "old"

    assert fresh.get("a") == "new"


def test_while_the_source_is_down_a_value_is_served_for_sixty_seconds(fresh, source, clock):
    fresh.get("a")
    source.down = DatabaseUnavailable()

    clock.advance(59)
    assert fresh.get("a") == "a!"

    clock.advance(1.1)
    with pytest.raises(DatabaseUnavailable):
        fresh.get("a")


def test_a_source_that_is_down_is_asked_once_per_second(fresh, source, clock):
    fresh.get("a")
    source.down = DatabaseUnavailable()
    clock.advance(10)

    for _ in range(5):
        fresh.get("a")

    assert len(source.calls) == 2


def test_while_the_source_is_down_an_unknown_key_is_not_called_absent(fresh, source, clock):
    source.values["a"] = None
    fresh.get("a")
    clock.advance(2)
    source.down = DatabaseUnavailable()

    with pytest.raises(DatabaseUnavailable):
        fresh.get("a")


def test_other_errors_are_neither_remembered_nor_covered_by_an_old_value(fresh, source, clock):
    fresh.get("a")
    clock.advance(6)
    source.down = NotFound()

    with pytest.raises(NotFound):
        fresh.get("a")

    source.down = None
    assert fresh.get("a") == "a!"


def test_all_who_wait_get_the_error_of_the_one_look_up(clock):
    source = Source(seconds=0.5)
    source.down = DatabaseUnavailable()
    fresh = Fresh(source, clock)
    all_there = threading.Barrier(20)

    def ask() -> str | None:
        all_there.wait(60)
        return fresh.get("a")

    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask) for _ in range(20)]

    assert all(isinstance(one.exception(), DatabaseUnavailable) for one in asked)
    assert len(source.calls) == 1


class Killed(BaseException):
    """What a greenlet is killed with is not an Exception either."""


def test_when_the_one_who_looks_up_is_killed_another_takes_over(clock):
    source = Source(seconds=0.05)
    source.down = Killed()
    fresh = Fresh(source, clock)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fresh.get, "a")
        while not source.at_once:
            time.sleep(0.001)
        second = pool.submit(fresh.get, "a")
        with pytest.raises(Killed):
            first.result()
        source.down = None
        assert second.result(5) == "a!"


def test_the_oldest_value_makes_room(source, clock):
    fresh = Fresh(source, clock, size=2)
    for key in "abcab":
        fresh.get(key)

    assert source.calls == ["a", "b", "c", "a", "b"]

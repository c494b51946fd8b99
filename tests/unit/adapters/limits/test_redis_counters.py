import pytest
from redis.exceptions import BusyLoadingError, MaxConnectionsError, NoScriptError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.limits.memory import MemoryCounters
from adapters.limits.redis import RedisCounters
from adapters.redis_link import RedisLink
from application.breaker import Breaker
from application.facts import BreakerChanged, RedisRefused
from tests.fakes import FrozenClock, RecordingRecorder


class ScriptedRedis:
    """Each call takes the next step of the script, the last one for ever; an error is raised."""

    def __init__(self, *script: object) -> None:
        self._script = list(script)
        self.calls: list[str] = []

    def evalsha(self, *_: object) -> object:
        return self._step("evalsha")

    def eval(self, *_: object) -> object:
        return self._step("eval")

    def _step(self, call: str) -> object:
        self.calls.append(call)
        step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(step, Exception):
            raise step
        return step


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def record():
    return RecordingRecorder()


@pytest.fixture
def counting(clock, record):
    def build(redis: ScriptedRedis, workers: int = 2) -> RedisCounters:
        link = RedisLink(redis, Breaker("redis", clock, record), record)
        return RedisCounters(link, MemoryCounters(clock), workers)

    return build


def test_an_answer_is_the_count_and_the_rest_of_the_window_in_seconds(counting):
    assert counting(ScriptedRedis([7, 41_250])).hit("a", 60) == (7, 41.25)


def test_a_script_that_is_unknown_is_sent_once(counting):
    redis = ScriptedRedis(NoScriptError(), [1, 60_000])

    assert counting(redis).hit("a", 60) == (1, 60.0)
    assert redis.calls == ["evalsha", "eval"]


def test_without_an_answer_the_workers_together_stay_within_the_limit(counting):
    limit, workers = 9, 4
    passed = 0
    for _ in range(workers):
        counters = counting(ScriptedRedis(RedisTimeoutError()), workers)
        passed += sum(counters.hit("a", 60)[0] <= limit for _ in range(20))

    assert passed == 8


def test_a_limit_below_the_number_of_workers_lets_one_request_of_each_pass(counting):
    counters = counting(ScriptedRedis(RedisTimeoutError()), workers=4)

    assert [counters.hit("a", 60)[0] <= 1 for _ in range(3)] == [True, False, False]


def test_after_five_failures_nobody_asks_for_two_seconds_and_then_one_probe_does(counting, clock, record):
    redis = ScriptedRedis(RedisTimeoutError())
    counters = counting(redis)
    for _ in range(20):
        counters.hit("a", 60)
    assert len(redis.calls) == 5
    assert record.facts == [BreakerChanged("redis", open=True, reason="TimeoutError")]

    clock.advance(2.1)
    for _ in range(20):
        counters.hit("a", 60)

    assert len(redis.calls) == 6


def test_a_server_that_is_loading_counts_as_down(counting, record):
    counters = counting(ScriptedRedis(BusyLoadingError()))
    for _ in range(5):
        counters.hit("a", 60)

    assert record.facts == [BreakerChanged("redis", open=True, reason="BusyLoadingError")]


def test_a_refusal_is_counted_locally_and_told_without_opening_the_breaker(counting, record):
    redis = ScriptedRedis(ReadOnlyError())
    counters = counting(redis)

    counts = [counters.hit("a", 60)[0] for _ in range(7)]

    assert counts == [1, 4, 6, 8, 10, 12, 14]
    assert len(redis.calls) == 7
    assert record.facts == [RedisRefused("ReadOnlyError")] * 7


def test_that_all_connections_are_taken_says_nothing_about_the_server(counting, record):
    counters = counting(ScriptedRedis(MaxConnectionsError()))
    for _ in range(20):
        counters.hit("a", 60)

    assert record.facts == []


def test_the_local_count_is_what_can_be_seen_meanwhile(counting):
    class DeadRedis(ScriptedRedis):
        def pipeline(self, *, transaction: bool) -> None:
            raise RedisTimeoutError

    counters = counting(DeadRedis(RedisTimeoutError()))
    counters.hit("a", 60)

    assert counters.peek("a") == (2, 60.0)

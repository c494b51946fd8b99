"""What no real server can be made to do at the right moment; the rest is tested on one."""

import pytest
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.limits.memory_capacity import MemoryCapacity
from adapters.limits.redis_capacity import RedisCapacity
from adapters.redis_link import RedisLink
from application.breaker import Breaker
from application.facts import BreakerChanged
from application.ports import Share
from tests.contracts.capacity import admitted
from tests.fakes import FrozenClock, RecordingRecorder

SHARES = [Share("a", tpm=100, concurrency=4)]
ROW = [[20, 1_795_000_000_000, 41_250, 0]]


class ScriptedRedis:
    """Each call takes the next step of the script, the last one for ever; an error is raised, an act is done."""

    def __init__(self, *script: object) -> None:
        self._script = list(script)
        self.calls: list[tuple[object, ...]] = []

    def evalsha(self, _: str, count: int, *rest: object) -> object:
        return self._step("evalsha", rest[:count], rest[count:])

    def eval(self, _: str, count: int, *rest: object) -> object:
        return self._step("eval", rest[:count], rest[count:])

    def zrem(self, key: str, member: str) -> object:
        return self._step("zrem", key, member)

    def _step(self, *call: object) -> object:
        self.calls.append(call)
        step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(step, Exception):
            raise step
        return step() if callable(step) else step


@pytest.fixture
def record():
    return RecordingRecorder()


@pytest.fixture
def capacity_on(record):
    def build(redis: ScriptedRedis, workers: int = 2, size: int = 100) -> RedisCapacity:
        clock = FrozenClock()
        link = RedisLink(redis, Breaker("redis", clock, record), record)
        return RedisCapacity(link, MemoryCapacity(clock, workers), size=size)

    return build


def test_an_answer_becomes_a_verdict(capacity_on):
    verdict = capacity_on(ScriptedRedis(ROW)).reserve("req_1", SHARES, 30)

    assert (verdict.refused, verdict.tokens) == (None, ((0, 50, 41.25),))


def test_a_call_that_is_refused_has_nothing_to_settle(capacity_on):
    redis = ScriptedRedis([[90, 1_795_000_000_000, 41_250, 1]])
    capacity = capacity_on(redis)

    assert capacity.reserve("req_1", SHARES, 30).retry_after == 41.25
    capacity.settle("req_1", 12)

    assert len(redis.calls) == 1


def test_a_call_is_settled_by_the_difference_and_only_in_its_own_minute(capacity_on):
    redis = ScriptedRedis(ROW)
    capacity = capacity_on(redis)
    capacity.reserve("req_1", SHARES, 30)

    capacity.settle("req_1", 12)
    capacity.settle("req_1", 12)

    keys = ("parley:capacity:tokens:a", "parley:capacity:running:a")
    assert redis.calls[1:] == [("evalsha", keys, ("req_1", -18, "1795000000000"))]


def test_a_share_without_a_limit_on_tokens_has_no_minute_to_settle(capacity_on):
    redis = ScriptedRedis(ROW)
    capacity = capacity_on(redis)
    capacity.reserve("req_1", [Share("a", concurrency=4)], 30)

    capacity.settle("req_1", 12)

    assert redis.calls[-1][2] == ("req_1", -18, "")


def test_a_script_that_is_unknown_is_sent_once(capacity_on):
    redis = ScriptedRedis(NoScriptError(), ROW)

    assert capacity_on(redis).reserve("req_1", SHARES, 30).refused is None
    assert [call[0] for call in redis.calls] == ["evalsha", "eval"]


def test_without_an_answer_the_workers_together_stay_within_the_limit(capacity_on):
    workers = [capacity_on(ScriptedRedis(RedisTimeoutError())) for _ in range(2)]

    assert [admitted(worker, SHARES) for worker in workers] == [2, 2]


def test_a_call_that_was_counted_locally_is_settled_locally(capacity_on):
    redis = ScriptedRedis(RedisTimeoutError(), RedisTimeoutError(), ROW)
    capacity = capacity_on(redis)
    assert admitted(capacity, SHARES, calls=2) == 2

    capacity.settle("req_0", 0)

    assert len(redis.calls) == 2
    assert capacity._fallback.reserve("next", SHARES, 0).refused is None


def test_after_five_failures_nobody_waits_any_more(capacity_on, record):
    redis = ScriptedRedis(RedisTimeoutError())
    capacity = capacity_on(redis)

    admitted(capacity, SHARES, calls=20)
    capacity.renew()

    assert len(redis.calls) == 5
    assert record.facts == [BreakerChanged("redis", open=True, reason="TimeoutError")]


def test_all_running_calls_are_renewed_in_one_round_trip(capacity_on):
    redis = ScriptedRedis(ROW * 2)
    capacity = capacity_on(redis)
    for name in ("req_1", "req_2"):
        capacity.reserve(name, [*SHARES, Share("b", tpm=1_000)], 1)

    capacity.renew()

    place = "parley:capacity:running:a"
    assert redis.calls[2:] == [("evalsha", (place, place), (30_000, "req_1", "req_2"))]


def test_where_nothing_runs_nothing_is_renewed(capacity_on):
    redis = ScriptedRedis(ROW)

    capacity_on(redis).renew()

    assert redis.calls == []


def test_a_call_that_ends_while_it_is_renewed_keeps_no_place(capacity_on):
    redis = ScriptedRedis(ROW, lambda: capacity.settle("req_1", 0), 1)
    capacity = capacity_on(redis)
    capacity.reserve("req_1", SHARES, 1)

    capacity.renew()

    assert redis.calls[-1] == ("zrem", "parley:capacity:running:a", "req_1")


def test_the_number_of_remembered_calls_is_bounded(capacity_on):
    redis = ScriptedRedis(ROW)
    capacity = capacity_on(redis, size=2)
    for name in ("req_1", "req_2", "req_3"):
        capacity.reserve(name, SHARES, 1)

    for name in ("req_1", "req_2", "req_3"):
        capacity.settle(name, 1)

    assert [call[2][0] for call in redis.calls[3:]] == ["req_2", "req_3"]

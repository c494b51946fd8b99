import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from adapters.limits.memory_capacity import MemoryCapacity
from application.ports import Share
from tests.contracts.capacity import LEASE, CapacityContract, admitted
from tests.examples import examples
from tests.fakes import FrozenClock


@pytest.fixture
def clock():
    return FrozenClock()


@pytest.fixture
def pass_time(clock):
    return clock.advance


@pytest.fixture
def next_minute(clock):
    return lambda: clock.advance(60)


class TestMemoryCapacity(CapacityContract):
    @pytest.fixture
    def capacity(self, clock):
        return MemoryCapacity(clock, lease=LEASE)


def test_each_worker_has_its_part_of_every_limit(clock):
    workers = [MemoryCapacity(clock, workers=4) for _ in range(4)]

    assert sum(admitted(worker, [Share("a", concurrency=9)]) for worker in workers) == 8
    assert sum(admitted(worker, [Share("b", tpm=103)], 5, calls=50) for worker in workers) == 20


def test_a_limit_below_the_number_of_workers_is_one_for_each_and_zero_stays_zero(clock):
    worker = MemoryCapacity(clock, workers=4)

    assert admitted(worker, [Share("a", concurrency=1)]) == 1
    assert admitted(worker, [Share("b", tpm=3)], 1) == 1
    assert admitted(worker, [Share("c", concurrency=0)]) == 0


def test_the_number_of_remembered_calls_is_bounded_and_the_oldest_lose_their_place(clock):
    capacity = MemoryCapacity(clock, size=2)
    shares = [Share("a", tpm=100, concurrency=10)]

    assert admitted(capacity, shares, 10, calls=3) == 3
    capacity.settle("req_0", 0)

    assert capacity.reserve("next", shares, 10).tokens[0][1] == 60


def test_the_number_of_minutes_is_bounded_and_the_oldest_is_forgotten(clock):
    capacity = MemoryCapacity(clock, size=2)
    for key in "abc":
        capacity.reserve(key, [Share(key, tpm=10)], 10)

    passed = [key for key in "cba" if capacity.reserve("x", [Share(key, tpm=10)], 10).refused is None]

    assert passed == ["a"]


LIMIT, TPM = 3, 100
SHARES = [Share("a", TPM, LIMIT), Share("b", concurrency=LIMIT + 1)]


class Calls(RuleBasedStateMachine):
    """Calls come, end and get lost in any order, and time passes."""

    running = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FrozenClock()
        self.capacity = MemoryCapacity(self.clock, lease=30)
        self.alive: set[str] = set()
        self.number = 0

    @rule(target=running, tokens=st.integers(0, 150))
    def reserve(self, tokens: int):
        self.number += 1
        request_id = f"req_{self.number}"
        verdict = self.capacity.reserve(request_id, SHARES, tokens)
        if verdict.refused is not None:
            assert verdict.by_tokens or len(self.alive) == LIMIT
            return multiple()
        self.alive.add(request_id)
        return request_id

    @rule(request_id=consumes(running), tokens=st.integers(0, 300), times=st.integers(1, 2))
    def settle(self, request_id: str, tokens: int, times: int):
        for _ in range(times):
            self.capacity.settle(request_id, tokens)
        self.alive.discard(request_id)

    @rule(seconds=st.floats(0.1, 29))
    def pass_time(self, seconds: float):
        self.capacity.renew()
        self.clock.advance(seconds)

    @rule()
    def crash(self):
        """Whoever ran the calls renews none of them; some end all the same, much later."""
        self.clock.advance(30)
        self.alive.clear()

    @invariant()
    def no_more_run_than_are_allowed(self):
        assert len(self.alive) <= LIMIT
        assert {len(places) for places in self.capacity._running.values()} <= set(range(LIMIT + 1))

    @invariant()
    def no_minute_has_less_than_nothing(self):
        assert all(minute.used >= 0 for minute in self.capacity._minutes.values())

    def teardown(self) -> None:
        for request_id in list(self.capacity._held):
            self.capacity.settle(request_id, 0)
        assert self.capacity._running == {}
        self.clock.advance(60)
        assert admitted(self.capacity, SHARES, 1) == LIMIT


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)

"""Tokens per minute and calls at once on a real Redis: exact, and harmless when it dies."""

import json
import subprocess
import sys
import time
from statistics import quantiles
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.limits.memory_capacity import MemoryCapacity
from adapters.limits.redis_capacity import RedisCapacity
from adapters.redis_link import RedisLink, connect
from application.breaker import Breaker
from application.facts import BreakerChanged
from application.ports import Share
from tests.contracts.capacity import LEASE, CapacityContract, admitted
from tests.fakes import RecordingRecorder
from tests.integration import capacity_worker
from tests.servers.program import wait_until
from tests.servers.redis import RedisServer, running_redis
from tests.source import ROOT

SHARES = [Share("a", tpm=1_000_000, concurrency=1_000)]


@pytest.fixture(scope="module")
def server():
    with running_redis() as server:
        yield server


@pytest.fixture
def mortal():
    """A server of its own for a test that kills or pauses it."""
    with running_redis() as server:
        yield server


@pytest.fixture
def admin(server):
    with server.admin() as admin:
        admin.flushall()
        yield admin


@pytest.fixture
def record():
    return RecordingRecorder()


@pytest.fixture
def worker(record):
    """Builds what one worker has."""
    clients = []

    def build(server: RedisServer, lease: float = LEASE) -> RedisCapacity:
        clients.append(connect(server.url))
        link = RedisLink(clients[-1], Breaker("redis", SystemClock(), record), record)
        return RedisCapacity(link, MemoryCapacity(SystemClock(), workers=2, lease=lease), lease=lease)

    yield build
    for client in clients:
        client.close()


class TestRedisCapacity(CapacityContract):
    @pytest.fixture
    def capacity(self, worker, server, admin):
        return worker(server)

    @pytest.fixture
    def pass_time(self):
        return time.sleep

    @pytest.fixture
    def next_minute(self, admin):
        """What the end of the minute does; no two minutes of a subject begin in the same millisecond."""

        def end() -> None:
            admin.delete(*admin.keys("parley:capacity:tokens:*"))
            time.sleep(0.002)

        return end

    def test_workers_share_their_limits(self, worker, server, capacity):
        shares = [Share("a", concurrency=3)]
        admitted(capacity, shares, calls=2)

        assert admitted(worker(server), shares, name="other") == 1

    def test_no_key_is_without_an_end(self, capacity, admin):
        admitted(capacity, SHARES, 10)
        capacity.settle("req_1", 300)
        capacity.renew()

        keys = sorted(admin.scan_iter())
        assert keys == [b"parley:capacity:running:a", b"parley:capacity:tokens:a"]
        assert all(admin.pttl(key) > 0 for key in keys)
        assert admin.pttl("parley:capacity:tokens:a") <= 60_000

    def test_what_a_restarted_server_forgot_is_put_back(self, capacity, admin):
        shares = [Share("a", concurrency=2)]
        admitted(capacity, shares, calls=2)
        admin.flushall()

        capacity.renew()

        assert admitted(capacity, shares, name="next") == 0

    def test_a_clock_that_was_set_back_locks_nobody_out(self, capacity, admin):
        far = (time.time() + 3_600) * 1_000
        admin.hset("parley:capacity:tokens:a", mapping={"used": 99, "ends": int(far)})
        admin.zadd("parley:capacity:running:a", {"req_old": far})

        verdict = capacity.reserve("req_1", [Share("a", tpm=100, concurrency=1)], 60)

        assert (verdict.refused, verdict.tokens) == (None, ((0, 40, 60.0),))
        assert admin.pttl("parley:capacity:tokens:a") <= 60_000

    def test_flushed_scripts_are_sent_again_without_a_local_count(self, capacity, admin, record):
        admitted(capacity, SHARES)
        admin.script_flush()

        capacity.settle("req_0", 0)
        capacity.renew()
        assert capacity.reserve("next", SHARES, 0).refused is None

        assert admin.zcard("parley:capacity:running:a") == 10
        assert record.facts == []


# ── exactness ────────────────────────────────────────────────────────────────────────────────────────────────────


def start(server: RedisServer, act: str, share: Share) -> "subprocess.Popen[str]":
    numbers = [str(-1 if number is None else number) for number in (share.concurrency, share.tpm)]
    command = [sys.executable, "-m", "tests.integration.capacity_worker", server.url, act, *numbers]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def together(server: RedisServer, act: str, share: Share, processes: int = 4) -> list[dict[str, Any]]:
    workers = [start(server, act, share) for _ in range(processes)]
    results = [json.loads(worker.communicate(timeout=30)[0]) for worker in workers]
    assert [result["facts"] for result in results] == [[]] * processes
    return results


def test_four_processes_never_run_more_calls_at_once_than_allowed(server, admin):
    results = together(server, "gauge", Share("a", concurrency=5))

    assert max(result["most"] for result in results) == 5
    assert all(result["passed"] > 0 for result in results)
    assert admin.zcard("parley:capacity:running:a") == 0


def test_four_processes_share_the_tokens_of_a_minute_exactly(server, admin):
    results = together(server, "tokens", Share("a", tpm=5_000))

    assert sum(result["passed"] for result in results) == 5_000 // capacity_worker.TOKENS


def test_four_processes_share_the_requests_of_a_minute_exactly(server, admin):
    results = together(server, "requests", Share("a", tpm=1_000))

    assert sum(result["passed"] for result in results) == 1_000


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_places_of_a_killed_process_are_free_when_their_lease_is_over(server, admin, worker):
    share = Share("a", concurrency=4)
    holder = start(server, "hold", share)
    try:
        assert json.loads(holder.stdout.readline()) == {"passed": 4}
        time.sleep(1.5 * capacity_worker.LEASE)
        other = worker(server, capacity_worker.LEASE)
        assert other.reserve("req_x", [share], 0).refused == 0, "it renews them while it lives"
    finally:
        holder.kill()
        holder.communicate()
    killed = time.monotonic()

    wait_until(lambda: other.reserve("req_x", [share], 0).refused is None, seconds=20)

    assert time.monotonic() - killed < capacity_worker.LEASE + 0.5


def timed(capacity: RedisCapacity, calls: int) -> list[float]:
    """Seconds that each call waited for its capacity, from its beginning to its end."""
    seconds = []
    for number in range(calls):
        before = time.monotonic()
        assert capacity.reserve(f"timed_{number}", SHARES, 1).refused is None
        capacity.settle(f"timed_{number}", 1)
        seconds.append(time.monotonic() - before)
    return seconds


@pytest.mark.parametrize("fault", ["stopped", "killed"])
def test_a_server_that_is_away_costs_a_moment_and_then_nothing(mortal, worker, record, fault):
    capacity = worker(mortal)
    timed(capacity, 20)
    (mortal.pause if fault == "stopped" else mortal.kill)()

    until_open = timed(capacity, 5)
    afterwards = timed(capacity, 300)

    assert max(until_open) <= 0.3
    assert [type(fact) for fact in record.facts] == [BreakerChanged]
    assert quantiles(afterwards, n=100)[98] < 0.005


def test_what_was_reserved_before_an_outage_is_no_burden_after_it(mortal, worker):
    shares = [Share("a", concurrency=4)]
    capacity = worker(mortal)
    assert admitted(capacity, shares, calls=4) == 4
    mortal.pause()
    for number in range(4):
        capacity.settle(f"req_{number}", 0)
    assert admitted(capacity, shares, name="meanwhile") == 2, "half of the limit for one of two workers"
    mortal.resume()

    time.sleep(2.1)  # the breaker's, and the leases are over meanwhile

    assert admitted(capacity, shares, name="after") == 4

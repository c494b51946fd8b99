"""The adapters on a real Redis."""

import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from adapters.cache.redis import RedisCache
from adapters.cache.redis_signals import RedisSignals
from adapters.clock import SystemClock
from adapters.limits.memory import MemoryCounters
from adapters.limits.redis import RedisCounters
from adapters.redis_link import RedisLink, connect
from application.breaker import Breaker
from application.facts import BreakerChanged, RedisRefused
from tests.contracts.cache import CacheContract
from tests.contracts.counters import CountersContract
from tests.contracts.signals import SignalsContract
from tests.fakes import RecordingRecorder
from tests.servers.program import wait_until
from tests.servers.redis import RedisServer, running_redis


@pytest.fixture(scope="module")
def server():
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
def linked(server, admin, record):
    """Builds what one worker has; every worker has its own."""
    clients = []

    def build() -> RedisLink:
        clients.append(connect(server.url))
        return RedisLink(clients[-1], Breaker("redis", SystemClock(), record), record)

    yield build
    for client in clients:
        client.close()


@pytest.fixture
def link(linked):
    return linked()


@pytest.fixture
def pass_time():
    return time.sleep


def counters_of(link: RedisLink, workers: int = 4) -> RedisCounters:
    return RedisCounters(link, MemoryCounters(SystemClock()), workers)


class TestRedisCache(CacheContract):
    @pytest.fixture
    def cache(self, link):
        return RedisCache(link)

    def test_workers_share_their_values(self, linked):
        RedisCache(linked()).set("a", b"one", 60)

        assert RedisCache(linked()).get("a") == b"one"

    def test_a_reply_that_belongs_to_another_key_is_dropped_and_told(self, cache, admin, record):
        cache.set("mine", b"secret of mine", 60)
        admin.copy("parley:cache:mine", "parley:cache:yours")

        assert cache.get("yours") is None
        assert record.of(RedisRefused) == [RedisRefused("ForeignReply")]
        assert cache.get("mine") == b"secret of mine"


class TestRedisCounters(CountersContract):
    @pytest.fixture
    def counters(self, link):
        return counters_of(link)

    def test_eight_workers_count_exactly(self, linked):
        workers = [counters_of(linked()) for _ in range(8)]

        def work(counters: RedisCounters) -> list[int]:
            return [counters.hit("a", 60)[0] for _ in range(250)]

        with ThreadPoolExecutor(8) as pool:
            counts = [count for counted in pool.map(work, workers) for count in counted]

        assert sorted(counts) == list(range(1, 2_001))

    def test_no_key_is_without_an_end(self, counters, admin):
        for number in range(50):
            counters.hit(f"key-{number % 7}", 60 if number % 2 else 1)

        assert {admin.ttl(key) > 0 for key in admin.scan_iter()} == {True}

    def test_a_counter_without_an_end_is_given_one(self, counters, admin):
        admin.set("parley:count:a", 900)

        assert counters.hit("a", 60) == (1, 60.0)
        assert 0 < admin.ttl("parley:count:a") <= 60

    def test_a_clock_that_was_set_back_locks_nobody_out(self, counters, admin):
        counters.hit("a", 60, 99)
        admin.expire("parley:count:a", 3_600)

        assert counters.hit("a", 60) == (1, 60.0)

    def test_a_flushed_script_is_sent_again_without_a_local_count(self, counters, admin, record):
        counters.hit("a", 60)
        admin.script_flush()

        assert counters.hit("a", 60)[0] == 2
        assert record.facts == []


class TestRedisSignals(SignalsContract):
    @pytest.fixture
    def worker(self, linked):
        """Builds the signals of one worker."""
        workers = []

        def build() -> RedisSignals:
            workers.append(RedisSignals(linked()))
            return workers[-1]

        yield build
        for signals in workers:
            signals.close()

    @pytest.fixture
    def signals(self, worker):
        return worker()

    def test_a_wish_reaches_the_listeners_of_another_worker(self, worker, admin):
        heard: list[str] = []
        worker().listen(heard.append)
        wait_until(lambda: admin.pubsub_numsub("parley:stop")[0][1] == 1, what="subscription")

        worker().publish("req_1")

        wait_until(lambda: heard == ["req_1"], 20, "the wish")

    def test_listening_outlives_the_time_out_of_a_command(self, worker, admin):
        heard: list[str] = []
        worker().listen(heard.append)
        wait_until(lambda: admin.pubsub_numsub("parley:stop")[0][1] == 1, what="subscription")
        ids = {client["id"] for client in admin.client_list(_type="pubsub")}
        time.sleep(1)

        worker().publish("req_1")

        wait_until(lambda: heard == ["req_1"], 20, "the wish")
        assert {client["id"] for client in admin.client_list(_type="pubsub")} == ids


CANCELLED = """
import random, sys
from gevent import monkey; monkey.patch_all()
import gevent
from adapters.redis_link import connect

client = connect(sys.argv[1])
for number in range(50):
    client.set(f"key-{number}", f"value-{number}")
assert client.connection_pool.max_connections == 32
cancelled = wrong = 0

def work(seed):
    global cancelled, wrong
    dice = random.Random(seed)
    while cancelled < 1000:
        number = dice.randrange(50)
        try:
            with gevent.Timeout(dice.random() * 0.002):
                wrong += client.get(f"key-{number}") != b"value-%d" % number
        except gevent.Timeout:
            cancelled += 1

gevent.joinall([gevent.spawn(work, seed) for seed in range(20)], raise_error=True)
for number in range(50):
    wrong += client.get(f"key-{number}") != b"value-%d" % number
print(cancelled, wrong, len(client.connection_pool._in_use_connections))
"""


def test_a_command_that_is_cancelled_leaves_no_reply_for_the_next_one(server: RedisServer):
    """A thousand commands, cut anywhere between connecting and reading while others use the same pool."""
    done = subprocess.run(
        [sys.executable, "-c", CANCELLED, server.url], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    cancelled, wrong, leaked = map(int, done.stdout.split())
    assert cancelled >= 1_000
    assert wrong == leaked == 0


CROWDED = """
import sys
from gevent import monkey; monkey.patch_all()
from adapters.clock import SystemClock
from adapters.redis_link import RedisLink, connect
from application.breaker import Breaker

link = RedisLink(connect(sys.argv[1]), Breaker("redis", SystemClock(), print, failures=1), print)
print(link.ask(link.client.get, "a"))
"""


def not_full(waiting: socket.socket, path: str) -> bool:
    waiting.setblocking(False)
    return waiting.connect_ex(path) == 0


def test_a_server_that_accepts_nobody_is_a_dead_one():
    """As after a long pause, when the queue is full: redis-py fails with an AttributeError of its own there."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as queue:
        path = f"{folder}/r"
        full = queue.enter_context(socket.socket(socket.AF_UNIX))
        full.bind(path)
        full.listen(0)
        while not_full(queue.enter_context(socket.socket(socket.AF_UNIX)), path):
            pass

        command = [sys.executable, "-c", CROWDED, f"unix://{path}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert done.stderr == ""
    assert done.stdout.split("\n")[:2] == [str(BreakerChanged("redis", open=True, reason="TimeoutError")), "None"]

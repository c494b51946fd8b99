"""What the cache, the counters and the signals do while Redis is dead, slow, full, read-only or closed to us."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import pytest

from adapters.cache import redis_signals as signals_module
from adapters.cache.redis import RedisCache
from adapters.cache.redis_signals import RedisSignals
from adapters.clock import SystemClock
from adapters.limits.memory import MemoryCounters
from adapters.limits.redis import RedisCounters
from adapters.redis_link import RedisLink, connect
from application.breaker import Breaker
from application.facts import BreakerChanged, RedisRefused
from tests.fakes import RecordingRecorder
from tests.servers.program import wait_until
from tests.servers.redis import RedisServer, running_redis

WORKERS = 4
NOTHING = 0.1
"""Seconds: more than a local count takes on a busy machine, less than any wait."""
BACK = 5.0
"""Seconds in which a server that healed is found: it is tried every two seconds."""


@dataclass(frozen=True)
class Worker:
    """What one process of the gateway has."""

    link: RedisLink
    breaker: Breaker
    cache: RedisCache
    counters: RedisCounters
    signals: RedisSignals


@pytest.fixture
def server():
    with running_redis() as server:
        yield server


@pytest.fixture
def admin(server):
    with server.admin() as admin:
        yield admin


@pytest.fixture
def record():
    return RecordingRecorder()


@pytest.fixture
def start(server, record):
    """Starts a worker, by default as the user that may do everything."""
    workers = []

    def build(url: str = server.url) -> Worker:
        clock = SystemClock()
        breaker = Breaker("redis", clock, record)
        link = RedisLink(connect(url), breaker, record)
        counters = RedisCounters(link, MemoryCounters(clock), WORKERS)
        workers.append(Worker(link, breaker, RedisCache(link), counters, RedisSignals(link)))
        return workers[-1]

    yield build
    for worker in workers:
        worker.signals.close()
        worker.link.client.close()


@pytest.fixture
def worker(start):
    return start()


def hit(worker: Worker) -> int:
    return worker.counters.hit("a", 60)[0]


def timed(call: Callable[[], object]) -> float:
    begin = time.monotonic()
    call()
    return time.monotonic() - begin


def quickest(call: Callable[[], object]) -> float:
    """Of five calls, so that the machine's own delays do not count."""
    return min(timed(call) for _ in range(5))


def fail_five_times(worker: Worker) -> list[float]:
    return [timed(lambda: hit(worker)) for _ in range(5)]


def test_a_killed_server_means_local_counts_and_misses_and_then_exact_counts_again(server, worker, record):
    worker.cache.set("a", b"one", 60)
    hit(worker)
    server.kill()

    local = [hit(worker) for _ in range(8)]
    assert local == [1, 8, 12, 16, 20, 24, 28, 32]
    assert worker.cache.get("a") is None
    assert worker.breaker.is_open
    assert record.facts == [BreakerChanged("redis", open=True, reason="ConnectionError")]

    server.begin()
    wait_until(lambda: hit(worker) and not worker.breaker.is_open, BACK, "closed breaker")
    last = worker.counters.peek("a")[0]
    assert hit(worker) == last + 1


def test_a_server_that_healed_is_found_by_whoever_asks_for_trouble(server, worker):
    assert worker.link.trouble() is None
    server.kill()
    fail_five_times(worker)
    assert worker.link.trouble() == "ConnectionError"

    server.begin()

    wait_until(lambda: worker.link.trouble() is None, BACK, "no trouble")


def test_connections_that_died_with_the_server_do_not_fail_one_by_one(server, worker, record):
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: hit(worker), range(200)))
    server.kill()
    server.begin()

    assert [hit(worker) for _ in range(20)] == list(range(1, 21))
    assert record.facts == []


def test_a_paused_server_costs_a_quarter_of_a_second_five_times_and_then_nothing(server, worker):
    hit(worker)
    server.pause()

    waits = fail_five_times(worker)
    assert 0.2 <= min(waits) <= median(waits) < 0.5
    assert median(timed(lambda: hit(worker)) for _ in range(50)) < NOTHING
    assert quickest(lambda: worker.cache.get("a")) < NOTHING
    assert quickest(lambda: worker.signals.publish("req_1")) < NOTHING

    server.resume()
    wait_until(lambda: hit(worker) and not worker.breaker.is_open, BACK, "closed breaker")


def test_many_at_once_wait_for_a_paused_server_together_not_in_turn(server, worker):
    hit(worker)
    server.pause()

    with ThreadPoolExecutor(60) as pool:
        took = timed(lambda: list(pool.map(lambda _: hit(worker), range(240))))

    assert took < 4, "in turn it would be fifteen seconds"


def test_a_slow_server_is_waited_for_and_counts_exactly(worker, admin, record):
    counts = []
    for _ in range(8):
        admin.client_pause(100)
        counts.append(hit(worker))

    assert counts == list(range(1, 9))
    assert record.facts == []


def test_a_full_server_still_serves_what_it_has(worker, admin, record):
    worker.cache.set("a", b"one", 60)
    admin.config_set("maxmemory", 1)

    assert [hit(worker) for _ in range(7)] == [1, 8, 12, 16, 20, 24, 28]
    worker.cache.set("b", b"two", 60)
    assert worker.cache.get("a") == b"one"
    assert not worker.breaker.is_open
    assert set(record.facts) == {RedisRefused("OutOfMemoryError")}

    admin.config_set("maxmemory", "32mb")
    assert hit(worker) == 1


def test_a_flushed_server_forgets_values_and_windows_and_nothing_else(worker, admin, record):
    worker.cache.set("a", b"one", 60)
    hit(worker)
    admin.flushall()

    assert worker.cache.get("a") is None
    assert hit(worker) == 1
    assert record.facts == []


def test_a_server_that_became_a_replica_is_read_but_not_counted_on(worker, admin, record):
    worker.cache.set("a", b"one", 60)
    admin.replicaof("127.0.0.1", 1)

    assert [hit(worker) for _ in range(3)] == [1, 8, 12]
    assert worker.cache.get("a") == b"one"
    assert set(record.facts) == {RedisRefused("ReadOnlyError")}

    admin.replicaof("NO", "ONE")
    assert hit(worker) == 1


def test_a_server_that_holds_all_its_clients_is_a_paused_one(worker, admin):
    hit(worker)
    admin.client_pause(2_000)

    assert median(fail_five_times(worker)) < 0.5
    assert quickest(lambda: hit(worker)) < NOTHING

    wait_until(lambda: hit(worker) and not worker.breaker.is_open, BACK, "closed breaker")


def test_a_server_that_takes_no_more_clients_is_a_dead_one(start, admin):
    admin.config_set("maxclients", 1)
    worker = start()

    assert [hit(worker) for _ in range(6)] == [1, 8, 12, 16, 20, 24]
    assert worker.breaker.is_open


def allow(admin, *rules: str) -> None:
    admin.execute_command("ACL", "SETUSER", "gateway", "reset", "on", ">secret-of-the-gateway", *rules)


@pytest.fixture
def restricted(server: RedisServer) -> str:
    return server.url.replace("unix://", "unix://gateway:secret-of-the-gateway@")


def test_what_we_need_is_a_few_commands_on_our_own_keys(start, admin, restricted, record):
    commands = "+get +set +del +incrby +pttl +eval +evalsha +publish +subscribe +unsubscribe +ping"
    allow(admin, "~parley:*", "&parley:stop", *commands.split())
    worker = start(restricted)
    heard: list[str] = []
    worker.signals.listen(heard.append)
    wait_until(lambda: admin.pubsub_numsub("parley:stop")[0][1] == 1, what="subscription")

    worker.cache.set("a", b"one", 60)
    start(restricted).signals.publish("req_1")

    assert worker.cache.get("a") == b"one"
    assert [hit(worker), hit(worker)] == [1, 2]
    assert worker.counters.peek("a")[0] == 2
    wait_until(lambda: heard == ["req_1"], 2, "the wish")
    assert record.facts == []


def test_a_missing_permission_is_told_and_not_tried_around(start, admin, restricted, record):
    allow(admin, "~parley:*", "+get", "+set")
    worker = start(restricted)

    assert [hit(worker) for _ in range(3)] == [1, 8, 12]
    assert record.facts == [RedisRefused("NoPermissionError")] * 3


def test_a_wrong_password_is_a_dead_server_and_stays_out_of_what_is_told(start, server, record):
    worker = start(server.url.replace("unix://", "unix://gateway:secret-of-the-gateway@"))
    for _ in range(6):
        hit(worker)

    assert record.facts == [BreakerChanged("redis", open=True, reason="AuthenticationError")]


def test_a_wish_is_delivered_locally_while_the_server_is_dead(server, worker):
    heard: list[str] = []
    worker.signals.listen(heard.append)
    server.kill()

    worker.signals.publish("req_1")

    assert heard == ["req_1"]


def test_listening_goes_on_after_the_server_came_back(server, start):
    heard: list[str] = []
    start().signals.listen(heard.append)
    server.kill()
    server.begin()
    with server.admin() as admin:
        wait_until(lambda: admin.pubsub_numsub("parley:stop")[0][1] == 1, 5, "subscription")

    start().signals.publish("req_1")

    wait_until(lambda: heard == ["req_1"], 2, "the wish")


def test_a_listener_gives_up_a_connection_that_is_silent_when_asked(server, worker, admin, monkeypatch):
    monkeypatch.setattr(signals_module, "QUIET", 0.2)
    monkeypatch.setattr(signals_module, "PATIENCE", 0.2)
    listeners = lambda: {client["id"] for client in admin.client_list(_type="pubsub")}  # noqa: E731 - used as one below
    worker.signals.listen(print)
    wait_until(lambda: len(listeners()) == 1, what="subscription")
    first = listeners()

    server.pause()
    time.sleep(1)
    server.resume()

    wait_until(lambda: len(listeners()) == 1 and listeners() != first, 5, "a new connection")

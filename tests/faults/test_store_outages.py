"""The database and Redis are killed and paused under a gateway that goes on answering."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from infrastructure.database import create_engine_for
from tests.servers.gateway import FAST, Gateway
from tests.servers.mariadb import MariaDbServer, running_mariadb
from tests.servers.program import wait_until
from tests.servers.redis import RedisServer, running_redis

pytestmark = [pytest.mark.xdist_group("outages"), pytest.mark.timeout(240)]

T = TypeVar("T")

SLACK = 2.0
"""Seconds that a busy machine may take for everything else."""
SHORT = "?connect_timeout=1&read_timeout=2&write_timeout=2&pool_timeout=1"


@pytest.fixture(scope="module")
def database() -> Iterator[MariaDbServer]:
    with running_mariadb() as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, database: MariaDbServer, redis: RedisServer) -> Iterator[Gateway]:
    env = {"DATABASE_URL": database.new_database() + SHORT, "REDIS_URL": redis.url}
    gateway = Gateway(tmp_path_factory.mktemp("outages"), env=env, config=FAST + "[limits]\nrpm = 100000\n")
    gateway.cli("migrate")
    gateway.start()
    yield gateway
    gateway.end()


@pytest.fixture
def gateway(served: Gateway) -> Gateway:
    """One for all tests, of which each finds it well."""
    wait_until(lambda: served.status("/readyz") == 200 and b"redis" not in _ready_body(served), 20, "all is well")
    return served


def complete(gateway: Gateway) -> tuple[int, Any]:
    return gateway.call(
        "POST", "/chat/completions", {"model": "echo/echo", "messages": [{"role": "user", "content": "hi"}]}
    )


def together(count: int, call: Callable[[], T]) -> list[T]:
    """So many at once that every worker gets its share."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: call(), range(count)))


def warm(gateway: Gateway) -> None:
    """Every worker has the key in memory."""
    assert {status for status, _ in together(64, lambda: complete(gateway))} == {200}


def ledger(gateway: Gateway) -> dict[str, str]:
    engine = create_engine_for(gateway.env["DATABASE_URL"], gateway.folder)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT request_id, state FROM usage_ledger WHERE kind = 'final'"))
        found: dict[str, str] = dict(tuple(row) for row in rows)
    engine.dispose()
    return found


def timed(gateway: Gateway, method: str, path: str, body: Any = None) -> tuple[int, Any, float]:
    started = time.monotonic()
    status, answer = gateway.call(method, path, body)
    return status, answer, time.monotonic() - started


def test_with_the_database_dead_known_keys_go_on_and_every_call_reaches_the_ledger_afterwards(
    gateway: Gateway, database: MariaDbServer
) -> None:
    warm(gateway)
    database.kill()

    answers = [complete(gateway) for _ in range(20)]
    status, refusal, _ = timed(gateway, "GET", "/sessions")
    database.begin()

    assert {status for status, _ in answers} == {200}
    assert (status, refusal["error"]["code"]) == (503, "db_unavailable")
    wait_until(lambda: gateway.call("GET", "/sessions")[0] == 200, 5 + SLACK, "first answer after the restart")
    ids = {answer["id"] for _, answer in answers}
    wait_until(lambda: ids <= ledger(gateway).keys(), 15, "journal drained")


def test_with_the_database_paused_nothing_hangs_and_the_breaker_then_answers_at_once(
    gateway: Gateway, database: MariaDbServer
) -> None:
    warm(gateway)
    database.pause()
    try:
        first = together(48, lambda: timed(gateway, "GET", "/sessions"))
        later = [timed(gateway, "GET", "/sessions") for _ in range(6)]
        unready = gateway.status("/readyz")
    finally:
        database.resume()

    assert {status for status, _, _ in (*first, *later)} == {503}
    assert max(seconds for _, _, seconds in first) < 10, "a time-out, and one for the probe of the connection"
    assert median(seconds for _, _, seconds in first) < 4 + SLACK
    assert median(seconds for _, _, seconds in later) < 0.5, "the shortest of all time-outs is a second"
    assert unready == 503
    wait_until(lambda: gateway.call("GET", "/sessions")[0] == 200, 6 + SLACK, "recovery")


def test_with_redis_dead_chat_goes_on_and_readiness_says_what_is_degraded(gateway: Gateway, redis: RedisServer) -> None:
    warm(gateway)
    redis.kill()
    try:
        statuses = {complete(gateway)[0] for _ in range(30)}
        ready = gateway.status("/readyz")
    finally:
        redis.begin()

    assert statuses == {200}
    assert ready == 200
    wait_until(lambda: b"redis" not in _ready_body(gateway), 6 + SLACK, "breaker closed")


def test_a_paused_redis_costs_each_call_at_most_a_quarter_second_and_soon_nothing(
    gateway: Gateway, redis: RedisServer
) -> None:
    warm(gateway)
    redis.pause()
    try:
        calls = [_seconds(gateway) for _ in range(60)]
    finally:
        redis.resume()

    *_, third, _, slowest = sorted(calls)
    assert third < 0.6, "two commands, of which each is waited for"
    assert slowest < 0.6 + SLACK
    assert median(calls[30:]) < 0.2


def _seconds(gateway: Gateway) -> float:
    started = time.monotonic()
    assert complete(gateway)[0] == 200
    return time.monotonic() - started


def _ready_body(gateway: Gateway) -> bytes:
    with urllib.request.urlopen(gateway.url + "/readyz", timeout=5) as answer:
        return bytes(answer.read())

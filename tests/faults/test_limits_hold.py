"""Limits and budgets under load, over four workers of two gateways that share a database and Redis."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from infrastructure.database import create_engine_for
from tests.servers.caller import Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.mariadb import running_mariadb
from tests.servers.program import wait_until
from tests.servers.redis import RedisServer, running_redis
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("limits"), pytest.mark.timeout(180)]

CONFIG = """
[providers.scripted]
base_url = "{url}"
[prices."scripted/ok"]
input = 0.0
output = 1000.0
[prices."scripted/slow-500ms"]
input = 0.0
output = 1000.0
[prices."scripted/slow-2000ms"]
input = 0.0
output = 1000.0
"""
"""An answer of at most 5 tokens is reserved at, and costs, exactly 0.005."""


@dataclass(frozen=True)
class Site:
    gateways: tuple[Gateway, Gateway]
    redis: RedisServer
    provider: ScriptedProvider

    def key(self, name: str, *options: str) -> str:
        return self.gateways[0].cli("keys", "create", "--user", "admin@localhost", "--name", name, *options)

    def ask(self, key: str, turn: int, model: str = "scripted/ok", **options: Any) -> Reply:
        """Over one of the gateways in turn."""
        caller = Caller(self.gateways[turn % 2].port, {"Authorization": f"Bearer {key}"})
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, **options}
        return caller.post("/chat/completions", body)

    def together(self, key: str, count: int, model: str = "scripted/ok") -> list[Reply]:
        with ThreadPoolExecutor(50) as pool:
            return list(pool.map(lambda turn: self.ask(key, turn, model), range(count)))

    def rows(self, statement: str) -> list[Any]:
        engine = create_engine_for(self.gateways[0].env["DATABASE_URL"], self.gateways[0].folder)
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(text(statement))]
        engine.dispose()
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Site]:
    with running_mariadb() as database, running_redis() as redis:
        env = {"DATABASE_URL": database.new_database(), "REDIS_URL": redis.url, "PARLEY_WORKERS": "2"}
        config = CONFIG.format(url=provider.base_url) + FAST
        gateways = tuple(Gateway(tmp_path_factory.mktemp(name), config=config, env=env) for name in ("one", "two"))
        gateways[0].cli("migrate")
        for gateway in gateways:
            gateway.start()
        yield Site((gateways[0], gateways[1]), redis, provider)
        for gateway in gateways:
            gateway.stop()


def statuses(replies: list[Reply]) -> Counter[int]:
    return Counter(reply.status for reply in replies)


def wait_settled(site: Site) -> None:
    held = "SELECT COUNT(*) FROM budget_holds WHERE state = 'held'"
    wait_until(lambda: site.rows(held) == [(0,)], 10, "all holds settled")


def test_of_a_hundred_calls_at_once_a_budget_for_three_admits_exactly_three(site: Site) -> None:
    key = site.key("three", "--budget", "0.0159", "--window", "total")

    replies = site.together(key, 100, "scripted/slow-2000ms")

    assert statuses(replies) == {200: 3, 402: 97}
    refusal = next(reply for reply in replies if reply.status == 402)
    assert refusal.code == "budget_exceeded"
    assert "budget of this key" in refusal.json["error"]["message"]
    assert refusal.json["error"]["retryable"] is False
    wait_settled(site)
    used, reserved = site.rows("SELECT used, reserved FROM budget_windows ORDER BY used DESC LIMIT 1")[0]
    assert (int(used), int(reserved)) == (15_000_000, 0)
    assert site.ask(key, 0).status == 402


def test_a_budget_that_is_free_again_admits_again(site: Site) -> None:
    key = site.key("again", "--budget", "0.0059", "--window", "day")

    first, second = site.ask(key, 0), site.ask(key, 1)

    assert (first.status, second.status) == (200, 402)
    assert "resets at" in second.json["error"]["message"]


def test_requests_per_minute_are_exact_over_four_workers(site: Site) -> None:
    key = site.key("rpm", "--rpm", "200")

    replies = site.together(key, 300)

    assert 198 <= statuses(replies)[200] <= 202
    assert statuses(replies)[200] + statuses(replies)[429] == 300
    refused = next(reply for reply in replies if reply.status == 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


def test_tokens_per_minute_are_reserved_before_the_call_and_settled_after_it(site: Site) -> None:
    key = site.key("tpm", "--tpm", "2000")
    cost = 2_000 - int(site.ask(key, 0, "scripted/slow-500ms").headers["x-ratelimit-remaining-tokens"])

    replies = site.together(key, 300)

    admitted = statuses(replies)[200]
    assert statuses(replies)[200] + statuses(replies)[429] == 300
    used = sum(reply.json["usage"]["total_tokens"] for reply in replies if reply.status == 200)
    assert used <= 2_020
    assert admitted > 0
    assert cost > 0


def test_calls_at_once_never_exceed_the_limit_and_their_places_are_free_again(site: Site) -> None:
    key = site.key("concurrency", "--concurrency", "5")
    site.provider.forget()

    replies = site.together(key, 40, "scripted/slow-500ms")

    assert statuses(replies) == {200: 5, 429: 35}
    assert statuses(site.together(key, 4)) == {200: 4}


def test_a_killed_worker_gives_its_places_and_its_budget_back(site: Site) -> None:
    key = site.key("killed", "--concurrency", "1", "--budget", "0.0059", "--window", "total")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: _gone(site, key))
        wait_until(lambda: site.rows("SELECT COUNT(*) FROM budget_holds WHERE state = 'held'") == [(1,)], 5, "a hold")
        for index in (0, 1):
            site.gateways[0].kill_worker(index)
        running.result()

    wait_settled(site)
    wait_until(lambda: site.ask(key, 1).status in {200, 402}, 40, "the place is free")
    assert site.ask(key, 1).status in {200, 402}


def test_budgets_hold_while_redis_is_dead(site: Site) -> None:
    key = site.key("no redis", "--budget", "0.0159", "--window", "total")
    site.redis.kill()
    try:
        replies = site.together(key, 40, "scripted/slow-500ms")
    finally:
        site.redis.begin()

    assert statuses(replies)[200] == 3
    assert statuses(replies)[402] + statuses(replies)[503] == 37


def test_an_administrator_is_not_exempt(site: Site) -> None:
    key = site.key("admin", "--scope", "admin", "--scope", "chat", "--rpm", "1")

    assert [site.ask(key, turn).status for turn in (0, 1)] == [200, 429]


def _gone(site: Site, key: str) -> None:
    try:
        site.ask(key, 0, "scripted/slow-2000ms")
    except OSError:
        time.sleep(0)

"""Limits and budgets under load, over four workers of two gateways that share a database and Redis."""

import http.client
import json
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine, text

from infrastructure.database import create_engine_for
from tests.servers.caller import Caller, Reply
from tests.servers.gateway import Gateway
from tests.servers.mariadb import running_mariadb
from tests.servers.program import wait_until
from tests.servers.redis import RedisServer, running_redis
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("limits"), pytest.mark.timeout(240)]

CONFIG = """
[providers.scripted]
base_url = "{url}"
[prices."scripted/ok"]
input = 0.0
output = 1000.0
[prices."scripted/slow-500ms"]
input = 0.0
output = 1000.0
"""
"""An answer of at most 5 tokens is reserved at, and costs, exactly 0.005."""

NANO = 1_000_000_000
SLOW, SLOWER = "scripted/slow-500ms", "scripted/slow-1500ms"
"""Take 2.5 and 7.5 s for 5 tokens."""
LEASE = 30


@dataclass(frozen=True)
class Key:
    id: str
    token: str


@dataclass(frozen=True)
class Site:
    gateways: tuple[Gateway, Gateway]
    redis: RedisServer
    engine: Engine

    def key(self, *, scopes: tuple[str, ...] = ("chat",), **limits: Any) -> Key:
        first = self.gateways[0]
        order = {"name": "limited", "scopes": scopes, "limits": limits}
        made = Caller(first.port).bearing(first.key).post("/keys", order)
        assert made.status == 201, made.raw
        return Key(made.json["id"], made.json["key"])

    def caller(self, key: Key, turn: int = 0) -> Caller:
        return Caller(self.gateways[turn % 2].port).bearing(key.token)

    def ask(self, key: Key, turn: int = 0, model: str = "scripted/ok") -> Reply:
        """Over one of the gateways in turn."""
        return self.caller(key, turn).post("/chat/completions", a_body(model))

    def together(self, key: Key, count: int, model: str = "scripted/ok") -> list[Reply]:
        """All but the last byte of each request is there before the first of them is complete."""
        request = a_request(key, a_body(model))
        lines = [socket.create_connection(("127.0.0.1", self.gateways[turn % 2].port), 30) for turn in range(count)]
        for line in lines:
            line.sendall(request[:-1])
        time.sleep(0.5)
        for line in lines:
            line.sendall(request[-1:])
        return [reply_on(line) for line in lines]

    def soon(self, key: Key, count: int) -> list[Reply]:
        """As many calls, of which sixteen run at the same time: no worker is ever too busy to hear Redis in time."""
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda turn: self.ask(key, turn), range(count)))

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), values)]

    def standing(self, key: Key) -> tuple[int, int]:
        """What is used and reserved of the key's one budget."""
        ((used, reserved),) = self.rows("SELECT used, reserved FROM budget_windows WHERE subject_id = :key", key=key.id)
        return int(used), int(reserved)

    def wait_settled(self, key: Key) -> None:
        held = "SELECT COUNT(*) FROM budget_holds WHERE state = 'held' AND subject_id = :key"
        wait_until(lambda: self.rows(held, key=key.id) == [(0,)], 40, "all holds settled")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Site]:
    with running_mariadb() as database, running_redis() as redis:
        env = {"DATABASE_URL": database.new_database(), "REDIS_URL": redis.url, "PARLEY_WORKERS": "2"}
        config = CONFIG.format(url=provider.base_url)
        one, two = (Gateway(tmp_path_factory.mktemp(name), config=config, env=env) for name in ("one", "two"))
        one.cli("migrate")
        engine = create_engine_for(env["DATABASE_URL"], one.folder)
        try:
            one.start()
            two.start()
            yield Site((one, two), redis, engine)
        finally:
            engine.dispose()
            for gateway in (one, two):
                gateway.end()


def a_budget(amount: float, window: str = "total") -> list[dict[str, Any]]:
    return [{"unit": "money", "window": window, "amount": amount}]


def a_body(model: str, **options: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, **options}


def a_request(key: Key, body: dict[str, Any], path: str = "/chat/completions") -> bytes:
    content = json.dumps(body).encode()
    head = [
        f"POST /api/v1{path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {key.token}",
        "Content-Type: application/json",
        "Connection: close",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


def reply_on(line: socket.socket) -> Reply:
    with line, http.client.HTTPResponse(line) as answer:
        answer.begin()
        return Reply(answer.status, answer.headers, answer.read())


def statuses(replies: list[Reply]) -> Counter[int]:
    return Counter(reply.status for reply in replies)


def test_of_a_hundred_calls_at_once_a_budget_for_three_admits_exactly_three(site: Site) -> None:
    key = site.key(budgets=a_budget(0.0159))

    replies = site.together(key, 100, SLOW)

    assert statuses(replies) == {200: 3, 402: 97}
    refusal = next(reply for reply in replies if reply.status == 402)
    assert refusal.code == "budget_exceeded"
    assert "budget of this key" in refusal.json["error"]["message"]
    assert refusal.json["error"]["retryable"] is False
    site.wait_settled(key)
    assert site.standing(key) == (3 * 5_000_000, 0)
    assert site.ask(key).status == 402


def test_a_spent_budget_says_when_it_resets(site: Site) -> None:
    key = site.key(budgets=a_budget(0.0059, "day"))

    first, second = site.ask(key, 0), site.ask(key, 1)

    assert (first.status, second.status) == (200, 402)
    assert "resets at" in second.json["error"]["message"]


@pytest.mark.alone
def test_requests_per_minute_are_exact_over_four_workers(site: Site) -> None:
    key = site.key(rpm=200)

    replies = site.soon(key, 300)

    assert 198 <= statuses(replies)[200] <= 202
    assert statuses(replies)[200] + statuses(replies)[429] == 300
    refused = next(reply for reply in replies if reply.status == 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


@pytest.mark.alone
def test_tokens_per_minute_are_reserved_before_the_call_and_settled_after_it(site: Site) -> None:
    key = site.key(tpm=2_000)
    first = site.ask(key)
    reserved = 2_000 - int(first.headers["x-ratelimit-remaining-tokens"])

    replies = [first, *site.soon(key, 300)]

    assert statuses(replies)[200] + statuses(replies)[429] == 301
    used = sum(reply.json["usage"]["total_tokens"] for reply in replies if reply.status == 200)
    assert statuses(replies)[200] >= 2_000 // reserved
    assert used <= 2_000
    last = site.ask(key)
    rest = 2_000 - used - (reserved if last.status == 200 else 0)
    assert int(last.headers["x-ratelimit-remaining-tokens"]) == rest


def test_calls_at_once_never_exceed_the_limit_and_their_places_are_free_again(site: Site) -> None:
    key = site.key(concurrency=5)

    replies = site.together(key, 60, SLOWER)

    assert statuses(replies) == {200: 5, 429: 55}
    assert statuses(site.together(key, 5)) == {200: 5}


def test_a_killed_worker_gives_its_budget_back_and_its_places_end(site: Site, provider: ScriptedProvider) -> None:
    key = site.key(concurrency=1, budgets=a_budget(0.0059))
    provider.forget()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(_until_it_breaks, site, key)
        wait_until(lambda: bool(provider.bills()), 10, "dialled: it is reserved, and recorded")
        held = "SELECT COUNT(*) FROM budget_holds WHERE state = 'held' AND subject_id = :key"
        assert site.rows(held, key=key.id) == [(1,)]
        for pid in site.gateways[0].workers():
            os.kill(pid, signal.SIGKILL)
        running.result()

    site.wait_settled(key)
    used, reserved = site.standing(key)
    assert (0 <= used <= 5_000_000, reserved) == (True, 0)
    with site.redis.admin() as redis:
        left = redis.pttl(f"parley:capacity:running:key:{key.id}")
    assert 0 < left <= LEASE * 1_000
    wait_until(lambda: site.gateways[0].status("/livez") == 200, 20, "new workers")


def test_budgets_hold_while_redis_is_dead(site: Site) -> None:
    key = site.key(budgets=a_budget(0.0159))
    site.redis.kill()
    try:
        replies = site.together(key, 40, SLOW)
    finally:
        site.redis.begin()
        for gateway in site.gateways:
            wait_until(lambda gateway=gateway: _always_whole(gateway), 20, "Redis is used again")

    assert statuses(replies) == {200: 3, 402: 37}


def test_an_administrator_is_not_exempt(site: Site) -> None:
    key = site.key(scopes=("admin", "chat"), rpm=1, budgets=a_budget(1))

    assert [site.ask(key, turn).status for turn in (0, 1)] == [200, 429]


def test_of_two_messages_at_once_the_refused_one_reserves_nothing(site: Site) -> None:
    key = site.key(budgets=a_budget(3))
    session = _a_session(site, key)
    message = {"session_id": session, "message": "hi"}

    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda turn: site.caller(key, turn).post("/chat", message), range(4)))

    assert statuses(replies) == {200: 1, 409: 3}
    assert {reply.code for reply in replies if reply.status == 409} == {"conversation_busy"}
    site.wait_settled(key)
    assert site.standing(key) == (5_000_000, 0)


def test_a_session_that_is_deleted_while_it_is_answered_is_paid_and_stays_empty(site: Site) -> None:
    key = site.key(budgets=a_budget(3))
    session = _a_session(site, key)
    request = a_request(key, {"session_id": session, "message": "hi"}, "/chat/stream")
    with socket.create_connection(("127.0.0.1", site.gateways[0].port), 30) as line:
        line.sendall(request)
        with http.client.HTTPResponse(line) as answer:
            answer.begin()
            while b"word1" not in answer.readline():
                continue
            assert site.caller(key, 1).call("DELETE", f"/sessions/{session}").status == 204
            assert b"event: done" not in answer.read()

    site.wait_settled(key)
    ((charged,),) = site.rows("SELECT charged FROM usage_ledger WHERE key_id = :key AND kind = 'final'", key=key.id)
    assert 0 < charged <= 5_000_000
    assert site.standing(key) == (charged, 0)
    assert site.rows("SELECT COUNT(*) FROM messages WHERE session_id = :session", session=session) == [(0,)]
    assert site.caller(key).get(f"/sessions/{session}/messages").status == 404


def _a_session(site: Site, key: Key) -> str:
    made = site.caller(key).post("/sessions", {"model": SLOW})
    assert made.status == 201, made.raw
    return str(made.json["id"])


def _until_it_breaks(site: Site, key: Key) -> None:
    with suppress(OSError, http.client.HTTPException):
        site.ask(key, 0, SLOW)


def _always_whole(gateway: Gateway) -> bool:
    """Each worker finds out for itself, and every one of them is asked by twenty connections."""
    told = [Caller(gateway.port, prefix="").get("/readyz").json for _ in range(20)]
    return not any("redis" in str(it.get("degraded")) for it in told)

"""Idempotency keys on two gateways with two workers each, which share MariaDB and Redis: one call, one bill."""

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, text

from infrastructure.database import create_engine_for
from tests.servers.caller import Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.mariadb import MariaDbServer, running_mariadb
from tests.servers.program import wait_until
from tests.servers.redis import running_redis
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("idempotency"), pytest.mark.timeout(120)]

CONFIG = '[providers.scripted]\nbase_url = "{url}"\n'
HELLO = [{"role": "user", "content": "hi"}]


@dataclass(frozen=True)
class Site:
    gateways: tuple[Gateway, Gateway]
    database: MariaDbServer
    provider: ScriptedProvider

    @property
    def key(self) -> str:
        return self.gateways[0].key

    def ask(self, name: str, turn: int = 0, model: str = "ok", token: str | None = None, **fields: Any) -> Reply:
        """With the idempotency key `name`, over one of the gateways in turn."""
        body = {"model": f"scripted/{model}", "messages": HELLO, **fields}
        return self.post("/chat/completions", body, name, turn, token)

    def post(self, path: str, body: Any, name: str, turn: int = 0, token: str | None = None) -> Reply:
        caller = Caller(self.gateways[turn % 2].port).bearing(token or self.key)
        return caller.post(path, body, **{"Idempotency-Key": name})

    def rows(self, statement: str) -> list[Any]:
        with self._connected() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def change(self, statement: str) -> None:
        with self._connected() as connection:
            connection.execute(text(statement))

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        engine = create_engine_for(self.gateways[0].env["DATABASE_URL"], self.gateways[0].folder)
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    def billed(self, replies: list[Reply]) -> list[str]:
        """The ids of those requests that have a final row, which comes a moment after the reply."""
        asked = {reply.headers["X-Request-Id"] for reply in replies}
        return [
            found
            for (found,) in self.rows("SELECT request_id FROM usage_ledger WHERE kind = 'final'")
            if found in asked
        ]

    def served(self) -> int:
        return len(self.provider.bills())


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    provider = ScriptedProvider(tmp_path_factory.mktemp("provider")).run()
    with running_mariadb() as database, running_redis() as redis:
        env = {"DATABASE_URL": database.new_database(), "REDIS_URL": redis.url, "PARLEY_WORKERS": "2"}
        config = CONFIG.format(url=provider.base_url) + FAST
        gateways = [Gateway(tmp_path_factory.mktemp(name), config=config, env=env) for name in ("one", "two")]
        gateways[0].cli("migrate")
        for gateway in gateways:
            gateway.start()
        yield Site((gateways[0], gateways[1]), database, provider)
        for gateway in gateways:
            gateway.end()
    provider.stop()


@pytest.fixture
def site(everything: Site) -> Site:
    """Nothing was asked of the provider yet, and no worker believes the database to be away."""
    wait_until(lambda: not any(map(_refuses, everything.gateways)), 20, "the database, for every worker")
    everything.provider.forget()
    return everything


def _refuses(gateway: Gateway) -> bool:
    """Whether some worker's breaker is open: for seconds after an outage, on each worker by itself."""
    metrics = Caller(gateway.port, prefix="").bearing("metrics-token-of-the-tests").get("/metrics")
    return b'parley_breaker_open{resource="database"} 0.0' not in metrics.raw


def test_of_fifty_at_once_one_is_executed_and_billed(site: Site) -> None:
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda turn: site.ask("fifty", turn, "slow-250ms"), range(50)))

    made = [reply for reply in replies if reply.status == 200 and "Idempotency-Replayed" not in reply.headers]
    assert len(made) == 1
    assert {reply.status for reply in replies} == {200, 409}
    assert {reply.raw for reply in replies if reply.status == 200} == {made[0].raw}
    refused = next(reply for reply in replies if reply.status == 409)
    assert (refused.code, refused.headers["Retry-After"]) == ("idempotency_in_progress", "1")
    assert refused.json["error"]["retryable"] is True
    assert site.served() == 1
    wait_until(lambda: site.billed(replies) == [made[0].headers["X-Request-Id"]], 20, "the one row")
    assert site.ask("fifty", 1, "slow-250ms").raw == made[0].raw


def test_whoever_comes_back_as_told_gets_the_answer_of_the_first(site: Site) -> None:
    """What the SDKs do with a 409."""

    def insist(turn: int) -> Reply:
        reply = site.ask("patient", turn, "slow-100ms")
        while reply.status == 409:
            time.sleep(int(reply.headers["Retry-After"]))
            reply = site.ask("patient", turn, "slow-100ms")
        return reply

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(insist, range(8)))

    assert {reply.raw for reply in replies} == {replies[0].raw}
    assert [reply.headers["Idempotency-Replayed"] for reply in replies].count("true") == 7
    assert site.served() == 1


def test_another_body_is_refused_and_not_executed(site: Site) -> None:
    site.ask("other")

    reply = site.ask("other", 1, temperature=1)

    assert (reply.status, reply.code, reply.headers["x-should-retry"]) == (422, "idempotency_key_reused", "false")
    assert site.served() == 1


def test_a_stream_is_repeated_with_all_its_text_its_usage_and_its_end(site: Site) -> None:
    first, repeat = (site.ask("stream", turn, "ok-n-50", stream=True) for turn in (0, 1))

    assert repeat.raw == first.raw.replace(b": ping\n\n", b"")
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert repeat.headers["Content-Type"] == first.headers["Content-Type"]
    assert repeat.raw.endswith(b"data: [DONE]\n\n")
    assert b'"total_tokens"' in repeat.raw
    assert site.served() == 1


IMAGES = {"model": "scripted/picture-noise-3", "prompt": "a cat", "n": 4, "response_format": "b64_json"}


def test_images_of_many_megabytes_are_repeated_byte_for_byte_and_made_once(site: Site) -> None:
    first, repeat = (site.post("/images/generations", IMAGES, "images", turn) for turn in (0, 1))

    assert (first.status, repeat.status) == (200, 200), repeat.raw[:500]
    assert len(first.raw) > 16 << 20
    assert repeat.raw == first.raw
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert repeat.headers["Content-Length"] == str(len(first.raw))
    assert site.served() == 1


def test_a_long_answer_whose_end_is_lost_never_looks_complete(site: Site) -> None:
    first = site.post("/images/generations", IMAGES, "lost")
    site.change("DELETE FROM idempotency_parts WHERE number > 5")

    with pytest.raises(http.client.IncompleteRead) as cut:
        site.post("/images/generations", IMAGES, "lost", 1)

    assert first.raw.startswith(cut.value.partial)
    assert site.served() == 1


@pytest.mark.parametrize("path", ["/chat", "/chat/stream"])
def test_a_turn_of_a_session_is_in_it_once(site: Site, path: str) -> None:
    caller = Caller(site.gateways[0].port).bearing(site.key)
    session = caller.post("/sessions", {"ai_provider": "scripted", "model": "ok"}).json
    body = {"session_id": session["id"], "message": "hi"}

    first, repeat = (site.post(path, body, f"turn {path}", turn) for turn in (0, 1))

    assert (first.status, repeat.status, repeat.raw) == (200, 200, first.raw)
    assert len(caller.get(f"/sessions/{session['id']}/messages").json["data"]) == 2
    assert site.served() == 1


def test_what_was_refused_before_it_was_executed_leaves_the_key_free(site: Site) -> None:
    assert site.ask("free", temperature=9).status == 400
    assert site.post("/chat/completions", {"model": "nobody/none", "messages": HELLO}, "free").status == 404
    assert site.post("/chat", {"session_id": "sess_none", "message": "hi"}, "free").status == 404

    assert site.ask("free", 1).status == 200
    assert site.served() == 1


@pytest.mark.parametrize("model", ["500", "context-length", "rst-after-3"])
def test_an_error_of_the_provider_is_repeated_and_nothing_is_sent_again(site: Site, model: str) -> None:
    streamed = model == "rst-after-3"
    first = site.ask(f"error {model}", 0, model, stream=streamed)
    asked = site.served()

    repeat = site.ask(f"error {model}", 1, model, stream=streamed)

    told = (repeat.headers["x-should-retry"], repeat.headers["Idempotency-Replayed"])
    assert told == ("false", "true"), (repeat.status, repeat.code, first.raw)
    assert repeat.status >= 400
    assert f'"code":"{repeat.code}"'.encode() in first.raw
    assert repeat.json["error"]["request_id"] == first.headers["X-Request-Id"]
    assert streamed or (repeat.status, repeat.raw) == (first.status, first.raw)
    assert site.served() == asked


def test_a_repeat_costs_nothing_but_counts_as_a_request(site: Site) -> None:
    token = site.gateways[0].cli("keys", "create", "--user", "admin@localhost", "--name", "rpm", "--rpm", "3")

    replies = [site.ask("counted", turn, token=token) for turn in range(4)]

    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["2", "1", "0", "0"]
    assert site.served() == 1


def test_users_are_independent_and_a_users_keys_and_logins_are_not(site: Site) -> None:
    gateway = site.gateways[0]
    gateway.cli("users", "create", "bob@example.org", "--role", "member", text="correct horse 17 battery\n")
    first, second = (
        gateway.cli("keys", "create", "--user", "bob@example.org", "--name", name) for name in ("one", "two")
    )
    given = {"email": "bob@example.org", "password": "correct horse 17 battery"}
    login = Caller(gateway.port).post("/auth/login", given).json["access_token"]

    replies = [site.ask("shared", turn, token=token) for turn, token in enumerate((first, second, login, None))]

    assert [reply.headers["Idempotency-Replayed"] for reply in replies] == [None, "true", "true", None]
    assert site.served() == 2


def test_a_client_that_left_gets_the_whole_answer_when_it_comes_back(site: Site) -> None:
    body = {"model": "scripted/slow-100ms", "messages": HELLO, "stream": True}
    connection = begin(site, "left", body)
    connection.getresponse().read(20)
    connection.close()

    wait_until(lambda: site.post("/chat/completions", body, "left").status == 200, 20, "the end of the call")
    assert site.post("/chat/completions", body, "left", 1).raw.endswith(b"data: [DONE]\n\n")
    assert [bill["ended"] for bill in site.provider.bills()] == ["complete"]


def begin(site: Site, name: str, body: Any) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", site.gateways[0].port, timeout=30)
    headers = {"Authorization": f"Bearer {site.key}", "Content-Type": "application/json", "Idempotency-Key": name}
    connection.request("POST", "/api/v1/chat/completions", json.dumps(body), headers)
    return connection


def test_a_call_whose_worker_was_killed_is_abandoned_and_never_made_again(site: Site) -> None:
    body = {"model": "scripted/slow-1000ms", "messages": HELLO}
    connection = begin(site, "killed", body)
    wait_until(lambda: site.served() == 1, 20, "the call at the provider")
    assert site.post("/chat/completions", body, "killed", 1).code == "idempotency_in_progress"

    for index in range(len(site.gateways[0].workers())):
        site.gateways[0].kill_worker(index)
    with pytest.raises((OSError, http.client.HTTPException)):
        connection.getresponse().read()
    seen = [site.post("/chat/completions", body, "killed", 1)]
    wait_until(lambda: _settled(site, seen, body), 20, "the reaper")

    assert {reply.code for reply in seen} <= {"idempotency_in_progress", "request_abandoned"}
    assert (seen[-1].status, seen[-1].code) == (502, "request_abandoned")
    assert (seen[-1].headers["x-should-retry"], seen[-1].headers["Idempotency-Replayed"]) == ("false", "true")
    assert site.post("/chat/completions", body, "killed", 1).code == "request_abandoned"
    assert site.served() == 1
    wait_until(lambda: site.gateways[0].status("/livez") == 200, 20, "new workers")


def _settled(site: Site, seen: list[Reply], body: Any) -> bool:
    seen.append(site.post("/chat/completions", body, "killed", 1))
    return seen[-1].code != "idempotency_in_progress"


def test_while_the_database_is_away_only_requests_with_a_key_are_refused(site: Site) -> None:
    body = {"model": "scripted/ok", "messages": HELLO}
    connection = http.client.HTTPConnection("127.0.0.1", site.gateways[0].port, timeout=30)
    assert _said(site, connection, body).status == 200  # the worker at its other end knows the key
    site.provider.forget()
    site.database.kill()
    try:
        refused = _said(site, connection, body, {"Idempotency-Key": "away"})
        passed = _said(site, connection, body)
    finally:
        site.database.begin()
        connection.close()

    assert (refused.status, refused.code) == (503, "db_unavailable")
    assert refused.headers["Retry-After"]
    assert passed.status == 200
    assert site.served() == 1
    wait_until(lambda: site.ask("away").status == 200, 20, "the database")


def _said(site: Site, connection: http.client.HTTPConnection, body: Any, key: dict[str, str] | None = None) -> Reply:
    """On one connection, all of whose requests one worker serves."""
    headers = {"Authorization": f"Bearer {site.key}", "Content-Type": "application/json", **(key or {})}
    connection.request("POST", "/api/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    return Reply(answer.status, answer.headers, answer.read())

"""Workers are killed at random moments, on both kinds of store: nothing is lost, nothing is doubled."""

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from infrastructure.database import create_engine_for
from tests.servers.gateway import FAST, Gateway
from tests.servers.mariadb import running_mariadb
from tests.servers.program import wait_until
from tests.servers.redis import running_redis
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("kills"), pytest.mark.timeout(240)]

REQUESTS = 200
CLIENTS = 12
MODELS = ("ok-n-5", "ok-n-50", "slow-20ms", "no-usage")


@dataclass
class Seen:
    """What one client saw: its request id when the headers came, and whether the last byte came."""

    request_id: str | None = None
    whole: bool = False


class Begun:
    """How many answers have begun."""

    def __init__(self) -> None:
        self.count = 0


@pytest.fixture(params=["sqlite", "mariadb and redis"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path, provider: ScriptedProvider) -> Iterator[Gateway]:
    provider.forget()
    config = (
        f'[providers.scripted]\nbase_url = "{provider.base_url}"\n[prices."scripted/ok-n-5"]\ninput = 1\noutput = 2\n'
    )
    if request.param == "sqlite":
        gateway = Gateway(tmp_path, config=config + FAST).start()
        yield gateway
        gateway.end()
        return
    with running_mariadb() as database, running_redis() as redis:
        env = {"DATABASE_URL": database.new_database(), "REDIS_URL": redis.url, "PARLEY_WORKERS": "2"}
        gateway = Gateway(tmp_path, config=config + FAST, env=env)
        gateway.cli("migrate")
        gateway.start()
        yield gateway
        gateway.end()


def one_call(gateway: Gateway, begun: Begun, session_id: str | None, number: int) -> Seen:
    """A stream, every fourth in a session, read to its end or to its death."""
    seen = Seen()
    path = "/api/v1/chat/completions"
    body: dict[str, Any] = {
        "model": f"scripted/{MODELS[number % len(MODELS)]}",
        "messages": [{"role": "user", "content": f"call {number}"}],
        "stream": True,
    }
    if session_id:
        path, body = "/api/v1/chat/stream", {"session_id": session_id, "message": f"call {number}"}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    try:
        headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        seen.request_id = answer.headers["X-Request-Id"]
        begun.count += 1
        tail = answer.read()[-2000:]
        seen.whole = answer.status == 200 and (b"data: [DONE]" in tail or b"event: end" in tail)
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    return seen


def kill_now_and_then(gateway: Gateway, begun: Begun, over: threading.Event) -> int:
    """Each time some more answers have begun, and a random moment later: a worker in the middle of its work."""
    kills, dice = 0, random.Random(7)  # noqa: S311 - moments, not secrets
    target = 5
    while not over.wait(dice.uniform(0.0, 0.1)):
        if begun.count < target:
            continue
        workers = gateway.workers()
        if workers:
            gateway.kill_worker(dice.randrange(len(workers)))
            kills, target = kills + 1, begun.count + dice.randrange(3, 18)
    return kills


def rows(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))


def quiet(gateway: Gateway) -> bool:
    """No journal holds anything that SQL has not: dead workers' files are gone."""
    files = list((gateway.folder / "var" / "journal").glob("*.log"))
    return len(files) <= len(gateway.workers()) and gateway.status("/readyz") == 200


def test_two_hundred_calls_under_random_kills_are_each_in_the_ledger_exactly_once(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    sessions = [
        gateway.call("POST", "/sessions", {"ai_provider": "scripted", "model": "ok-n-5"})[1]["id"] for _ in range(10)
    ]
    over, begun = threading.Event(), Begun()
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        killer = pool.submit(kill_now_and_then, gateway, begun, over)
        calls = [
            pool.submit(one_call, gateway, begun, sessions[number // 4 % 10] if number % 4 == 0 else None, number)
            for number in range(REQUESTS)
        ]
        seen = [call.result() for call in calls]
        over.set()
        kills = killer.result()
    wait_until(lambda: quiet(gateway), 30, "all journals applied")
    time.sleep(1.5)

    engine = create_engine_for(gateway.env.get("DATABASE_URL", "sqlite://"), gateway.folder / "var")
    finals = dict(tuple(row) for row in rows(engine, "SELECT request_id, state FROM usage_ledger WHERE kind = 'final'"))
    doubled = rows(engine, "SELECT request_id FROM usage_ledger GROUP BY request_id, attempt, kind HAVING COUNT(*) > 1")
    served = {bill["id"] for bill in provider.bills()}
    whole = {call.request_id for call in seen if call.whole}

    assert kills >= 5, "the run was too short to prove anything"
    assert len(whole) >= REQUESTS // 8, "hardly anything was served"
    assert doubled == []
    assert served <= finals.keys(), "the provider served calls that the ledger does not know"
    assert {finals[request_id] for request_id in whole if request_id} == {"completed"}
    assert rows(engine, "SELECT id FROM sessions WHERE active_request_id IS NOT NULL") == []
    messages = rows(engine, "SELECT session_id, COUNT(*), MAX(seq) FROM messages GROUP BY session_id")
    assert all(count == highest for _, count, highest in messages), "seq has gaps"
    engine.dispose()

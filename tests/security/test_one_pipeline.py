"""One policy for all that costs money: the routes come from the OpenAPI document, so that none escapes it."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest

from tests.servers.caller import Caller, Reply
from tests.servers.gateway import FAST, ROOT, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("one-pipeline"), pytest.mark.timeout(180)]

Body = dict[str, Any]

CONFIG = """
[providers.scripted]
base_url = "{url}"
[prices."scripted/ok"]
input = 1000.0
output = 1000.0
[prices."scripted/picture"]
image = 1.0
[guardrails.secrets]
words = ["forbiddenword"]
action = "block"
on = ["input"]
[guardrails.names]
words = ["projectfalcon"]
action = "mask"
on = ["input"]
"""
DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())
PREFIX = "/api/v1"
FREE = {
    *("/auth/register", "/auth/confirm", "/auth/password/forgot", "/auth/password/reset", "/auth/password/change"),
    *("/auth/login", "/auth/logout", "/auth/reauthenticate", "/me/totp", "/me/totp/confirm"),
    *("/sessions", "/chat/{request_id}/stop", "/messages/count_tokens", "/keys", "/keys/{key_id}/rotate"),
    *("/admin/users", "/admin/invitations", "/admin/teams", "/admin/providers/credentials", "/admin/prices"),
}
"""What a POST can be asked for that no provider is paid for."""
_LINES = "application/x-ndjson"
_EVENTS = "text/event-stream"


def _said(text: str, model: str) -> Body:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


BODIES: dict[str, tuple[str, Callable[[str, str], Body]]] = {
    "/chat": ("ok", lambda text, model: {"message": text, "model": model}),
    "/chat/stream": ("ok", lambda text, model: {"message": text, "model": model}),
    "/chat/completions": ("ok", _said),
    "/embeddings": ("ok", lambda text, model: {"model": model, "input": ["first", text]}),
    "/images/generations": ("picture", lambda text, model: {"model": model, "prompt": text}),
    "/images": ("picture", lambda text, model: {"model": model, "prompt": text}),
    "/messages": ("ok", lambda text, model: {**_said(text, model), "max_tokens": 9}),
    "/responses": ("ok", lambda text, model: {"model": model, "input": text}),
}
"""What is said to whom, by route: the scripted model, and the body around a text."""
ALWAYS_STREAMED = {"/chat/stream"}


@dataclass(frozen=True)
class Paid:
    """A route that costs money, asked for one of the types that it documents."""

    path: str
    kind: str

    def __str__(self) -> str:
        return f"{self.path.strip('/').replace('/', '-')} {self.kind.rpartition('/')[2]}"

    @property
    def model(self) -> str:
        return f"scripted/{BODIES[self.path][0]}"

    @property
    def answers(self) -> dict[str, Any]:
        return dict(DOCUMENT["paths"][PREFIX + self.path]["post"]["responses"])

    def body(self, text: str, model: str, session_id: str) -> Body:
        body = BODIES[self.path][1](text, model)
        if self.path.startswith("/chat") and "message" in body:
            body["session_id"] = session_id
        if self.kind != "application/json" and self.path not in ALWAYS_STREAMED:
            body["stream"] = True
        return body


def posts() -> dict[str, Any]:
    return {
        path.removeprefix(PREFIX): methods["post"] for path, methods in DOCUMENT["paths"].items() if "post" in methods
    }


def is_paid(operation: dict[str, Any]) -> bool:
    return any(parameter.get("name") == "Idempotency-Key" for parameter in operation.get("parameters", ()))


def paid() -> list[Paid]:
    found = []
    for path, operation in posts().items():
        if is_paid(operation):
            (good,) = (answer for status, answer in operation["responses"].items() if status.startswith("2"))
            found += [Paid(path, kind) for kind in good["content"]]
    return found


PAID = paid()
each_paid = pytest.mark.parametrize("route", PAID, ids=str)


def test_every_post_of_the_document_is_either_free_or_under_the_policy_below() -> None:
    bought = {path for path, operation in posts().items() if is_paid(operation)}

    assert bought | FREE == posts().keys()
    assert not bought & FREE
    assert bought == BODIES.keys(), "say what is sent to it"


@dataclass
class House:
    """A gateway with one user, who has a key for each purpose and one session."""

    gateway: Gateway
    provider: ScriptedProvider
    names: Iterator[int]

    def __post_init__(self) -> None:
        self.owner = Caller(self.gateway.port).bearing(self.gateway.key)
        self.session_id = ""

    def key(self, **fields: Any) -> Caller:
        reply = self.owner.post("/keys", {"name": f"key {next(self.names)}", **fields})
        assert reply.status == 201, reply.raw
        return Caller(self.gateway.port).bearing(reply.json["key"])

    def ask(
        self, route: Paid, caller: Caller | None = None, text: str = "hi", model: str = "", **headers: str
    ) -> Reply:
        if not self.session_id:
            self.session_id = self.owner.post("/sessions", {}).json["id"]
        body = route.body(text, model or route.model, self.session_id)
        reply = (caller or self.owner).post(route.path, body, Accept=route.kind, **headers)
        assert str(reply.status) in route.answers, (reply.status, "is not documented", reply.raw)
        return reply

    def asked(self) -> int:
        return len(self.provider.bills())

    def finals(self, request_id: str | None) -> list[Any]:
        statement = "SELECT state, model_used, key_id FROM usage_ledger WHERE request_id = ? AND kind = 'final'"
        return self.rows(statement, request_id)

    def unfinished(self) -> list[Any]:
        return self.rows("SELECT id FROM image_jobs WHERE status IN ('queued', 'running')")

    def rows(self, statement: str, *values: str | None) -> list[Any]:
        with sqlite3.connect(f"file:{self.gateway.folder}/var/parley.db?mode=ro", uri=True) as database:
            return database.execute(statement, values).fetchall()

    def log(self) -> str:
        return self.gateway.program.log.read_text()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProvider]:
    provider = ScriptedProvider(tmp_path_factory.mktemp("provider")).run()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[House]:
    config = CONFIG.format(url=provider.base_url) + FAST
    gateway = Gateway(tmp_path_factory.mktemp("house"), config=config).start()
    yield House(gateway, provider, count())
    assert gateway.stop() == 0


@pytest.fixture
def house(running: House) -> House:
    wait_until(lambda: not running.unfinished(), 20, "the end of the images before")
    running.provider.forget()
    return running


@each_paid
def test_it_is_made_recorded_logged_and_not_to_be_stored_by_anybody_on_the_way(house: House, route: Paid) -> None:
    reply = house.ask(route)
    request_id = reply.headers["X-Request-Id"]

    assert reply.status in {200, 202}
    assert reply.headers["Content-Type"].partition(";")[0] == route.kind
    assert reply.headers["Cache-Control"].startswith("no-store")
    assert reply.headers["Vary"] == "Authorization, Cookie, Origin"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    wait_until(lambda: house.finals(request_id), 20, "the record in the ledger")
    ((state, model, _),) = house.finals(request_id)
    assert (state, model) == ("completed", route.model)
    assert [bill["id"] for bill in house.provider.bills()] == [request_id]
    wait_until(lambda: f'"request_id":"{request_id}"' in house.log(), 20, "a line in the log")


@each_paid
def test_a_key_needs_the_scope(house: House, route: Paid) -> None:
    reply = house.ask(route, house.key(scopes=["usage:read"]))

    assert (reply.status, house.asked()) == (403, 0)


@each_paid
def test_a_key_needs_the_model(house: House, route: Paid) -> None:
    reply = house.ask(route, house.key(models=["echo/*"]))

    assert (reply.status, reply.code, house.asked()) == (403, "model_not_allowed", 0)


@each_paid
def test_requests_per_minute_count(house: House, route: Paid) -> None:
    caller = house.key(limits={"rpm": 1})

    assert house.ask(route, caller).status in {200, 202}
    reply = house.ask(route, caller)

    assert (reply.status, reply.code) == (429, "rate_limited")
    assert int(reply.headers["Retry-After"]) >= 1
    wait_until(lambda: house.asked() == 1, 20, "the first of them")


@each_paid
def test_tokens_per_minute_count(house: House, route: Paid) -> None:
    """A single call may be larger than its limit, and then it is the only one."""
    caller = house.key(limits={"tpm": 1})
    assert caller.post("/chat/completions", _said("many words", "scripted/ok")).status == 200

    reply = house.ask(route, caller)

    assert (reply.status, reply.code, house.asked()) == (429, "rate_limited", 1)


@each_paid
def test_calls_at_the_same_time_count(house: House, route: Paid) -> None:
    caller = house.key(limits={"concurrency": 1})
    with held(house, caller):
        reply = house.ask(route, caller)

    assert (reply.status, reply.code, house.asked()) == (429, "rate_limited", 1)


@each_paid
def test_money_counts(house: House, route: Paid) -> None:
    budget = {"unit": "money", "amount": 0.000001, "window": "total"}

    reply = house.ask(route, house.key(limits={"budgets": [budget]}), text="many words " * 20)

    assert (reply.status, reply.code, house.asked()) == (402, "budget_exceeded", 0)


@each_paid
def test_who_has_a_budget_buys_nothing_without_a_price(house: House, route: Paid) -> None:
    budget = {"unit": "money", "amount": 5, "window": "total"}

    reply = house.ask(route, house.key(limits={"budgets": [budget]}), model=f"{route.model}~unpriced")

    assert (reply.status, reply.code, house.asked()) == (403, "model_unpriced", 0)


@each_paid
def test_a_guardrail_looks_at_what_is_asked(house: House, route: Paid) -> None:
    reply = house.ask(route, text="a ForbiddenWord here")

    assert (reply.status, house.asked()) == (400, 0)
    assert b"guardrail_blocked" in reply.raw or b"secrets" in reply.raw


@each_paid
def test_what_a_guardrail_takes_out_is_not_sent(house: House, route: Paid) -> None:
    assert house.ask(route, text="all of projectfalcon, please").status in {200, 202}

    wait_until(lambda: house.asked() == 1, 20, "the call")
    (bill,) = house.provider.bills()
    assert "projectfalcon" not in json.dumps(bill["payload"])
    assert "[removed]" in json.dumps(bill["payload"])


@each_paid
def test_an_idempotency_key_buys_it_once(house: House, route: Paid) -> None:
    key = {"Idempotency-Key": f"once-{route}"}

    first = house.ask(route, **key)
    again, other = house.ask(route, **key), house.ask(route, text="something else", **key)

    assert again.status == first.status
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.raw == first.raw if route.kind == "application/json" else again.raw
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    wait_until(lambda: house.asked() == 1, 20, "the one call")


@each_paid
@pytest.mark.parametrize("key", ["", "x" * 256, "two words\x7f"])
def test_a_key_that_is_none_buys_nothing(house: House, route: Paid, key: str) -> None:
    assert (house.ask(route, **{"Idempotency-Key": key}).status, house.asked()) == (400, 0)


@each_paid
def test_a_provider_s_failure_is_told_recorded_and_costs_nothing(house: House, route: Paid) -> None:
    reply = house.ask(route, model="scripted/429-ra-3600")
    request_id = reply.headers["X-Request-Id"]

    assert reply.status == (202 if route.path == "/images" else 429)
    wait_until(lambda: house.finals(request_id), 20, "the record in the ledger")
    ((state, _, _),) = house.finals(request_id)
    assert state == "failed"


@each_paid
def test_an_unknown_model_is_no_call(house: House, route: Paid) -> None:
    reply = house.ask(route, model="nobody/nothing")

    assert (reply.status, reply.code, house.asked()) == (404, "model_not_found", 0)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[House]:
    config = CONFIG.format(url=provider.base_url) + FAST + "in_flight = 1\n"
    gateway = Gateway(tmp_path_factory.mktemp("full"), config=config).start()
    yield House(gateway, provider, count())
    gateway.end()


@each_paid
def test_a_worker_that_is_full_says_so_at_once(full: House, route: Paid) -> None:
    with held(full, full.owner):
        full.provider.forget()
        reply = full.ask(route)

    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (503, "overloaded", "1")
    assert full.asked() == 0


def test_a_worker_that_stops_begins_nothing_of_it(tmp_path: Path, provider: ScriptedProvider) -> None:
    """Over connections that were there before: new ones are not accepted any more."""
    provider.forget()
    gateway = Gateway(tmp_path, config=CONFIG.format(url=provider.base_url) + FAST).start()
    house = House(gateway, provider, count())
    session_id = house.owner.post("/sessions", {}).json["id"]
    connections = {route: HTTPConnection("127.0.0.1", gateway.port, timeout=10) for route in PAID}
    for connection in connections.values():
        connection.request("GET", "/livez")
        connection.getresponse().read()
    with held(house, house.owner):
        gateway.program.signal(SIGTERM)
        wait_until(lambda: gateway.status("/livez") == 0, 20, "the end of listening")
        told = {str(route): _told(connections[route], gateway, route, session_id) for route in PAID}
    gateway.program.wait(20)

    assert set(told.values()) <= {"503 server_shutting_down", "closed"}
    assert "503 server_shutting_down" in told.values()
    assert house.asked() == 1


def _told(connection: HTTPConnection, gateway: Gateway, route: Paid, session_id: str) -> str:
    """A server may close a connection that is idle instead of answering on it."""
    headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json", "Accept": route.kind}
    try:
        connection.request("POST", PREFIX + route.path, json.dumps(route.body("hi", route.model, session_id)), headers)
        answer = connection.getresponse()
        found = re.search(rb'"code":"(\w+)"', answer.read())
        return f"{answer.status} {found[1].decode() if found else ''}"
    except (HTTPException, OSError):
        return "closed"
    finally:
        connection.close()


@contextmanager
def held(house: House, caller: Caller) -> Iterator[None]:
    """A call that runs for as long as the block does. The one before may not be over yet where only one may run."""
    body = json.dumps({**_said("hold", "scripted/drip"), "stream": True})
    headers = {**caller.headers, "Content-Type": "application/json"}
    connection = HTTPConnection("127.0.0.1", house.gateway.port, timeout=30)

    def began() -> bool:
        connection.request("POST", f"{PREFIX}/chat/completions", body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            answer.read()
        return answer.status == 200

    wait_until(began, 20, "the call that is held")
    try:
        yield
    finally:
        connection.close()

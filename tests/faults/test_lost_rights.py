"""A stream whose credential ends, or whose session is deleted, while it runs: on one worker, and over two of them."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from tests.security.people import OPEN, PASSWORD, People, ok
from tests.servers.caller import Caller
from tests.servers.gateway import Gateway
from tests.servers.mariadb import running_mariadb
from tests.servers.program import wait_until
from tests.servers.redis import running_redis
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("revocation"), pytest.mark.timeout(240)]

T = TypeVar("T")

LONG, SHORT = "slow-5000ms", "slow-1500ms"
"""Five words, and the stream is over after twenty-five seconds, or after seven and a half."""
PROMISED = 5.0
"""Seconds after which a lost right is lost, in running streams too."""
CONFIG = """
[providers.scripted]
base_url = "{url}"
[providers.scripted.deadlines]
idle = 10.0
total = 60.0
[prices."scripted/slow-5000ms"]
input = 1.0
output = 1000.0
"""


@pytest.fixture(scope="module", params=["one worker", "two workers"])
def people(request, tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[People]:
    config = CONFIG.format(url=provider.base_url) + OPEN
    folder = tmp_path_factory.mktemp("revocation")
    if request.param == "one worker":
        yield from _served(Gateway(folder, config=config))
        return
    with running_mariadb() as database, running_redis() as redis:
        env = {"DATABASE_URL": database.new_database(), "REDIS_URL": redis.url, "PARLEY_WORKERS": "2"}
        gateway = Gateway(folder, config=config, env=env)
        gateway.cli("migrate")
        yield from _served(gateway)


def _served(gateway: Gateway) -> Iterator[People]:
    people = People(gateway.start())
    yield people
    people.close()
    assert gateway.stop() == 0
    assert '"status":500' not in gateway.program.log.read_text()


@dataclass
class Stream:
    """One that runs; `rest` is what came after the moment at which something was changed."""

    caller: Caller
    path: str
    body: dict[str, Any]
    request_id: str = ""
    heard: bytes = field(default=b"", repr=False)

    def begin(self) -> "Stream":
        self._connection = http.client.HTTPConnection("127.0.0.1", self.caller.port, timeout=20)
        headers = {**self.caller.headers, "Content-Type": "application/json"}
        self._connection.request("POST", f"/api/v1{self.path}", json.dumps(self.body), headers)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self.request_id = str(self._answer.headers["X-Request-Id"])
        while b"word1" not in self.heard:
            self.heard += self._answer.read1(4096)
        return self

    def rest(self) -> tuple[str, float]:
        """Until the end, with the seconds that it took; the last chunk came, so that the end is no accident."""
        started = time.monotonic()
        text = self._answer.read().decode()
        self._connection.close()
        return text, time.monotonic() - started


def completion(caller: Caller, model: str = LONG) -> Stream:
    message = {"role": "user", "content": "go on"}
    return Stream(caller, "/chat/completions", {"model": f"scripted/{model}", "messages": [message], "stream": True})


def turn(caller: Caller) -> Stream:
    session = ok(caller.post("/sessions", {"ai_provider": "scripted", "model": LONG}))["id"]
    return Stream(caller, "/chat/stream", {"session_id": session, "message": "go on"})


def together(count: int, play: Callable[[int], T]) -> list[T]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(play, range(count)))


def token_of(caller: Caller) -> str:
    return caller.headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def name(people: People, request) -> str:
    people.nobody_waits()
    return "".join(char for char in request.node.name.lower() if char.isalnum())[-40:]


def final_row(people: People, stream: Stream) -> dict[str, Any]:
    columns = ("state", "error_code", "output", "charged", "source")
    found: list[Any] = []

    def recorded() -> bool:
        found[:] = people.rows(
            f"SELECT {', '.join(columns)} FROM usage_ledger WHERE request_id = :id AND kind = 'final'",  # noqa: S608 - ours
            id=stream.request_id,
        )
        return bool(found)

    wait_until(recorded, 10, "the ledger has it")
    return dict(zip(columns, found[0], strict=True))


def revoke_the_key(people: People, owner: Caller, key: dict[str, Any]) -> None:
    ok(owner.call("DELETE", f"/keys/{key['id']}"))


def revoke_it_on_the_command_line(people: People, owner: Caller, key: dict[str, Any]) -> None:
    people.gateway.cli("keys", "revoke", key["id"])


def disable_the_user(people: People, owner: Caller, key: dict[str, Any]) -> None:
    user = ok(owner.get("/me"))["id"]
    ok(people.admin.call("PATCH", f"/admin/users/{user}", {"disabled": True}))


def make_a_viewer_of_the_user(people: People, owner: Caller, key: dict[str, Any]) -> None:
    user = ok(owner.get("/me"))["id"]
    ok(people.admin.call("PATCH", f"/admin/users/{user}", {"role": "viewer"}))


def take_the_scope_away(people: People, owner: Caller, key: dict[str, Any]) -> None:
    ok(owner.call("PATCH", f"/keys/{key['id']}", {"scopes": ["usage:read"]}))


def delete_the_account(people: People, owner: Caller, key: dict[str, Any]) -> None:
    ok(owner.call("DELETE", "/me", {"password": PASSWORD}))


ENDS_OF_KEYS = (
    revoke_the_key,
    revoke_it_on_the_command_line,
    disable_the_user,
    make_a_viewer_of_the_user,
    take_the_scope_away,
    delete_the_account,
)


def test_a_stream_ends_with_the_right_of_its_key_and_what_came_is_billed(
    people: People, provider: ScriptedProvider, name: str
) -> None:
    """All at the same time: each takes up to five seconds."""
    owners = [people.newcomer(f"{name}-{number}") for number in range(len(ENDS_OF_KEYS))]
    keys = [ok(owner.post("/keys", {"name": "k"})) for owner in owners]
    streams = [completion(people.stranger.bearing(key["key"])) for key in keys]

    def play(number: int) -> tuple[str, float]:
        stream = streams[number].begin()
        ENDS_OF_KEYS[number](people, owners[number], keys[number])
        return stream.rest()

    for number, heard in enumerate(together(len(streams), play)):
        ended_by_revocation(people, provider, streams[number], *heard)
        caller = people.stranger.bearing(keys[number]["key"])
        assert caller.post("/chat/completions", streams[number].body).status in {401, 403}, ENDS_OF_KEYS[number]


def log_out(people: People, name: str, running: str) -> None:
    ok(people.stranger.bearing(running).post("/auth/logout"))


def end_it_from_elsewhere(people: People, name: str, running: str) -> None:
    ok(people.caller(name).call("DELETE", "/auth/logins"))


def change_the_password_elsewhere(people: People, name: str, running: str) -> None:
    body = {"current_password": PASSWORD, "new_password": "another good one 9"}
    ok(people.caller(name).post("/auth/password/change", body))


ENDS_OF_LOGINS = (log_out, end_it_from_elsewhere, change_the_password_elsewhere)


def test_a_turn_ends_with_the_login_that_asked_for_it(people: People, provider: ScriptedProvider, name: str) -> None:
    names = [f"{name}-{number}" for number in range(len(ENDS_OF_LOGINS))]
    tokens = [token_of(people.newcomer(user)) for user in names]
    streams = [turn(people.stranger.bearing(token)) for token in tokens]

    def play(number: int) -> tuple[str, float]:
        stream = streams[number].begin()
        ENDS_OF_LOGINS[number](people, names[number], tokens[number])
        return stream.rest()

    for number, heard in enumerate(together(len(streams), play)):
        ended_by_revocation(people, provider, streams[number], *heard)
        assert people.stranger.bearing(tokens[number]).get("/me").status == 401, ENDS_OF_LOGINS[number]


def ended_by_revocation(people: People, provider: ScriptedProvider, stream: Stream, text: str, seconds: float) -> None:
    assert '"code":"key_revoked"' in text.replace(" ", ""), text
    assert "[DONE]" not in text
    assert "word5" not in text
    assert seconds < PROMISED
    row = final_row(people, stream)
    assert (row["state"], row["error_code"], row["source"]) == ("partial", "key_revoked", "estimated")
    assert row["output"] >= 1
    assert row["charged"] > 0
    wait_until(
        lambda: provider.bill(stream.request_id)["ended"] == "client_gone", 3, "the provider is not left running"
    )


@pytest.mark.parametrize("people", ["one worker"], indirect=True)
def test_streams_of_others_go_on(people: People, name: str) -> None:
    """Of another key of the same user, too."""
    owner = people.newcomer(name)
    revoked, kept = (ok(owner.post("/keys", {"name": label})) for label in ("revoked", "kept"))
    ended = completion(people.stranger.bearing(revoked["key"])).begin()
    going = completion(people.stranger.bearing(kept["key"]), SHORT).begin()

    revoke_the_key(people, owner, revoked)

    assert "key_revoked" in ended.rest()[0]
    text, _ = going.rest()
    assert "word5" in text
    assert text.endswith("data: [DONE]\n\n")


def test_a_right_that_is_lost_is_lost_for_the_next_call_too(people: People, name: str) -> None:
    owner = people.newcomer(name)
    key = people.stranger.bearing(ok(owner.post("/keys", {"name": "k"}))["key"])
    order = {"model": "echo/echo", "messages": [{"role": "user", "content": "hi"}]}
    assert key.post("/chat/completions", order).status == 200

    make_a_viewer_of_the_user(people, owner, {})

    wait_until(lambda: {key.post("/chat/completions", order).status for _ in range(8)} == {403}, PROMISED, "refused")
    assert key.get("/usage").status == 200, "what a viewer may do the key still does"


def test_a_session_that_is_deleted_ends_its_stream_and_its_text_does_not_come_back(
    people: People, provider: ScriptedProvider, name: str
) -> None:
    owner = people.newcomer(name)
    stream = turn(owner).begin()
    session = stream.body["session_id"]

    ok(owner.call("DELETE", f"/sessions/{session}"))
    text, seconds = stream.rest()

    assert seconds < PROMISED
    assert "event: error" in text
    assert "word5" not in text
    row = final_row(people, stream)
    assert (row["state"], row["error_code"]) == ("partial", "stopped")
    assert row["charged"] > 0
    wait_until(lambda: provider.bill(stream.request_id)["ended"] == "client_gone", 3, "upstream closed")
    for path in ("", "/messages", "/export"):
        assert owner.get(f"/sessions/{session}{path}").status == 404
    assert owner.get("/sessions").json["data"] == []
    kept = people.rows("SELECT content FROM messages WHERE session_id = :id AND role = 'assistant'", id=session)
    assert [content for (content,) in kept if "word" in content] == []

"""Every route × every kind of caller × every place where an id can stand: nobody gets at what is somebody else's.

The routes come from the URL map; one that is not described here fails the test, so a new route needs its row.
"""

import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from api.auth import LOGIN, PUBLIC, policy_of
from domain.user import Role, Scope, rights_of
from infrastructure.app import create_app
from infrastructure.settings import load
from tests.security.tenants import CANARY, PASSWORD, Tenants
from tests.servers.caller import ABSENT, Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("isolation")

UNAUTHENTICATED = (
    "nobody",
    "malformed",
    "wrong checksum",
    "revoked key",
    "expired key",
    "disabled user",
    "ended login",
)
LOGINS = ("other user's login", "colleague's login")
SCOPES = {"read-only key": {Scope.USAGE_READ}}
ROLES = {"viewer": Role.VIEWER}
TEAM = ("colleague", "colleague's login")
"""In the victim's team, but not its lead."""

BODIES: dict[str, Any] = {
    "POST /chat": {"session_id": "{session_id}", "message": "hi"},
    "POST /chat/stream": {"session_id": "{session_id}", "message": "hi"},
    "POST /embeddings": {"model": "scripted/ok", "input": "hi"},
    "POST /images/generations": {"model": "scripted/picture", "prompt": "hi"},
    "POST /images": {"model": "scripted/picture", "prompt": "hi"},
    "POST /chat/completions": {"model": "scripted/ok", "messages": [{"role": "user", "content": "hi"}]},
    "POST /responses": {"model": "scripted/ok", "input": "hi"},
    "POST /messages": {"model": "scripted/ok", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "POST /messages/count_tokens": {"model": "scripted/ok", "messages": [{"role": "user", "content": "hi"}]},
    "POST /sessions": {"title": "mine"},
    "PATCH /sessions/<session_id>": {"title": "taken over"},
    "POST /keys": {"name": "mine", "team_id": "{team_id}"},
    "PATCH /keys/<key_id>": {"name": "taken over"},
    "POST /keys/<key_id>/rotate": {},
    "PATCH /me": {"name": "mine"},
    "DELETE /me": {"password": "wrong password here"},
    "POST /me/totp/confirm": {"code": "000000"},
    "PUT /teams/<team_id>/members/<user_id>": {"role": "member"},
    "POST /auth/password/change": {"current_password": "wrong password here", "new_password": "wrong password here"},
    "POST /auth/reauthenticate": {"password": "wrong password here"},
    "POST /admin/invitations": {"email": "new@example.org", "role": "owner"},
    "PUT /admin/limits/<kind>/<subject_id>": {"rpm": 1},
    "POST /admin/prices": {"model": "scripted/ok", "input": 0.0, "output": 0.0},
    "POST /admin/providers/credentials": {"provider": "openai", "name": "n", "secret": "sk-0123456789abcdef"},
    "PATCH /admin/providers/credentials/<credential_id>": {"name": "taken over"},
    "POST /admin/teams": {"name": "mine"},
    "PATCH /admin/teams/<team_id>": {"name": "taken over"},
    "PUT /admin/teams/<team_id>/members/<user_id>": {"role": "lead"},
    "POST /admin/users": {"email": "new@example.org", "role": "owner"},
    "PATCH /admin/users/<user_id>": {"role": "owner"},
}
"""What is sent where a body is due; `{session_id}` stands for the victim's."""

EMPTY = {"POST /chat/<request_id>/stop", "POST /auth/logout", "POST /me/totp"}
"""Unsafe methods that take no body."""
ENDS_ITS_OWN = {"POST /auth/logout", "DELETE /auth/logins"}
"""Would end the caller's own login, which the next route still needs; they have tests of their own."""
IN_THE_OTHER_HEADER = {"POST /messages", "POST /messages/count_tokens"}
NO_IDS_OF_PEOPLE = {"model_id", "name"}
OWN = {
    "POST /chat/completions", "POST /responses", "POST /embeddings", "POST /sessions", "GET /sessions", "GET /keys",
    "GET /key", "GET /me",
    "PATCH /me", "GET /models", "GET /models/<model_id>", "GET /teams", "GET /usage", "GET /usage/records",
    "GET /auth/logins", "POST /me/totp", "DELETE /me/totp", "DELETE /me", "POST /me/totp/confirm",
    "POST /auth/password/change", "POST /auth/reauthenticate", "POST /messages", "POST /messages/count_tokens",
    "POST /images/generations", "POST /images", "GET /images", "GET /files",
}  # fmt: skip
"""Name nobody else's object: they answer with one's own, or with an error."""


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    """Below /api/v1."""
    policy: Any

    @property
    def row(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def names(self) -> list[str]:
        return re.findall(r"<(\w+)>", self.path)


def app() -> Flask:
    return create_app(load())


def routes() -> list[Route]:
    found = []
    made = app()
    for rule in made.url_map.iter_rules():
        if rule.rule.startswith("/api/v1"):
            path = re.sub(r"<\w+:(\w+)>", r"<\1>", rule.rule.removeprefix("/api/v1"))
            policy = policy_of(made, rule.endpoint)
            found += [Route(method, path, policy) for method in sorted(rule.methods - {"HEAD", "OPTIONS"})]
    return found


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProvider]:
    provider = ScriptedProvider(tmp_path_factory.mktemp("provider")).run()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Tenants]:
    config = f'[providers.scripted]\nbase_url = "{provider.base_url}"\n[accounts]\nregistration = "open"\n' + FAST
    gateway = Gateway(tmp_path_factory.mktemp("tenants"), config=config).start()
    yield Tenants(gateway).make()
    assert gateway.stop() == 0
    assert '"status":5' not in gateway.program.log.read_text()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Route]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARLEY_HOME", str(tmp_path_factory.mktemp("home")))
        yield [route for route in routes() if route.policy != PUBLIC]


def filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(inner, ids) for name, inner in value.items()}
    return value.format_map(ids) if isinstance(value, str) and value.startswith("{") else value


def attempt(caller: Caller, route: Route, ids: dict[str, str]) -> Reply:
    values = {"kind": "user", "subject_id": ids["user_id"], "model_id": "scripted/ok", **ids}
    path = re.sub(r"<(\w+)>", lambda name: values[name[1]], route.path)
    body = filled(BODIES[route.row], ids) if route.row in BODIES else ABSENT
    return caller.call(route.method, path, body)


def test_every_route_has_its_row(guarded: list[Route]) -> None:
    unsafe = {route.row for route in guarded if route.method in {"POST", "PUT", "PATCH"}}

    assert unsafe - BODIES.keys() - EMPTY == set(), "say what is sent to it"
    known = {"session_id", "request_id", "key_id", "login_id", "team_id", "user_id", "invitation_id", "credential_id"}
    known |= NO_IDS_OF_PEOPLE | {"kind", "subject_id", "job_id", "file_id"}
    assert {name for route in guarded for name in route.names} <= known, "say which of the victim's objects it is"


@pytest.mark.parametrize("kind", UNAUTHENTICATED)
def test_without_a_good_credential_every_route_is_closed(tenants: Tenants, guarded: list[Route], kind: str) -> None:
    before = tenants.checksum()

    for route in guarded:
        reply = attempt(tenants.callers[kind], route, tenants.ids)
        # Known credentials that ended are no guesses; unknown ones are counted, and refused for a while as such.
        assert reply.status in ({401, 429} if kind == "wrong checksum" else {401}), (route.row, reply.status)
        assert CANARY.encode() not in reply.raw

    assert tenants.checksum() == before


@pytest.mark.parametrize("kind", UNAUTHENTICATED[1:])
def test_the_other_header_for_a_key_opens_nothing_more(tenants: Tenants, guarded: list[Route], kind: str) -> None:
    """On the routes that read it the credential in it is looked at like any other."""
    before = tenants.checksum()

    for route in guarded:
        if route.row in IN_THE_OTHER_HEADER:
            reply = attempt(in_the_other_header(tenants.callers[kind]), route, tenants.ids)
            assert reply.status in ({401, 429} if kind == "wrong checksum" else {401}), (route.row, reply.status)

    assert tenants.checksum() == before


def test_the_other_header_for_a_key_is_read_on_two_routes_alone(tenants: Tenants, guarded: list[Route]) -> None:
    before = tenants.checksum()

    for route in guarded:
        if route.row not in IN_THE_OTHER_HEADER:
            reply = attempt(in_the_other_header(tenants.victim), route, tenants.ids)
            assert reply.status == 401, (route.row, reply.status)

    assert tenants.checksum() == before


@pytest.mark.parametrize(("kind", "status"), [("read-only key", 403), ("key without the model", 403), ("viewer", 403)])
def test_the_other_header_for_a_key_gives_no_rights(
    tenants: Tenants, provider: ScriptedProvider, guarded: list[Route], kind: str, status: int
) -> None:
    provider.forget()

    for route in guarded:
        if route.row in IN_THE_OTHER_HEADER:
            assert attempt(in_the_other_header(tenants.callers[kind]), route, tenants.ids).status == status, route.row
            both = Caller(
                tenants.gateway.port, tenants.callers[kind].headers | in_the_other_header(tenants.victim).headers
            )
            assert attempt(both, route, tenants.ids).status == status, "Authorization is what counts"

    assert provider.bills() == []


@pytest.mark.parametrize("kind", [*LOGINS, *TEAM[:1], "other user", "read-only key", "key without the model", "viewer"])
def test_nobody_gets_at_what_is_somebody_elses(
    tenants: Tenants, provider: ScriptedProvider, guarded: list[Route], kind: str
) -> None:
    provider.forget()
    before = tenants.checksum()
    caller = tenants.callers[kind]

    for route in guarded:
        if route.row in OWN | ENDS_ITS_OWN:
            continue
        reply = attempt(caller, route, tenants.ids)
        assert reply.status in expected(kind, route), (route.row, kind, reply.status, reply.raw)
        if not seen_by_the_team(kind, route):
            assert CANARY.encode() not in reply.raw, (route.row, kind)

    assert tenants.checksum() == before
    assert provider.bills() == []


@pytest.mark.parametrize(
    "kind", [*LOGINS, "colleague", "other user", "read-only key", "key without the model", "viewer"]
)
def test_ones_own_lists_and_totals_hold_nothing_of_others(tenants: Tenants, guarded: list[Route], kind: str) -> None:
    caller = tenants.callers[kind]

    for route in guarded:
        if route.row in OWN and route.method == "GET" and not seen_by_the_team(kind, route):
            for cursor in ("", f"?cursor={tenants.ids['session_id']}", f"?cursor={tenants.ids['key_id']}"):
                path = route.path.replace("<model_id>", "scripted/ok")
                reply = caller.get(path + cursor)
                assert reply.status < 500, (route.row, reply.raw)
                assert CANARY.encode() not in reply.raw, (route.row, kind)


@pytest.mark.parametrize("kind", ["other user", "other user's login"])
def test_a_foreign_id_answers_exactly_like_one_that_does_not_exist(
    tenants: Tenants, guarded: list[Route], kind: str
) -> None:
    nowhere = {name: re.sub(r"[0-9a-z]", "0", value[-26:]) for name, value in tenants.ids.items()}
    nowhere = {name: f"{tenants.ids[name].partition('_')[0]}_{zeros}" for name, zeros in nowhere.items()}

    for route in guarded:
        if route.names and route.row not in OWN | ENDS_ITS_OWN:
            foreign = attempt(tenants.callers[kind], route, tenants.ids)
            missing = attempt(tenants.callers[kind], route, nowhere)
            assert (foreign.status, foreign.code) == (missing.status, missing.code), route.row
            same = [{**reply.json["error"], "request_id": ""} for reply in (foreign, missing)]
            assert same[0] == same[1], route.row


def test_the_victim_can_still_do_all_of_it(tenants: Tenants) -> None:
    """So that the tests above refuse somebody, and not everybody."""
    ids = tenants.ids

    assert CANARY in tenants.victim.get(f"/sessions/{ids['session_id']}").json["title"]
    assert CANARY in tenants.victim.get(f"/keys/{ids['key_id']}").json["name"]
    assert CANARY in tenants.victim.get(f"/keys/{ids['shared_key_id']}").json["name"]
    assert CANARY in str(tenants.victim.get("/teams").json)
    assert tenants.victim.get("/auth/logins").json["data"][0]["id"]
    assert tenants.admin.get(f"/admin/users/{ids['user_id']}").status == 200
    assert CANARY in tenants.victim.get(f"/images/{ids['job_id']}").json["prompt"]
    assert tenants.victim.get(f"/files/{ids['file_id']}/content").raw.startswith(b"\x89PNG")
    assert tenants.password_login("victim")


def test_a_login_that_is_not_recent_administers_nothing_and_makes_no_keys(tenants: Tenants) -> None:
    tenants.gateway.cli("users", "create", "old@example.org", "--role", "admin", text=f"{PASSWORD}\n")
    caller = Caller(tenants.gateway.port).bearing(tenants.password_login("old"))
    assert caller.get("/admin/users").status == 200

    _age_logins(tenants, "old@example.org")

    assert (caller.get("/admin/users").code, caller.post("/keys", {"name": "n"}).code) == (
        "reauthentication_required",
        "reauthentication_required",
    )
    assert caller.post("/auth/reauthenticate", {"password": PASSWORD}).status == 204
    assert caller.get("/admin/users").status == 200


def in_the_other_header(caller: Caller) -> Caller:
    """The same credential, as Anthropic's SDKs send it."""
    return Caller(caller.port, {"x-api-key": caller.headers["Authorization"].removeprefix("Bearer ")})


def expected(kind: str, route: Route) -> set[int]:
    """403 for a right that the caller lacks, else 404: a foreign object does not exist."""
    if route.policy == LOGIN and kind not in LOGINS:
        return {403}
    if isinstance(route.policy, Scope):
        rights = SCOPES.get(kind, set(rights_of(ROLES.get(kind, Role.MEMBER))))
        if route.policy not in rights:
            return {403}
        if route.policy is Scope.KEYS and kind == "key without the model" and route.method != "GET":
            return {403, 404}
    if kind in TEAM and "/teams/" in route.path:
        return {200} if route.method == "GET" else {403}
    if kind in TEAM and route.row == "POST /keys":
        return {403, 404}
    return {404}


def seen_by_the_team(kind: str, route: Route) -> bool:
    return kind in TEAM and ("/teams" in route.path or route.row == "GET /keys")


def _age_logins(tenants: Tenants, email: str) -> None:
    """As if the password had been given long ago; a worker believes what it read for a second."""
    long_ago = "2026-01-01 00:00:00.000000"
    old = "UPDATE logins SET authenticated_at = ? WHERE user_id = (SELECT id FROM users WHERE email = ?)"
    with sqlite3.connect(f"{tenants.gateway.folder}/var/parley.db") as database:
        database.execute(old, (long_ago, email))
    time.sleep(1.2)

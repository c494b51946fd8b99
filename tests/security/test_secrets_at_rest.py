"""Who steals the database has no credential: nothing in it opens anything, and it holds no secret in the clear."""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.api_key import compose
from tests.security.people import OPEN, PASSWORD, People, ok
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("secrets at rest")

TOKEN = re.compile(r"parley_[a-z]+_([0-9A-Za-z]{10})_([0-9A-Za-z]{43})[0-9A-Za-z]{6}")
OLD_KEY, NEW_KEY, FOREIGN_KEY = ("3f" * 4 + letters * 4 for letters in ("a1b2c3d4", "e5f60718", "92a3b4c5"))
PROVIDER_SECRET = "sk-of-the-provider-Zq7Tn2Xw9"
GUESSES = ["", " ", "admin", "password", "parley", "changeme", "admin@localhost", "Administrator", "first key", "null"]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """An installation with something of every kind in its database."""
    gateway = Gateway(tmp_path_factory.mktemp("rest"), config=OPEN).start()
    people = People(gateway)
    caller = people.newcomer("robbed")
    ok(caller.post("/keys", {"name": "robbed"}))
    ok(caller.post("/auth/password/forgot", {"email": "robbed@example.org"}))
    ok(caller.post("/me/totp"))
    ok(people.admin.post("/admin/invitations", {"email": "invited@example.org", "role": "member"}))
    ok(people.admin.post("/admin/teams", {"name": "team"}))
    credential = {"provider": "openai", "name": "n", "secret": PROVIDER_SECRET, "base_url": "http://127.0.0.1:9/v1"}
    ok(people.admin.post("/admin/providers/credentials", credential))
    session = ok(caller.post("/sessions", {"ai_provider": "echo", "model": "echo"}))
    ok(caller.post("/chat", {"session_id": session["id"], "message": "hello"}))
    yield people
    people.close()
    assert gateway.stop() == 0


def dumped(people: People) -> set[str]:
    """Every text and every value of bytes in the database, in each form in which a header or a body can carry it."""
    found: set[str] = set()
    for rows in people.everything().values():
        for value in (value for row in rows for value in row.values()):
            if isinstance(value, str):
                found.add(value)
            elif isinstance(value, bytes):
                codings = (b64encode(value), urlsafe_b64encode(value), b64encode(value).rstrip(b"="))
                found |= {value.hex(), value.hex().upper(), value.decode("latin-1"), *(it.decode() for it in codings)}
    return {text for text in found if text and not set(text) & set("\r\n\0")}


def forged(people: People) -> list[str]:
    """Tokens of the right form, made of what is known of the real ones: their kid and their digest."""
    known = people.rows("SELECT kid, digest FROM api_keys UNION ALL SELECT kid, digest FROM logins")
    return [
        compose(kind, kid, secret)
        for kid, digest in known
        for kind in ("live", "login")
        for secret in (digest.hex()[:43], digest.hex()[-43:], "0" * 43)
    ]


def test_nothing_in_a_dump_of_the_database_is_a_credential(people: People) -> None:
    values = dumped(people)
    assert len(values) > 50
    assert {"robbed@example.org", "admin@localhost"} < values

    for value in [*sorted(values), *forged(people)]:
        people.nobody_waits()
        text = value.encode().decode("latin-1")
        bearer = people.stranger.get("/me", Authorization=f"Bearer {text}")
        cookie = people.stranger.get("/me", Cookie=f"__Host-sid={text}")
        assert (bearer.status, cookie.status) in {(401, 401), (400, 400)}, value

    assert people.admin.get("/me").status == 200, "so that what was refused is not everything"
    assert people.caller("robbed").get("/me").status == 200


def test_nothing_in_a_dump_of_the_database_sets_a_password_or_logs_in(people: People) -> None:
    hashes = [row[0] for row in people.rows("SELECT password_hash FROM users WHERE password_hash IS NOT NULL")]
    before = people.rows("SELECT id, password_hash, confirmed FROM users ORDER BY id")

    for value in sorted(dumped(people)):
        people.nobody_waits()
        for path, more in (
            ("/auth/password/reset", {"password": "another good one 9"}),
            ("/auth/confirm", {}),
        ):
            assert people.stranger.post(path, {"token": value, **more}).status == 400, value
    for password_hash in hashes:
        assert people.try_login("robbed", password_hash).status == 401

    assert people.rows("SELECT id, password_hash, confirmed FROM users ORDER BY id") == before


def test_no_token_and_no_secret_is_in_the_database_or_beside_it(people: People) -> None:
    invited = ok(people.admin.post("/admin/invitations", {"email": "second@example.org", "role": "member"}))["token"]
    page = people.page("robbed")
    key = ok(people.caller("robbed").post("/keys", {"name": "shown once"}))["key"]
    bare = [match[2] for token in (page.cookie, key, people.gateway.key) if (match := TOKEN.fullmatch(token))]
    assert len(bare) == 3

    files = [file for file in Path(people.gateway.env["PARLEY_HOME"]).rglob("*") if file.is_file()]
    stored = b"\n".join(file.read_bytes() for file in files)

    assert b"robbed@example.org" in stored
    for secret in (*bare, invited, page.csrf, PASSWORD, PROVIDER_SECRET):
        assert secret.encode() not in stored


def test_a_key_is_shown_once(people: People) -> None:
    caller = people.caller("robbed")
    made = ok(caller.post("/keys", {"name": "once"}))
    match = TOKEN.fullmatch(made["key"])
    assert match

    again = [caller.get("/keys"), caller.get(f"/keys/{made['id']}"), people.stranger.bearing(made["key"]).get("/key")]

    for reply in again:
        assert (reply.status, match[2] in reply.raw.decode()) == (200, False)
    ((kid, last4),) = people.rows("SELECT kid, last4 FROM api_keys WHERE id = :id", id=made["id"])
    assert (kid, last4) == (match[1], made["key"][-4:])


def test_a_key_of_a_provider_is_sealed_and_never_shown_again(people: People) -> None:
    ((sealed, last4),) = people.rows("SELECT sealed, last4 FROM provider_credentials")
    listed = people.admin.get("/admin/providers/credentials")

    assert PROVIDER_SECRET.encode() not in sealed
    assert last4 == PROVIDER_SECRET[-4:]
    assert PROVIDER_SECRET not in listed.raw.decode()
    assert listed.json["data"][0]["last4"] == last4


# ── the first start, with nothing configured ─────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    gateway = Gateway(tmp_path_factory.mktemp("first"), config=FAST).start()
    people = People(gateway)
    yield people
    people.close()
    gateway.end()


def test_nobody_can_log_in(first: People) -> None:
    assert first.rows("SELECT email, password_hash FROM users") == [("admin@localhost", None)]

    for password in [*GUESSES, first.gateway.key, None, [], {}, 0, True]:
        first.nobody_waits()
        reply = first.stranger.post("/auth/login", {"email": "admin@localhost", "password": password})
        assert reply.status in {400, 401}, password

    assert first.rows("SELECT id FROM logins") == []


def test_nobody_can_register_or_reset_either(first: People) -> None:
    registered = first.stranger.post("/auth/register", {"email": "a@example.org", "password": PASSWORD})
    forgotten = first.stranger.post("/auth/password/forgot", {"email": "admin@localhost"})

    assert (registered.status, registered.code) == (403, "registration_closed")
    assert forgotten.status == 202
    assert (first.rows("SELECT * FROM outbox"), first.rows("SELECT * FROM one_time_tokens")) == ([], [])


def test_the_first_key_is_printed_once_and_never_again(first: People) -> None:
    key = first.gateway.key

    assert first.gateway.program.log.read_text().count(TOKEN.fullmatch(key)[2]) == 2  # type: ignore[index] # it has that form
    first.gateway.stop()
    first.gateway.start()

    assert len(TOKEN.findall(first.gateway.program.log.read_text())) == 2
    assert first.admin.get("/me").status == 200


# ── the installation's own secret, and the one that takes its place ──────────────────────────────────────────────────


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProvider]:
    provider = ScriptedProvider(tmp_path_factory.mktemp("provider")).run()
    yield provider
    provider.stop()


def test_what_was_sealed_is_opened_by_every_listed_secret_and_by_no_other(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    gateway = Gateway(tmp_path, config=OPEN, env={"PARLEY_SECRET_KEY": OLD_KEY}).start()
    people = People(gateway)
    try:
        page = _sealed_by(people, provider)
        assert _spends(people, provider) == f"Bearer {PROVIDER_SECRET}"

        _restart(gateway, f"{NEW_KEY},{OLD_KEY}")
        assert _spends(people, provider) == f"Bearer {PROVIDER_SECRET}"
        assert page.caller.call("PATCH", "/me", {"name": "x"}).code == "csrf_rejected", "pages load it anew"

        _restart(gateway, FOREIGN_KEY)
        assert _spends(people, provider) is None
    finally:
        people.close()
        gateway.end()


def _sealed_by(people: People, provider: ScriptedProvider) -> Any:
    credential = {"provider": "openai", "name": "n", "secret": PROVIDER_SECRET, "base_url": provider.base_url}
    ok(people.admin.post("/admin/providers/credentials", credential))
    ok(people.register("rotated"))
    wait_until(lambda: _spends(people, provider) is not None, 20, "the credential is in force")
    return people.page("rotated")


def _spends(people: People, provider: ScriptedProvider) -> str | None:
    """The credential that a call reaches the provider with; None when none does."""
    provider.forget()
    body = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
    people.admin.post("/chat/completions", body)
    bills = provider.bills()
    return str(bills[0]["headers"]["authorization"]) if bills else None


def _restart(gateway: Gateway, keys: str) -> None:
    gateway.stop()
    gateway.program._env["PARLEY_SECRET_KEY"] = keys
    gateway.start()

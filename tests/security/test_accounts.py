"""Logins and accounts at the running program: what a token is, how long it lives, and what ends it."""

import hashlib
import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.security.people import OPEN, PASSWORD, People, let_in_for, ok
from tests.servers.caller import Caller, Reply
from tests.servers.gateway import Gateway
from tests.servers.program import wait_until

pytestmark = pytest.mark.xdist_group("accounts")

NEW = "another good one 9"
MINUTE = timedelta(minutes=1)
LIFETIMES = [
    ("member", "seen_at", timedelta(hours=8)),
    ("member", "created_at", timedelta(days=7)),
    ("owner", "seen_at", timedelta(minutes=30)),
    ("owner", "created_at", timedelta(hours=12)),
]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    gateway = Gateway(tmp_path_factory.mktemp("accounts"), config=OPEN).start()
    people = People(gateway)
    yield people
    people.close()
    assert gateway.stop() == 0
    assert '"status":5' not in gateway.program.log.read_text()


@pytest.fixture(autouse=True)
def fresh(people: People) -> None:
    people.nobody_waits()


def token_of(caller: Caller) -> str:
    return caller.headers["Authorization"].removeprefix("Bearer ")


def refused(reply: Reply) -> bool:
    return (reply.status, reply.code) == (401, "unauthenticated")


# ── what a token is ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_has_256_random_bits_and_only_its_digest_is_stored(people: People) -> None:
    ok(people.register("token"))

    tokens = [people.login("token") for _ in range(3)]

    assert len(set(tokens)) == 3
    for token in tokens:
        form = re.fullmatch(r"parley_login_([0-9A-Za-z]{10})_([0-9A-Za-z]{43})[0-9A-Za-z]{6}", token)
        assert form, token
        ((digest,),) = people.rows("SELECT digest FROM logins WHERE kid = :kid", kid=form[1])
        assert digest == hashlib.sha256(token.encode()).digest()
        assert form[2] not in str(people.everything())


def test_no_credential_that_comes_along_becomes_the_login(people: People) -> None:
    """Whoever plants a cookie in a browser does not know what its user is logged in by afterwards."""
    ok(people.register("fixation"))
    planted = people.page("fixation")

    reply = people.try_login("fixation", more={"cookie": True}, **planted.headers)

    made = ok(reply)
    assert reply.cookie("__Host-sid") not in {planted.cookie, None}
    assert made["csrf_token"] != planted.csrf
    assert len(people.stranger.bearing(people.login("fixation")).get("/auth/logins").json["data"]) == 3


@pytest.mark.parametrize(("who", "column", "lifetime"), LIFETIMES)
def test_a_login_ends_when_it_is_idle_and_at_its_age_sooner_for_who_administers(
    people: People, who: str, column: str, lifetime: timedelta
) -> None:
    name = column.replace("_", "-")
    young = people.owner() if who == "owner" else people.newcomer(name)
    old = people.owner_again() if who == "owner" else people.caller(name)

    people.age(token_of(young), **{column: lifetime - MINUTE})
    people.age(token_of(old), **{column: lifetime + timedelta(seconds=1)})

    assert young.get("/me").status == 200
    assert refused(old.get("/me"))


def test_using_a_login_keeps_it_but_not_beyond_its_age(people: People) -> None:
    caller = people.newcomer("busy")
    people.age(token_of(caller), seen_at=timedelta(hours=7), created_at=timedelta(days=6))

    assert caller.get("/me").status == 200

    (login,) = caller.get("/auth/logins").json["data"]
    assert login["seen_at"] > login["created_at"]
    people.age(token_of(caller), created_at=timedelta(days=1))
    assert let_in_for(lambda: [caller.get("/me")]) < 2
    assert refused(caller.get("/me"))


# ── what ends a login ────────────────────────────────────────────────────────────────────────────────────────────


def test_after_logout_neither_the_token_nor_the_cookie_is_good(people: People) -> None:
    caller, page = people.newcomer("leaving"), people.page("leaving")

    assert caller.post("/auth/logout").status == 204
    assert page.caller.post("/auth/logout").status == 204

    assert refused(caller.get("/me"))
    assert refused(page.caller.get("/me"))
    assert refused(people.stranger.bearing(page.cookie).get("/me"))


def test_ones_own_logins_are_listed_and_ended_one_or_all_others(people: People) -> None:
    here = people.newcomer("several")
    there, elsewhere, page = people.caller("several"), people.caller("several"), people.page("several")
    listed = here.get("/auth/logins").json["data"]
    (there_id,) = [login["id"] for login in there.get("/auth/logins").json["data"] if login["current"]]

    assert [login["current"] for login in listed] == [False, False, False, True]
    assert all(newer["created_at"] >= older["created_at"] for newer, older in pairwise(listed))
    assert here.call("DELETE", f"/auth/logins/{there_id}").status == 204
    assert refused(there.get("/me"))
    assert elsewhere.get("/me").status == 200
    assert here.call("DELETE", "/auth/logins").status == 204

    assert [refused(caller.get("/me")) for caller in (elsewhere, page.caller)] == [True, True]
    assert here.get("/me").status == 200


def test_an_administrator_ends_all_of_somebodys_logins(people: People) -> None:
    caller, page = people.newcomer("ended"), people.page("ended")
    user = ok(caller.get("/me"))["id"]

    assert people.admin.call("DELETE", f"/admin/users/{user}/logins").status == 204

    assert let_in_for(lambda: [caller.get("/me"), page.caller.get("/me")]) < 1.5
    assert people.admin.get(f"/admin/users/{user}/logins").json["data"] == []


def test_a_changed_password_ends_the_other_logins_and_the_old_one_is_over(people: People) -> None:
    here = people.newcomer("changed")
    others = [people.caller("changed"), people.page("changed").caller]

    assert here.post("/auth/password/change", {"current_password": PASSWORD, "new_password": NEW}).status == 204

    assert let_in_for(lambda: [other.get("/me") for other in others]) < 1
    assert here.get("/me").status == 200
    assert (people.try_login("changed").status, people.try_login("changed", NEW).status) == (401, 200)


def test_a_disabled_user_is_logged_out_and_stays_out(people: People) -> None:
    caller = people.newcomer("disabled")
    user = ok(caller.get("/me"))["id"]

    ok(people.admin.call("PATCH", f"/admin/users/{user}", {"disabled": True}))

    assert let_in_for(lambda: [caller.get("/me")]) < 1.5
    assert people.try_login("disabled").code == "invalid_credentials"


def test_a_deleted_account_is_gone_with_its_logins_and_keys(people: People) -> None:
    caller = people.newcomer("farewell")
    key = people.stranger.bearing(ok(caller.post("/keys", {"name": "k"}))["key"])
    assert key.get("/me").status == 200

    assert caller.call("DELETE", "/me", {"password": "not the password"}).code == "invalid_credentials"
    assert caller.call("DELETE", "/me", {"password": PASSWORD}).status == 204

    assert people.try_login("farewell").code == "invalid_credentials"
    assert let_in_for(lambda: [caller.get("/me"), key.get("/me")]) < 5


# ── what needs the password again ────────────────────────────────────────────────────────────────────────────────


def test_a_new_address_needs_the_password(people: People) -> None:
    caller = people.newcomer("moving")
    change = {"email": "moved@example.org"}

    without = caller.call("PATCH", "/me", change)
    wrong = caller.call("PATCH", "/me", {**change, "password": "not the password"})

    assert [reply.code for reply in (without, wrong)] == ["invalid_credentials"] * 2
    assert ok(caller.get("/me"))["email"] == "moving@example.org"
    assert ok(caller.call("PATCH", "/me", {**change, "password": PASSWORD}))["email"] == "moved@example.org"


def test_keys_and_roles_need_a_recent_proof(people: People) -> None:
    ok(people.register("promoted"))
    user = ok(people.caller("promoted").get("/me"))["id"]
    boss = people.owner()
    assert boss.get("/me").status == 200
    people.age(token_of(boss), authenticated_at=timedelta(minutes=31))
    promote = ("PATCH", f"/admin/users/{user}", {"role": "admin"})

    wait_until(lambda: boss.get("/admin/users").code == "reauthentication_required", 20, "no longer recent")
    assert boss.call(*promote).code == "reauthentication_required"
    assert boss.post("/keys", {"name": "k"}).code == "reauthentication_required"
    assert people.rows("SELECT role FROM users WHERE id = :user", user=user) == [("member",)]
    assert boss.post("/auth/reauthenticate", {"password": "not the password"}).code == "invalid_credentials"
    assert boss.call(*promote).code == "reauthentication_required"
    assert boss.post("/auth/reauthenticate", {"password": PASSWORD}).status == 204

    assert ok(boss.call(*promote))["role"] == "admin"
    assert boss.post("/keys", {"name": "k"}).status == 201


@pytest.mark.parametrize("name", ["role", "id", "password_hash", "confirmed", "disabled", "totp", "created_at"])
def test_nobody_sets_what_only_the_server_sets(people: People, name: str) -> None:
    caller = people.newcomer(f"mass-{name.replace('_', '-')}")
    user = ok(caller.get("/me"))["id"]
    row = people.rows("SELECT * FROM users WHERE id = :user", user=user)

    for reply in (
        caller.call("PATCH", "/me", {"name": "x", name: "owner"}),
        people.stranger.post("/auth/register", {"email": "m@example.org", "password": PASSWORD, name: "owner"}),
        people.stranger.post("/auth/login", {"email": "m@example.org", "password": PASSWORD, name: "owner"}),
    ):
        assert (reply.status, reply.json["error"]["param"]) == (400, name)

    assert people.rows("SELECT * FROM users WHERE id = :user", user=user) == row

from dataclasses import replace
from datetime import timedelta

import pytest

from application.identity import network_of
from domain.errors import DatabaseUnavailable, RateLimited, Unauthenticated
from domain.limits import Bound, Kind, Limits
from domain.login import RECENT, TOUCH
from domain.throttle import KEY_GUESS
from domain.user import Principal, Role, Scope
from tests.builders import NOW, a_key, a_login, a_token, a_user
from tests.world import World

LOGIN = a_token(environment="login")
WRONG = a_token(secret="x" * 43)


@pytest.fixture
def world(world: World) -> World:
    world.begin.rows.logins["login_1"] = a_login()
    return world


def store(world: World, **rows) -> None:
    world.begin.rows.users["usr_1"] = rows.get("user", a_user())
    world.begin.rows.keys["key_1"] = rows.get("key", a_key())
    world.begin.rows.logins["login_1"] = rows.get("login", a_login())


def refused(world: World, token: str) -> bool:
    with pytest.raises(Unauthenticated) as refusal:
        world.identity.authenticate(token)
    return refusal.value.message == Unauthenticated.default  # it does not say which check failed


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_token_gives_its_principal(world: World):
    store(world, user=a_user(role=Role.ADMIN), key=a_key(scopes=frozenset({Scope.CHAT}), models=("acme/*",)))
    world.begin.rows.limits = {(Kind.KEY, "key_1"): Limits(rpm=7), (Kind.GLOBAL, ""): Limits(rpm=900)}

    principal = world.identity.authenticate(a_token())

    assert (principal.user_id, principal.key_id, principal.role) == ("usr_1", "key_1", Role.ADMIN)
    assert (principal.scopes, principal.models, principal.login) == ({Scope.CHAT}, ("acme/*",), False)
    assert principal.bounds == (Bound(Kind.KEY, "key_1", Limits(rpm=7)), Bound(Kind.GLOBAL, "", Limits(rpm=900)))


@pytest.mark.parametrize("token", ["", "sk-something", a_token()[:-1] + "!", a_token()[:-1], "parley_live_x_y"])
def test_garbage_costs_no_look_up(world: World, token: str):
    begun = world.begin.begun

    assert refused(world, token)

    assert world.begin.begun == begun


def test_a_wrong_checksum_costs_no_look_up(world: World):
    begun = world.begin.begun

    assert refused(world, a_token()[:-1] + ("0" if a_token()[-1] != "0" else "1"))

    assert world.begin.begun == begun


@pytest.mark.parametrize(
    "rows",
    [
        {"key": a_key(revoked_at=NOW)},
        {"key": a_key(expires_at=NOW)},
        {"user": a_user(disabled=True)},
    ],
    ids=["revoked", "expired", "disabled"],
)
def test_a_key_that_is_over_is_refused_and_is_no_guess(world: World, rows: dict):
    store(world, **rows)

    assert refused(world, a_token())
    assert world.begin.rows.throttles == {}


def test_a_key_expires_while_the_program_runs(world: World):
    store(world, key=a_key(expires_at=NOW + timedelta(minutes=1)))
    assert world.identity.authenticate(a_token())

    world.clock.advance(60)

    assert refused(world, a_token())


def test_a_demoted_user_loses_rights_at_once(world: World):
    store(world, user=a_user(role=Role.VIEWER))

    assert world.identity.authenticate(a_token()).rights == {Scope.USAGE_READ}


def test_a_database_that_is_down_does_not_look_like_a_bad_key(world: World):
    world.begin.down = DatabaseUnavailable()

    for token in (a_token(), LOGIN, WRONG):
        with pytest.raises(DatabaseUnavailable):
            world.identity.authenticate(token)


# ── logins ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_access_token_gives_its_principal(world: World):
    principal = world.identity.authenticate(LOGIN)

    assert (principal.user_id, principal.key_id, principal.role) == ("usr_1", "login_1", Role.MEMBER)
    assert (principal.login, principal.recent, principal.scopes) == (True, True, frozenset())


def test_a_login_stops_being_recent(world: World):
    world.clock.advance(RECENT.total_seconds())

    assert not world.identity.authenticate(LOGIN).recent


@pytest.mark.parametrize(
    "rows",
    [
        {"login": a_login(ended_at=NOW)},
        {"login": a_login(seen_at=NOW - timedelta(hours=8))},
        {"login": a_login(created_at=NOW - timedelta(days=7))},
        {"login": a_login(seen_at=NOW - timedelta(minutes=30)), "user": a_user(role=Role.ADMIN)},
        {"user": a_user(disabled=True)},
        {"login": a_login(a_token(secret="y" * 43, environment="login"))},
    ],
    ids=["ended", "idle", "old", "idle administrator", "disabled", "another secret"],
)
def test_a_login_that_is_over_is_refused(world: World, rows: dict):
    store(world, **rows)

    assert refused(world, LOGIN)


def test_a_login_that_is_used_does_not_run_idle_and_ends_all_the_same(world: World):
    for _ in range(7 * 24 - 1):
        world.clock.advance(3_600)
        assert world.identity.authenticate(LOGIN)

    world.clock.advance(3_600)

    assert refused(world, LOGIN)


def test_a_key_and_a_login_with_the_same_kid_are_not_mixed_up(world: World):
    del world.begin.rows.keys["key_1"]

    assert refused(world, a_token())
    assert world.identity.authenticate(LOGIN).login


# ── guessing ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("token", [WRONG, a_token(kid="unknown000"), a_token(secret="x" * 43, environment="login")])
def test_whoever_guesses_is_told_to_wait(world: World, token: str):
    for _ in range(KEY_GUESS.free):
        with pytest.raises(Unauthenticated):
            world.identity.authenticate(token, "192.0.2.1")

    with pytest.raises(RateLimited) as refusal:
        world.identity.authenticate(token, "192.0.2.1")

    assert refusal.value.retry_after == 60
    assert "60 s" in refusal.value.message


def test_whoever_has_a_good_key_is_not_kept_waiting_by_guesses_from_the_same_network(world: World):
    for _ in range(KEY_GUESS.free + 1):
        with pytest.raises((Unauthenticated, RateLimited)):
            world.identity.authenticate(WRONG, "192.0.2.1")

    assert world.identity.authenticate(a_token(), "192.0.2.1")
    with pytest.raises(Unauthenticated):
        world.identity.authenticate(WRONG, "192.0.2.2")


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_a_visitor_is_an_ipv4_address_or_an_ipv6_site(ip: str, network: str):
    assert network_of(ip) == network


# ── the last use ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_use_is_written_down_about_once_a_minute(world: World):
    world.identity.authenticate(a_token())
    world.identity.authenticate(LOGIN)
    begun = world.begin.begun

    world.clock.advance(TOUCH.total_seconds() - 1)
    world.identity.authenticate(a_token())

    assert world.begin.begun - begun == 1, "a look-up and nothing else"
    assert world.begin.rows.keys["key_1"].last_used_at == NOW
    world.clock.advance(1)
    world.identity.authenticate(a_token())
    world.identity.authenticate(LOGIN)
    assert world.begin.rows.keys["key_1"].last_used_at == world.clock.now()
    assert world.begin.rows.logins["login_1"].seen_at == world.clock.now()


def test_a_use_that_cannot_be_written_down_is_served(world: World):
    key = world.find_key(a_key().kid)
    identity = replace(world.identity, find_key={key.key.kid: key}.get)
    world.begin.down = DatabaseUnavailable()

    assert identity.authenticate(a_token())


def test_what_is_remembered_of_uses_is_bounded(world: World):
    world.identity.touched.update({str(number): NOW for number in range(10_000)})

    world.identity.authenticate(a_token())

    assert list(world.identity.touched) == ["key_1"]


# ── calls that run ───────────────────────────────────────────────────────────────────────────────────────────────


def caller(world: World, token: str = a_token(), **rows) -> Principal:
    """Of a call that began with these rows."""
    store(world, **rows)
    return world.identity.authenticate(token)


def test_nothing_is_lost_while_nothing_changes(world: World):
    assert not world.identity.lost(caller(world))
    assert not world.identity.lost(caller(world, LOGIN))


@pytest.mark.parametrize(
    "rows",
    [
        {"key": a_key(revoked_at=NOW)},
        {"key": a_key(expires_at=NOW)},
        {"user": a_user(disabled=True)},
        {"user": a_user(role=Role.VIEWER)},
        {"key": a_key(scopes=frozenset({Scope.USAGE_READ}))},
    ],
    ids=["revoked", "expired", "disabled", "demoted", "narrowed"],
)
def test_a_key_that_lost_a_right_is_lost(world: World, rows: dict):
    principal = caller(world)
    store(world, **rows)

    assert world.identity.lost(principal)


@pytest.mark.parametrize(
    "rows",
    [
        {"login": a_login(ended_at=NOW)},
        {"login": a_login(created_at=NOW - timedelta(days=8))},
        {"user": a_user(disabled=True)},
        {"user": a_user(role=Role.VIEWER)},
    ],
    ids=["ended", "old", "disabled", "demoted"],
)
def test_a_login_that_lost_a_right_is_lost(world: World, rows: dict):
    principal = caller(world, LOGIN)
    store(world, **rows)

    assert world.identity.lost(principal)


def test_what_does_not_exist_any_more_is_lost(world: World):
    key, login = caller(world), caller(world, LOGIN)
    world.begin.rows.keys.clear()
    world.begin.rows.logins.clear()

    assert world.identity.lost(key)
    assert world.identity.lost(login)


def test_whoever_may_do_more_than_before_has_lost_nothing(world: World):
    narrow = a_key(scopes=frozenset({Scope.CHAT}))
    key = caller(world, user=a_user(role=Role.VIEWER), key=narrow)
    login = caller(world, LOGIN)
    store(world, user=a_user(role=Role.OWNER), key=a_key())

    assert not world.identity.lost(key)
    assert not world.identity.lost(login)

from dataclasses import replace
from datetime import timedelta

import pytest

from application.logins import MOST_LOGINS, Attempt, NewLogin
from domain.api_key import digest
from domain.errors import (
    Forbidden,
    InvalidCredentials,
    InvalidRequest,
    NotFound,
    Overloaded,
    RateLimited,
    SecondFactorRequired,
    Unauthenticated,
)
from domain.login import RECENT
from domain.throttle import ACCOUNT, ADDRESS
from domain.user import Principal, Role
from tests.builders import a_login, a_principal, a_user
from tests.memory_accounts import MemoryUsers
from tests.world import World

PASSWORD = "three brown foxes"
ADA = Attempt("ada@example.org", PASSWORD, ip="192.0.2.1", user_agent="curl/8")


def store(world: World, **fields) -> None:
    fields = {"password_hash": f"plain:{PASSWORD}", **fields}
    world.begin.rows.users["usr_1"] = a_user(**fields)


@pytest.fixture
def world(world: World) -> World:
    store(world)
    return world


def with_factor(world: World) -> Principal:
    """Switch a second factor on; returns the login that did it. The time is a minute later afterwards."""
    login = principal(world, world.logins.login(ADA))
    world.factors.enrol(login)
    world.factors.confirm(login, code(world))
    world.clock.advance(60)
    return login


def code(world: World) -> str:
    return world.codes.code(int(world.clock.now().timestamp()) // 30)


def principal(world: World, new: NewLogin) -> Principal:
    return world.identity.authenticate(new.token)


def refusal(world: World, attempt: Attempt) -> Exception:
    with pytest.raises((Unauthenticated, RateLimited)) as error:
        world.logins.login(attempt)
    return error.value


# ── logging in ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_right_password_gives_a_token_that_works(world: World):
    new = world.logins.login(ADA)

    caller = principal(world, new)
    assert (caller.user_id, caller.key_id, caller.login, caller.recent) == ("usr_1", new.login.id, True, True)
    assert (new.user.id, new.login.ip, new.login.user_agent) == ("usr_1", "192.0.2.1", "curl/8")
    assert new.token.startswith("parley_login_")


def test_the_token_is_stored_nowhere(world: World):
    new = world.logins.login(ADA)

    assert new.login.digest == digest(new.token)
    assert new.token not in repr(world.begin.rows)


def test_every_login_has_a_token_of_its_own(world: World):
    first, second = world.logins.login(ADA), world.logins.login(ADA)

    assert first.token != second.token
    assert first.login.kid != second.login.kid


def test_an_address_is_found_in_every_spelling(world: World):
    assert world.logins.login(replace(ADA, email=" ADA@Example.Org")).user.id == "usr_1"


REFUSED = {
    "wrong password": ({}, replace(ADA, password="three brown doves")),
    "unknown": ({}, replace(ADA, email="eve@example.org")),
    "disabled": ({"disabled": True}, ADA),
    "not confirmed": ({"confirmed": False}, ADA),
    "no password": ({"password_hash": None}, ADA),
}


@pytest.mark.parametrize("case", REFUSED)
def test_every_refusal_says_the_same_after_the_same_work(world: World, case: str):
    fields, attempt = REFUSED[case]
    store(world, **fields)
    begun = world.begin.begun

    error = refusal(world, attempt)

    assert type(error) is InvalidCredentials
    assert (error.message, error.param) == (InvalidCredentials.default, None)
    assert world.passwords.hashed == 1
    assert world.begin.begun - begun == 1
    assert not world.begin.rows.logins


def test_a_good_login_hashes_once_as_well(world: World):
    world.logins.login(ADA)

    assert world.passwords.hashed == 1


def test_what_is_no_address_is_refused_before_anything_is_counted(world: World):
    with pytest.raises(InvalidRequest):
        world.logins.login(replace(ADA, email="ada"))

    assert not world.begin.rows.throttles


def test_too_many_logins_at_once_are_told_to_come_back(world: World):
    world.passwords.busy = Overloaded(retry_after=1)

    with pytest.raises(Overloaded):
        world.logins.login(ADA)


def test_an_old_hash_is_made_anew_at_login(world: World):
    store(world, password_hash=f"old:{PASSWORD}")

    world.logins.login(ADA)

    assert world.begin.rows.users["usr_1"].password_hash == f"plain:{PASSWORD}"
    assert world.logins.login(ADA)


def test_a_wrong_password_does_not_renew_a_hash(world: World):
    store(world, password_hash=f"old:{PASSWORD}")

    refusal(world, replace(ADA, password="three brown doves"))

    assert world.passwords.hashed == 1
    assert world.begin.rows.users["usr_1"].password_hash == f"old:{PASSWORD}"


@pytest.mark.parametrize("meanwhile", [{"password_hash": "plain:another one"}, {"disabled": True}])
def test_what_changed_while_the_password_was_checked_counts(world: World, meanwhile: dict):
    verify = world.passwords.verify

    class Slow(type(world.passwords)):
        def verify(self, password_hash, password):
            store(world, **meanwhile)
            return verify(password_hash, password)

    logins = replace(world.logins, passwords=Slow())

    with pytest.raises(InvalidCredentials):
        logins.login(ADA)
    assert not world.begin.rows.logins


def test_a_user_who_vanished_while_the_password_was_checked_gets_no_login(world: World):
    verify = world.passwords.verify

    class Slow(type(world.passwords)):
        def verify(self, password_hash, password):
            world.begin.rows.users.clear()
            return verify(password_hash, password)

    with pytest.raises(Unauthenticated):
        replace(world.logins, passwords=Slow()).login(ADA)


# ── guessing ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("email", ["ada@example.org", "nobody@example.org"])
def test_whoever_guesses_has_to_wait_whether_or_not_there_is_an_account(world: World, email: str):
    guess = Attempt(email, "wrong wrong wrong", ip="192.0.2.1")
    for _ in range(ACCOUNT.free):
        assert isinstance(refusal(world, guess), InvalidCredentials)

    error = refusal(world, guess)

    assert isinstance(error, RateLimited)
    assert (error.retry_after, error.message) == (1, "Too many attempts. Try again in 1 s.")
    assert world.passwords.hashed == ACCOUNT.free


def test_the_wait_holds_for_the_right_password_too_and_then_is_over(world: World):
    for _ in range(ACCOUNT.free):
        refusal(world, replace(ADA, password="wrong wrong wrong"))
    assert isinstance(refusal(world, ADA), RateLimited)

    world.clock.advance(1)

    assert world.logins.login(ADA)


def test_a_good_login_forgets_the_failures_before_it(world: World):
    for _ in range(3):
        for _ in range(ACCOUNT.free - 1):
            refusal(world, replace(ADA, password="wrong wrong wrong"))
        assert world.logins.login(ADA)


def test_an_address_is_counted_in_its_one_form(world: World):
    for spelling in ("eve@example.org", "EVE@example.org", " eve@EXAMPLE.org", "ｅve@example.org", "Eve@example.org"):
        refusal(world, replace(ADA, email=spelling))

    assert isinstance(refusal(world, replace(ADA, email="eve@example.org")), RateLimited)


@pytest.mark.parametrize(("one", "other"), [("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::1", "2001:db8::ffff:2")])
def test_a_network_that_tries_many_accounts_has_to_wait(world: World, one: str, other: str):
    for number in range(ADDRESS.free):
        refusal(world, Attempt(f"{number}@example.org", "wrong", ip=one))

    error = refusal(world, replace(ADA, ip=other))

    assert isinstance(error, RateLimited)
    assert error.retry_after == 60
    assert world.logins.login(replace(ADA, ip="198.51.100.7"))


def test_a_network_that_has_to_wait_cannot_use_up_the_attempts_at_an_account(world: World):
    for number in range(ADDRESS.free):
        refusal(world, Attempt(f"{number}@example.org", "wrong", ip="192.0.2.1"))
    for _ in range(ACCOUNT.free):
        refusal(world, ADA)

    assert "login:ada@example.org" not in world.begin.rows.throttles


def test_a_good_login_takes_back_its_own_count_of_the_network_and_no_other(world: World):
    refusal(world, replace(ADA, password="wrong"))

    for _ in range(ADDRESS.free + ACCOUNT.free):
        world.logins.login(ADA)

    assert world.begin.rows.throttles["ip:192.0.2.1"].count == 1


def test_the_step_before_the_second_factor_takes_back_its_count_of_the_network_only(world: World):
    with_factor(world)
    before = world.begin.rows.throttles["ip:192.0.2.1"].count

    refusal(world, ADA)

    throttles = world.begin.rows.throttles
    assert (throttles["ip:192.0.2.1"].count, throttles["login:ada@example.org"].count) == (before, 1)


def test_a_wrong_code_counts_for_the_network(world: World):
    with_factor(world)

    refusal(world, replace(ADA, code="000000"))

    assert world.begin.rows.throttles["ip:192.0.2.1"].count == 1


def test_the_user_is_locked_so_that_a_new_password_ends_this_login_as_well(world: World, monkeypatch):
    locked, lock = [], MemoryUsers.lock
    monkeypatch.setattr(MemoryUsers, "lock", lambda users, id_: locked.append(id_) or lock(users, id_))

    world.logins.login(ADA)

    assert locked == ["usr_1"]


def test_a_user_has_a_hundred_logins_at_most_and_the_oldest_end(world: World):
    first = world.logins.login(ADA)
    for _ in range(MOST_LOGINS):
        last = world.logins.login(ADA)

    running = [login.id for login in world.begin.rows.logins.values() if login.ended_at is None]
    assert len(running) == MOST_LOGINS
    assert first.login.id not in running
    assert last.login.id in running
    assert world.forgotten == [first.login.kid]


# ── the second factor ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_factor_is_asked_for_after_the_right_password_only(world: World):
    with_factor(world)

    assert isinstance(refusal(world, ADA), SecondFactorRequired)
    assert isinstance(refusal(world, replace(ADA, code="")), SecondFactorRequired)
    wrong = refusal(world, replace(ADA, password="wrong wrong wrong", code=code(world)))
    assert wrong.message == InvalidCredentials.default
    assert world.logins.login(replace(ADA, code=code(world)))


def test_a_wrong_code_is_a_failure_like_a_wrong_password(world: World):
    with_factor(world)
    for _ in range(ACCOUNT.free):
        error = refusal(world, replace(ADA, code="000000"))
        assert (type(error), error.param) == (InvalidCredentials, "code")

    assert isinstance(refusal(world, replace(ADA, code=code(world))), RateLimited)


def test_a_code_works_once(world: World):
    with_factor(world)
    attempt = replace(ADA, code=code(world))
    world.logins.login(attempt)

    assert isinstance(refusal(world, attempt), InvalidCredentials)


def test_a_factor_that_was_added_while_the_password_was_checked_counts(world: World):
    verify = world.passwords.verify

    class Slow(type(world.passwords)):
        def verify(self, password_hash, password):
            store(world, totp=True)
            return verify(password_hash, password)

    with pytest.raises(SecondFactorRequired):
        replace(world.logins, passwords=Slow()).login(ADA)


# ── ending logins ────────────────────────────────────────────────────────────────────────────────────────────────


def test_logout_ends_the_login_at_once(world: World):
    new = world.logins.login(ADA)

    world.logins.logout(principal(world, new))

    assert world.forgotten == [new.login.kid]
    with pytest.raises(Unauthenticated):
        world.identity.authenticate(new.token)


def test_ones_own_logins_are_listed_newest_first_without_those_that_ran_out(world: World):
    old, ended = world.logins.login(ADA), world.logins.login(ADA)
    world.logins.logout(principal(world, ended))
    world.clock.advance(timedelta(hours=9).total_seconds())
    first, second = world.logins.login(ADA), world.logins.login(ADA)
    world.begin.rows.logins["login_9"] = a_login(id="login_9", user_id="usr_2")

    mine = world.logins.mine(principal(world, first))

    assert [login.id for login in mine] == [second.login.id, first.login.id]
    assert old.login.id not in {login.id for login in mine}


def test_one_of_ones_logins_can_be_ended(world: World):
    here, there = world.logins.login(ADA), world.logins.login(ADA)

    world.logins.end(principal(world, here), there.login.id)

    assert world.forgotten == [there.login.kid]
    with pytest.raises(Unauthenticated):
        world.identity.authenticate(there.token)
    assert principal(world, here)


def test_there_is_no_login_to_end_but_a_running_one_of_ones_own(world: World):
    caller = principal(world, world.logins.login(ADA))
    ended, old = world.logins.login(ADA), world.logins.login(ADA)
    world.logins.end(caller, ended.login.id)
    world.begin.rows.logins[old.login.id] = replace(old.login, seen_at=world.clock.now() - timedelta(hours=9))
    world.begin.rows.logins["login_9"] = a_login(id="login_9", user_id="usr_2")

    for login_id in (ended.login.id, old.login.id, "login_9", "login_x"):
        with pytest.raises(NotFound):
            world.logins.end(caller, login_id)
    assert world.begin.rows.logins["login_9"].ended_at is None


def test_all_other_logins_can_be_ended_at_once(world: World):
    others = [world.logins.login(ADA) for _ in range(3)]
    here = world.logins.login(ADA)
    world.begin.rows.logins["login_9"] = a_login(id="login_9", user_id="usr_2")

    assert world.logins.end_others(principal(world, here)) == 3

    assert sorted(world.forgotten) == sorted(other.login.kid for other in others)
    assert [login.id for login in world.logins.mine(principal(world, here))] == [here.login.id]
    assert world.begin.rows.logins["login_9"].ended_at is None


# ── proving it again ─────────────────────────────────────────────────────────────────────────────────────────────


def aged(world: World) -> NewLogin:
    new = world.logins.login(ADA)
    world.clock.advance(RECENT.total_seconds())
    assert not principal(world, new).recent
    return new


def test_the_password_makes_a_login_recent_again(world: World):
    new = aged(world)

    world.logins.reauthenticate(principal(world, new), PASSWORD, None)

    assert principal(world, new).recent
    assert world.forgotten == [new.login.kid]
    assert not {"login:ada@example.org", "proof:usr_1"} & set(world.begin.rows.throttles)


def test_strangers_who_guess_at_an_account_do_not_keep_its_user_from_proving(world: World):
    caller = principal(world, aged(world))
    for number in range(ACCOUNT.free + 1):
        refusal(world, replace(ADA, password="wrong", ip=f"198.51.100.{number}"))

    world.logins.reauthenticate(caller, PASSWORD, None)

    assert principal_of(world, caller).recent


def principal_of(world: World, caller: Principal) -> Principal:
    login = world.begin.rows.logins[caller.key_id]
    return replace(caller, recent=login.authenticated_at == world.clock.now())


def test_a_wrong_password_does_not_and_counts(world: World):
    caller = principal(world, aged(world))
    for _ in range(ACCOUNT.free):
        with pytest.raises(InvalidCredentials):
            world.logins.reauthenticate(caller, "wrong wrong wrong", None)

    with pytest.raises(RateLimited):
        world.logins.reauthenticate(caller, PASSWORD, None)
    assert world.begin.rows.logins[caller.key_id].authenticated_at < world.clock.now()


def test_with_a_second_factor_the_password_alone_does_not_make_a_login_recent(world: World):
    caller = with_factor(world)

    with pytest.raises(SecondFactorRequired):
        world.logins.reauthenticate(caller, PASSWORD, None)
    with pytest.raises(InvalidCredentials):
        world.logins.reauthenticate(caller, PASSWORD, "000000")
    world.logins.reauthenticate(caller, PASSWORD, code(world))

    assert world.begin.rows.logins[caller.key_id].authenticated_at == world.clock.now()


@pytest.mark.parametrize(
    "act",
    [
        lambda logins, key: logins.logout(key),
        lambda logins, key: logins.reauthenticate(key, PASSWORD, None),
        lambda logins, key: logins.mine(key),
        lambda logins, key: logins.end(key, "login_1"),
        lambda logins, key: logins.end_others(key),
    ],
    ids=["logout", "reauthenticate", "mine", "end", "end others"],
)
def test_a_key_has_no_say_over_logins(world: World, act):
    world.begin.rows.logins["login_1"] = login = a_login()

    with pytest.raises(Forbidden):
        act(world.logins, a_principal(role=Role.OWNER))

    assert world.begin.rows.logins["login_1"] == login
    assert world.passwords.hashed == 0

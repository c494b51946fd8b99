from dataclasses import replace

import pytest

from application.second_factor import CODES, PURPOSE
from domain.audit import Actor
from domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, RateLimited, ReauthenticationRequired
from domain.throttle import ACCOUNT
from tests.builders import a_login, a_principal, a_token, a_user
from tests.world import World

ME = a_principal(key_id="login_1", login=True)


def code(world: World, steps: int = 0) -> str:
    return world.codes.code(int(world.clock.now().timestamp()) // 30 + steps)


def proves(world: World, given: str) -> bool:
    with world.begin() as work:
        return world.factors.proves(work, work.users.get("usr_1"), given, world.clock.now())


@pytest.fixture
def world(world: World) -> World:
    world.begin.rows.logins |= {
        "login_1": a_login(),
        "login_2": a_login(a_token("2" * 10, environment="login"), id="login_2"),
        "login_9": a_login(a_token("9" * 10, environment="login"), id="login_9", user_id="usr_9"),
    }
    return world


@pytest.fixture
def recovery(world: World) -> list[str]:
    """The codes of a second factor that is on; the code of the first minute is used."""
    world.factors.enrol(ME)
    codes = world.factors.confirm(ME, code(world))
    world.clock.advance(60)
    return codes


# ── switching it on ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_enrolment_changes_nothing_before_it_is_confirmed(world: World):
    enrolment = world.factors.enrol(ME)

    assert enrolment.secret in enrolment.uri
    assert "ada@example.org" in enrolment.uri
    assert not world.begin.rows.users["usr_1"].totp
    assert world.begin.rows.audit == {}


def test_the_secret_is_stored_sealed(world: World):
    enrolment = world.factors.enrol(ME)

    factor = world.begin.rows.factors["usr_1"]
    assert world.vault.open(PURPOSE, factor.sealed) == enrolment.secret
    assert enrolment.secret not in repr(world.begin.rows)


def test_a_code_switches_it_on(world: World):
    world.factors.enrol(ME)

    world.factors.confirm(ME, code(world))

    assert world.begin.rows.users["usr_1"].totp
    assert world.begin.rows.factors["usr_1"].confirmed
    (entry,) = world.begin.rows.audit.values()
    assert (entry.action, entry.object_id, entry.actor) == (
        "user.add_second_factor",
        "usr_1",
        Actor("usr_1", "login_1"),
    )
    assert (entry.before, entry.after) == ({"totp": False}, {"totp": True})


def test_switching_it_on_ends_the_other_logins_which_did_without_it(world: World):
    world.factors.enrol(ME)

    world.factors.confirm(ME, code(world))

    ended = {login.id for login in world.begin.rows.logins.values() if login.ended_at is not None}
    assert ended == {"login_2"}


def test_a_code_may_be_written_with_a_blank(world: World):
    world.factors.enrol(ME)

    assert world.factors.confirm(ME, f"{code(world)[:3]} {code(world)[3:]}")


def test_the_code_that_switched_it_on_is_used_up(world: World, recovery: list[str]):
    assert not proves(world, code(world, -2))
    assert proves(world, code(world))


def test_a_wrong_code_switches_nothing_on(world: World):
    world.factors.enrol(ME)

    with pytest.raises(InvalidRequest) as refusal:
        world.factors.confirm(ME, "000000")

    assert refusal.value.param == "code"
    assert not world.begin.rows.users["usr_1"].totp


def test_whoever_guesses_the_first_code_has_to_wait(world: World):
    world.factors.enrol(ME)
    for _ in range(ACCOUNT.free):
        with pytest.raises(InvalidRequest):
            world.factors.confirm(ME, "000000")

    with pytest.raises(RateLimited) as refusal:
        world.factors.confirm(ME, code(world))

    assert refusal.value.retry_after == 1
    world.clock.advance(1)
    assert world.factors.confirm(ME, code(world))
    assert world.begin.rows.throttles == {}


def test_nothing_can_be_confirmed_without_an_enrolment_or_twice(world: World):
    with pytest.raises(InvalidRequest):
        world.factors.confirm(ME, code(world))
    world.factors.enrol(ME)
    world.factors.confirm(ME, code(world))

    with pytest.raises(InvalidRequest):
        world.factors.confirm(ME, code(world, 1))


def test_a_new_enrolment_takes_the_place_of_one_that_was_not_confirmed(world: World):
    world.factors.enrol(ME)
    world.begin.rows.factors["usr_1"] = replace(world.begin.rows.factors["usr_1"], sealed=b"sealed other x")

    world.factors.enrol(ME)

    assert world.factors.confirm(ME, code(world))


def test_there_is_one_factor_at_a_time(world: World, recovery: list[str]):
    before = world.begin.rows.factors["usr_1"]

    with pytest.raises(Conflict):
        world.factors.enrol(ME)

    assert world.begin.rows.factors["usr_1"] == before


# ── codes ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_clock_may_be_wrong_by_one_step(world: World, recovery: list[str], steps: int):
    assert proves(world, code(world, steps))


@pytest.mark.parametrize("steps", [-2, 2])
def test_a_clock_may_not_be_wrong_by_more(world: World, recovery: list[str], steps: int):
    assert not proves(world, code(world, steps))


def test_a_code_works_once_and_none_before_it_works_afterwards(world: World, recovery: list[str]):
    assert proves(world, code(world))

    assert not proves(world, code(world))
    assert not proves(world, code(world, -1))
    assert proves(world, code(world, 1))


def test_a_recovery_code_works_once(world: World, recovery: list[str]):
    assert proves(world, recovery[3])

    assert not proves(world, recovery[3])
    assert proves(world, recovery[4])


def test_a_recovery_code_may_be_written_in_any_groups(world: World, recovery: list[str]):
    assert proves(world, recovery[0].replace("-", ""))
    assert proves(world, recovery[1].replace("-", " "))


def test_recovery_codes_are_many_different_and_stored_as_digests(world: World):
    letters = iter("ABCDEFGHIJ")
    factors = replace(world.factors, new_secret=lambda length: next(letters) * length)
    factors.enrol(ME)

    codes = factors.confirm(ME, code(world))

    assert len(set(codes)) == len(world.begin.rows.codes["usr_1"]) == CODES
    assert codes[0] == "AAAAA-AAAAA-AAAAA-AAAAA"
    assert not any(it[:5] in repr(world.begin.rows) for it in codes)


@pytest.mark.parametrize("given", ["", "12345", "1234567", "aaaaa-aaaaa", "１２３４５６"])
def test_nonsense_proves_nothing(world: World, recovery: list[str], given: str):
    assert not proves(world, given)


def test_recovery_codes_still_work_when_the_secret_cannot_be_read_any_more(world: World, recovery: list[str]):
    world.begin.rows.factors["usr_1"] = replace(world.begin.rows.factors["usr_1"], sealed=b"sealed other x")

    assert not proves(world, code(world))
    assert proves(world, recovery[0])


def test_a_user_without_a_stored_factor_proves_nothing(world: World):
    world.begin.rows.users["usr_1"] = a_user(totp=True)

    assert not proves(world, code(world))
    assert not proves(world, "aaaaa-aaaaa-aaaaa-aaaaa")


# ── switching it off ─────────────────────────────────────────────────────────────────────────────────────────────


def test_it_can_be_removed(world: World, recovery: list[str]):
    world.begin.rows.logins["login_2"] = replace(world.begin.rows.logins["login_2"], ended_at=None)
    world.factors.remove(ME)

    assert not world.begin.rows.users["usr_1"].totp
    assert (world.begin.rows.factors, world.begin.rows.codes) == ({}, {})
    assert world.begin.rows.logins["login_2"].ended_at is not None
    assert world.begin.rows.logins["login_1"].ended_at is None
    *_, entry = world.begin.rows.audit.values()
    assert (entry.action, entry.after) == ("user.remove_second_factor", {"totp": False})


def test_what_is_not_there_cannot_be_removed(world: World):
    world.factors.enrol(ME)

    with pytest.raises(NotFound):
        world.factors.remove(ME)


def test_a_change_that_cannot_be_audited_is_not_made(world: World):
    world.factors.enrol(ME)
    world.begin.rows.refuse_audit = RuntimeError("full")

    with pytest.raises(RuntimeError):
        world.factors.confirm(ME, code(world))

    assert not world.begin.rows.users["usr_1"].totp
    assert world.begin.rows.logins["login_2"].ended_at is None


@pytest.mark.parametrize("act", [lambda it, who: it.enrol(who), lambda it, who: it.remove(who)])
def test_both_need_a_recent_login(world: World, act):
    with pytest.raises(ReauthenticationRequired):
        act(world.factors, replace(ME, recent=False))


@pytest.mark.parametrize(
    "act",
    [lambda it, who: it.enrol(who), lambda it, who: it.confirm(who, "123456"), lambda it, who: it.remove(who)],
    ids=["enrol", "confirm", "remove"],
)
def test_a_key_has_no_say_over_the_second_factor(world: World, act):
    with pytest.raises(Forbidden):
        act(world.factors, a_principal())

    assert (world.begin.rows.factors, world.begin.rows.throttles) == ({}, {})

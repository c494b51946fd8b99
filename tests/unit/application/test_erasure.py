from datetime import timedelta

import pytest

from application.account_store import SecondFactor
from application.erasure import bequeath, erase, erased
from domain.idempotency import KeyedCall
from domain.limits import Kind, Limits
from domain.team import Membership, Team, TeamRole
from domain.user import EVERYDAY, Role, Scope
from tests.builders import NOW, a_key, a_session, a_token, a_user
from tests.contracts.files import a_file
from tests.contracts.image_jobs import a_job
from tests.world import World

LATER = NOW + timedelta(hours=1)
HEIR = a_user(id="usr_9", email="heir@example.org", role=Role.OWNER)


def a_team_key(**fields):
    return a_key(a_token(kid="t" * 10), id="key_t", team_id="team_1", **fields)


@pytest.fixture
def world(world: World) -> World:
    with world.begin() as work:
        work.users.save(a_user(name="Ada", password_hash="plain:secret", totp=True))
        work.users.add(HEIR)
        work.teams.add(Team("team_1", "Red", NOW))
        work.teams.put_member(Membership("team_1", "usr_1", TeamRole.LEAD))
        work.keys.add(a_team_key())
    return world


def gone(world: World, heir=None):
    with world.begin() as work:
        erase(work, work.users.get("usr_1"), LATER, heir)
    return world.begin.rows


def test_the_files_and_image_jobs_of_a_user_go_and_those_of_others_stay(world: World):
    with world.begin() as work:
        for number, user_id in ((1, "usr_1"), (2, "usr_9")):
            work.files.add(a_file(number, user_id=user_id))
            work.image_jobs.add(a_job(number, user_id=user_id))

    rows = gone(world)

    assert (list(rows.files), list(rows.image_jobs)) == (["file_2"], ["img_2"])


def test_nothing_personal_is_left_of_a_user(world: World):
    user = gone(world).users["usr_1"]

    assert user == a_user(email="deleted-usr_1@invalid", disabled=True)
    assert erased(user)
    assert not erased(HEIR)


def test_the_address_is_free_again(world: World):
    gone(world)

    with world.begin() as work:
        work.users.add(a_user(id="usr_2"))


def test_keys_and_sessions_end_however_many_there_are(world: World):
    with world.begin() as work:
        for number in range(250):
            work.keys.add(a_key(a_token(kid=f"{number:010}"), id=f"key_x{number}"))
            work.sessions.add(a_session(id=f"sess_x{number}"))
        work.sessions.add(a_session(id="sess_other", user_id="usr_9"))

    rows = gone(world)
    assert {key.revoked_at for key in rows.keys.values()} == {LATER}
    assert len(rows.deleted) == 251
    assert "sess_other" not in rows.deleted


def test_a_key_that_was_revoked_keeps_its_time(world: World):
    with world.begin() as work:
        work.keys.revoke("key_t", NOW)

    key = gone(world, HEIR).keys["key_t"]
    assert (key.revoked_at, key.user_id) == (NOW, "usr_1")


def test_second_factor_memberships_and_limits_are_forgotten(world: World):
    with world.begin() as work:
        work.factors.put(SecondFactor("usr_1", b"sealed", confirmed=True), [b"code"])
        work.limits.put(Kind.USER, "usr_1", Limits(rpm=1))

    rows = gone(world)
    assert (rows.factors, rows.codes, rows.members, rows.limits) == ({}, {}, {}, {})


def test_what_the_user_was_answered_is_forgotten(world: World):
    for name in ("usr_1", "usr_9"):
        with world.begin() as work:
            work.idempotency.claim(KeyedCall(name.encode(), name, b"fingerprint", f"req_{name}", NOW))

    assert {call.user_id for call in gone(world).keyed.values()} == {"usr_9"}


def test_a_team_key_goes_on_in_the_name_of_the_heir(world: World):
    key = gone(world, HEIR).keys["key_t"]

    assert (key.user_id, key.revoked_at) == ("usr_9", None)


def test_without_an_heir_another_lead_who_may_log_in_inherits(world: World):
    with world.begin() as work:
        for number, (role, disabled) in enumerate(
            [(TeamRole.MEMBER, False), (TeamRole.LEAD, True), (TeamRole.LEAD, False)], 2
        ):
            work.users.add(a_user(id=f"usr_{number}", email=f"{number}@example.org", disabled=disabled))
            work.teams.put_member(Membership("team_1", f"usr_{number}", role))

    assert gone(world).keys["key_t"].user_id == "usr_4"


def test_a_team_key_that_nobody_inherits_is_revoked(world: World):
    assert gone(world).keys["key_t"].revoked_at == LATER


@pytest.mark.parametrize(
    ("scopes", "role", "left"),
    [
        (frozenset(), Role.MEMBER, EVERYDAY | {Scope.KEYS}),
        (frozenset({Scope.CHAT, Scope.ADMIN}), Role.MEMBER, {Scope.CHAT}),
        (frozenset(), Role.ADMIN, set(Scope)),
        (frozenset({Scope.ADMIN}), Role.ADMIN, {Scope.ADMIN}),
    ],
)
def test_an_inherited_key_can_do_no_more_than_before(world: World, scopes, role, left):
    key = a_team_key(scopes=scopes)
    with world.begin() as work:
        work.keys.save(key)
        assert bequeath(work, key, a_user(role=role), HEIR)

    assert world.begin.rows.keys["key_t"].scopes == left


def test_a_key_that_could_do_nothing_is_not_inherited_for_it_would_be_able_to_do_everything(world: World):
    with world.begin() as work:
        work.keys.save(key := a_team_key(scopes=frozenset({Scope.ADMIN})))
        assert not bequeath(work, key, a_user(role=Role.MEMBER), HEIR)

    assert world.begin.rows.keys["key_t"].user_id == "usr_1"

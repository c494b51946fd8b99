from collections.abc import Callable
from dataclasses import replace

import pytest

from application.memberships import Member
from application.team_admin import TeamAdmin
from domain.audit import Actor
from domain.errors import Conflict, Forbidden, NotFound, ReauthenticationRequired
from domain.limits import Kind, Limits
from domain.team import Membership, Team, TeamRole
from domain.user import Principal, Role, Scope
from tests.builders import NOW, a_key, a_principal, a_token, a_user
from tests.world import World

ADMIN = a_principal(user_id="usr_a", key_id="key_a", role=Role.ADMIN)
ACTOR = Actor("usr_a", "key_a", "192.0.2.7", "req_1")
RED = Team("team_1", "Red", NOW)
LEAD = Membership("team_1", "usr_1", TeamRole.LEAD)


@pytest.fixture
def world(world: World) -> World:
    """Ada leads the red team and made a key for it."""
    with world.begin() as work:
        work.users.add(a_user(id="usr_a", email="admin@example.org", role=Role.ADMIN))
        work.users.add(a_user(id="usr_2", email="bob@example.org", password_hash="plain:secret"))
        work.teams.add(RED)
        work.teams.put_member(LEAD)
        work.keys.add(a_key(a_token(kid="t" * 10), id="key_t", team_id="team_1", scopes=frozenset({Scope.CHAT})))
    return world


def audited(world: World) -> tuple[str, str, dict, dict]:
    (entry,) = world.begin.rows.audit.values()
    assert entry.actor == ACTOR
    return entry.action, entry.object_id, dict(entry.before), dict(entry.after)


Visit = Callable[[TeamAdmin, Principal], object]

READS: dict[str, Visit] = {
    "page": lambda admin, who: admin.page(who, 9, None),
    "get": lambda admin, who: admin.get(who, "team_1"),
}
WRITES: dict[str, Visit] = {
    "create": lambda admin, who: admin.create(who, "Blue", ACTOR),
    "rename": lambda admin, who: admin.rename(who, "team_1", "Blue", ACTOR),
    "delete": lambda admin, who: admin.delete(who, "team_1", ACTOR),
    "add": lambda admin, who: admin.put_member(who, replace(LEAD, user_id="usr_2"), ACTOR),
    "change": lambda admin, who: admin.put_member(who, replace(LEAD, role=TeamRole.MEMBER), ACTOR),
    "remove": lambda admin, who: admin.remove_member(who, "team_1", "usr_1", ACTOR),
}


@pytest.mark.parametrize("visit", [*READS.values(), *WRITES.values()], ids=[*READS, *WRITES])
@pytest.mark.parametrize(
    ("who", "refusal"),
    [
        (a_principal(), Forbidden),
        (replace(ADMIN, scopes=a_principal(role=Role.MEMBER).rights), Forbidden),
        (replace(ADMIN, login=True, recent=False), ReauthenticationRequired),
    ],
    ids=["the lead", "a key without the scope", "an old login"],
)
def test_only_administrators_with_the_scope_and_a_recent_login_come_in(world: World, visit: Visit, who, refusal):
    before = world.begin.rows.copy()

    with pytest.raises(refusal):
        visit(world.team_admin, who)

    assert world.begin.rows == before


@pytest.mark.parametrize("visit", WRITES.values(), ids=WRITES)
def test_a_change_that_cannot_be_audited_does_not_happen(world: World, visit: Visit):
    world.begin.rows.refuse_audit = OSError("the log is full")
    before = world.begin.rows.copy()

    with pytest.raises(OSError):
        visit(world.team_admin, ADMIN)

    assert world.begin.rows == before


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("rename", ("team.change", "team_1", {"name": "Red"}, {"name": "Blue"})),
        ("delete", ("team.delete", "team_1", {"name": "Red", "keys": ["key_t"]}, {})),
        ("add", ("member.put", "team_1/usr_2", {}, {"role": "lead"})),
        ("change", ("member.put", "team_1/usr_1", {"role": "lead"}, {"role": "member"})),
        ("remove", ("member.remove", "team_1/usr_1", {"role": "lead"}, {})),
    ],
)
def test_every_change_is_audited_with_what_differs(world: World, name: str, entry: tuple):
    WRITES[name](world.team_admin, ADMIN)

    assert audited(world) == entry


@pytest.mark.parametrize("name", ["get", "rename", "delete", "add", "remove"])
def test_a_team_that_is_not_is_not_found(world: World, name: str):
    world.begin.rows.teams.clear()
    world.begin.rows.members.clear()

    with pytest.raises(NotFound):
        {**READS, **WRITES}[name](world.team_admin, ADMIN)


def test_pages_go_from_new_to_old(world: World):
    made = [world.team_admin.create(ADMIN, name, ACTOR).id for name in ("A", "B", "C")]

    first = world.team_admin.page(ADMIN, 2, None)
    second = world.team_admin.page(ADMIN, 9, first[-1].id)

    assert [team.id for team in first + second] == ["team_1", *reversed(made)]


def test_a_team_is_made_with_nobody_in_it(world: World):
    team = world.team_admin.create(ADMIN, "Blue", ACTOR)

    assert team == Team(team.id, "Blue", world.clock.now())
    assert world.team_admin.get(ADMIN, team.id) == (team, [])
    assert audited(world) == ("team.create", team.id, {}, {"name": "Blue"})


def test_a_team_is_read_with_its_members(world: World):
    WRITES["add"](world.team_admin, ADMIN)

    team, members = world.team_admin.get(ADMIN, "team_1")
    users = world.begin.rows.users
    assert team == RED
    assert members == [Member(users["usr_1"], TeamRole.LEAD), Member(users["usr_2"], TeamRole.LEAD)]


def test_two_teams_cannot_have_one_name(world: World):
    blue = world.team_admin.create(ADMIN, "Blue", ACTOR)

    with pytest.raises(Conflict):
        world.team_admin.create(ADMIN, "Red", ACTOR)
    with pytest.raises(Conflict):
        world.team_admin.rename(ADMIN, blue.id, "Red", ACTOR)
    assert len(world.begin.rows.audit) == 1


@pytest.mark.parametrize(
    "repeat",
    [
        lambda admin: admin.rename(ADMIN, "team_1", "Red", ACTOR),
        lambda admin: admin.put_member(ADMIN, LEAD, ACTOR),
    ],
    ids=["rename", "put_member"],
)
def test_a_change_to_what_is_already_so_is_none(world: World, repeat: Callable[[TeamAdmin], object]):
    repeat(world.team_admin)

    assert world.begin.rows.audit == {}


def test_a_deleted_team_leaves_no_working_key_no_limit_and_no_membership(world: World):
    with world.begin() as work:
        work.limits.put(Kind.TEAM, "team_1", Limits(rpm=1))
        for number in range(150):
            key = a_key(a_token(kid=f"{number:010}"), id=f"key_x{number}", team_id="team_1", user_id="usr_2")
            work.keys.add(key)
    world.team_admin.delete(ADMIN, "team_1", ACTOR)

    rows = world.begin.rows
    assert (rows.teams, rows.members, rows.limits) == ({}, {}, {})
    assert [key.id for key in rows.keys.values() if key.revoked_at is None] == ["key_1"]


@pytest.mark.parametrize("deleted", [True, False])
def test_who_is_not_or_no_more_cannot_become_a_member(world: World, deleted: bool):
    if deleted:
        world.user_admin.delete(ADMIN, "usr_2", ACTOR)
    else:
        del world.begin.rows.users["usr_2"]

    with pytest.raises(NotFound):
        WRITES["add"](world.team_admin, ADMIN)


def test_who_is_no_member_cannot_be_removed(world: World):
    with pytest.raises(NotFound):
        world.team_admin.remove_member(ADMIN, "team_1", "usr_2", ACTOR)


def test_a_removed_members_team_keys_go_on_in_the_callers_name_and_own_keys_stay(world: World):
    world.team_admin.remove_member(ADMIN, "team_1", "usr_1", ACTOR)

    keys = world.begin.rows.keys
    assert (keys["key_t"].user_id, keys["key_t"].scopes) == ("usr_a", {Scope.CHAT})
    assert (keys["key_1"].user_id, keys["key_1"].revoked_at) == ("usr_1", None)
    assert world.begin.rows.members == {}


def test_a_team_key_that_could_do_nothing_is_revoked_with_its_member(world: World):
    with world.begin() as work:
        work.users.save(a_user(role=Role.VIEWER))
    world.team_admin.remove_member(ADMIN, "team_1", "usr_1", ACTOR)

    assert world.begin.rows.keys["key_t"].revoked_at == world.clock.now()

from dataclasses import replace

import pytest

from domain.audit import Actor
from domain.errors import Conflict, Forbidden, NotFound, ReauthenticationRequired
from domain.team import Membership, Team, TeamRole
from domain.user import Role, Scope
from tests.builders import NOW, a_key, a_principal, a_token, a_user
from tests.world import World

LEAD, MEMBER = TeamRole.LEAD, TeamRole.MEMBER
ADA = a_principal(key_id="login_1", login=True)
EVE = a_principal(user_id="usr_2", key_id="login_2", login=True)
BOB = a_principal(user_id="usr_3", key_id="login_3", login=True)
ACTOR = Actor("usr_1", "login_1", "192.0.2.1", "req_1")


def seat(user_id: str, role: TeamRole = MEMBER, team_id: str = "team_1") -> Membership:
    return Membership(team_id, user_id, role)


@pytest.fixture
def world(world: World) -> World:
    """Ada leads the team that Eve is a member of; Bob is in another one."""
    rows = world.begin.rows
    for number, name in ((2, "eve"), (3, "bob"), (4, "joe")):
        rows.users[f"usr_{number}"] = a_user(id=f"usr_{number}", email=f"{name}@example.org")
    rows.teams = {it: Team(it, name, NOW) for it, name in (("team_1", "Research"), ("team_2", "Accounting"))}
    seats = (seat("usr_1", LEAD), seat("usr_2"), seat("usr_3", LEAD, "team_2"), seat("usr_1", MEMBER, "team_2"))
    rows.members = {(it.team_id, it.user_id): it for it in seats}
    return world


def put(world: World, caller, membership: Membership) -> None:
    world.teams.put_member(caller, membership, ACTOR)


def remove(world: World, caller, user_id: str, team_id: str = "team_1") -> None:
    world.teams.remove_member(caller, team_id, user_id, ACTOR)


def role(world: World, user_id: str, team_id: str = "team_1") -> TeamRole | None:
    found = world.begin.rows.members.get((team_id, user_id))
    return found and found.role


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_everybody_sees_their_own_teams_by_name(world: World):
    assert [(team.name, role) for team, role in world.teams.mine(ADA)] == [("Accounting", MEMBER), ("Research", LEAD)]
    assert [(team.name, role) for team, role in world.teams.mine(EVE)] == [("Research", MEMBER)]
    assert world.teams.mine(a_principal(user_id="usr_4")) == []


def test_a_key_of_a_team_knows_no_other_team_of_its_maker(world: World):
    assert [team.id for team, _ in world.teams.mine(a_principal(team_id="team_1"))] == ["team_1"]


def test_a_team_that_vanished_meanwhile_is_left_out(world: World):
    del world.begin.rows.teams["team_1"]

    assert world.teams.mine(EVE) == []


def test_members_see_each_other(world: World):
    members = world.teams.members(EVE, "team_1")

    assert [(it.user.email, it.role) for it in members] == [("ada@example.org", LEAD), ("eve@example.org", MEMBER)]


def test_a_member_who_vanished_meanwhile_is_left_out(world: World):
    del world.begin.rows.users["usr_1"]

    assert [it.user.id for it in world.teams.members(EVE, "team_1")] == ["usr_2"]


@pytest.mark.parametrize("team_id", ["team_1", "team_x"])
def test_other_peoples_teams_do_not_exist(world: World, team_id: str):
    before = dict(world.begin.rows.members)

    for act in (
        lambda: world.teams.members(BOB, team_id),
        lambda: put(world, BOB, seat("usr_4", team_id=team_id)),
        lambda: remove(world, BOB, "usr_2", team_id),
        lambda: remove(world, BOB, "usr_3", team_id),
    ):
        with pytest.raises(NotFound):
            act()
    assert world.begin.rows.members == before


# ── adding and changing ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_lead_adds_members(world: World):
    put(world, ADA, seat("usr_4"))

    assert role(world, "usr_4") is MEMBER
    (entry,) = world.begin.rows.audit.values()
    assert (entry.action, entry.object_id, entry.actor) == ("member.put", "team_1/usr_4", ACTOR)
    assert (entry.before, entry.after) == ({}, {"role": MEMBER})


def test_a_lead_makes_others_leads_and_steps_down(world: World):
    put(world, ADA, seat("usr_2", LEAD))
    put(world, ADA, seat("usr_1", MEMBER))

    assert (role(world, "usr_1"), role(world, "usr_2")) == (MEMBER, LEAD)
    *_, entry = world.begin.rows.audit.values()
    assert (entry.before, entry.after) == ({"role": LEAD}, {"role": MEMBER})


def test_a_change_that_changes_nothing_leaves_no_trace(world: World):
    put(world, ADA, seat("usr_1", LEAD))

    assert world.begin.rows.audit == {}


def test_the_last_lead_does_not_step_down(world: World):
    world.begin.rows.members["team_1", "usr_4"] = seat("usr_4", LEAD)
    world.begin.rows.users["usr_4"] = replace(world.begin.rows.users["usr_4"], disabled=True)

    with pytest.raises(Conflict, match="last lead"):
        put(world, ADA, seat("usr_1", MEMBER))
    with pytest.raises(Conflict, match="last lead"):
        remove(world, ADA, "usr_1")
    assert role(world, "usr_1") is LEAD


@pytest.mark.parametrize("user_id", ["usr_x", "usr_5"])
def test_only_users_become_members(world: World, user_id: str):
    world.begin.rows.users["usr_5"] = a_user(id="usr_5", email="deleted-usr_5@invalid", disabled=True)

    with pytest.raises(NotFound):
        put(world, ADA, seat(user_id))


def test_a_mere_member_changes_nobody(world: World):
    before = dict(world.begin.rows.members)

    for act in (
        lambda: put(world, EVE, seat("usr_4")),
        lambda: put(world, EVE, seat("usr_2", LEAD)),
        lambda: remove(world, EVE, "usr_1"),
    ):
        with pytest.raises(Forbidden):
            act()
    assert world.begin.rows.members == before


# ── removing ─────────────────────────────────────────────────────────────────────────────────────────────────────


def with_key(world: World, user_id: str, **fields) -> None:
    world.begin.rows.keys["key_2"] = a_key(a_token("2" * 10), id="key_2", user_id=user_id, team_id="team_1", **fields)


def test_a_lead_removes_members_and_takes_over_their_team_keys(world: World):
    with_key(world, "usr_2")
    world.begin.rows.keys["key_3"] = own = a_key(a_token("3" * 10), id="key_3", user_id="usr_2")

    remove(world, ADA, "usr_2")

    assert role(world, "usr_2") is None
    assert world.begin.rows.keys["key_2"].user_id == "usr_1"
    assert world.begin.rows.keys["key_3"] == own
    (entry,) = world.begin.rows.audit.values()
    assert (entry.action, entry.object_id, entry.before) == ("member.remove", "team_1/usr_2", {"role": MEMBER})


def test_a_key_that_is_taken_over_can_do_no_more_than_before(world: World):
    world.begin.rows.users["usr_1"] = a_user(role=Role.OWNER)
    with_key(world, "usr_2")

    remove(world, ADA, "usr_2")

    assert Scope.ADMIN not in world.identity.authenticate(a_token("2" * 10)).rights


def test_whoever_leaves_hands_their_team_keys_to_a_lead(world: World):
    with_key(world, "usr_2")

    remove(world, EVE, "usr_2")

    assert role(world, "usr_2") is None
    assert world.begin.rows.keys["key_2"].user_id == "usr_1"


def test_a_key_that_nobody_can_take_over_is_revoked(world: World):
    world.begin.rows.users["usr_1"] = replace(world.begin.rows.users["usr_1"], disabled=True)
    with_key(world, "usr_2")

    remove(world, EVE, "usr_2")

    assert world.begin.rows.keys["key_2"].revoked_at == world.clock.now()


def test_a_lead_may_leave_when_there_is_another(world: World):
    put(world, ADA, seat("usr_2", LEAD))

    remove(world, ADA, "usr_1")

    assert role(world, "usr_1") is None


def test_who_is_no_member_cannot_be_removed(world: World):
    with pytest.raises(NotFound):
        remove(world, ADA, "usr_3")
    with pytest.raises(NotFound):
        remove(world, ADA, "usr_x")


def test_a_change_that_cannot_be_audited_is_not_made(world: World):
    world.begin.rows.refuse_audit = RuntimeError("full")

    with pytest.raises(RuntimeError):
        put(world, ADA, seat("usr_4"))
    with pytest.raises(RuntimeError):
        remove(world, ADA, "usr_2")

    assert (role(world, "usr_4"), role(world, "usr_2")) == (None, MEMBER)


@pytest.mark.parametrize(
    ("caller", "error"),
    [(replace(ADA, recent=False), ReauthenticationRequired), (a_principal(role=Role.OWNER), Forbidden)],
    ids=["old login", "key"],
)
def test_changes_need_a_recent_login(world: World, caller, error: type[Exception]):
    for act in (
        lambda: put(world, caller, seat("usr_4")),
        lambda: remove(world, caller, "usr_2"),
        lambda: remove(world, caller, "usr_1"),
    ):
        with pytest.raises(error):
            act()


def test_a_teams_key_sees_its_own_team_only(world: World):
    key = a_principal(team_id="team_2")

    assert world.teams.members(key, "team_2")
    with pytest.raises(NotFound):
        world.teams.members(key, "team_1")

"""The routes of teams: what goes in, what comes out. Who may do what is the application's."""

import pytest

from domain.team import Membership, Team, TeamRole
from domain.user import Scope
from tests.builders import NOW, a_key, a_token, a_user

MEMBERS = "/api/v1/teams/team_1/members"


@pytest.fixture
def site(site):
    """Ada leads a team that Eve is a member of; Bob is in none."""
    with site.world.begin() as work:
        work.users.add(a_user(id="usr_2", email="eve@example.org", name="Eve"))
        work.users.add(a_user(id="usr_3", email="bob@example.org"))
        work.teams.add(Team("team_1", "Analysts", NOW))
        work.teams.put_member(Membership("team_1", "usr_1", TeamRole.LEAD))
        work.teams.put_member(Membership("team_1", "usr_2", TeamRole.MEMBER))
    return site


def seats(site) -> dict[str, str]:
    return {it["user_id"]: it["role"] for it in site.get(MEMBERS).json["data"]}


def test_one_sees_the_teams_that_one_is_in(site):
    assert site.get("/api/v1/teams").json == {
        "data": [{"id": "team_1", "name": "Analysts", "role": "lead", "created_at": "2026-11-21T12:00:00Z"}]
    }
    assert site.ask("GET", "/api/v1/teams", site.login("usr_3")).json == {"data": []}


def test_members_see_each_other_and_nobody_else_sees_them(site):
    answer = site.ask("GET", MEMBERS, site.login("usr_2"))

    assert answer.json["data"][1] == {"user_id": "usr_2", "email": "eve@example.org", "name": "Eve", "role": "member"}
    assert site.ask("GET", MEMBERS, site.login("usr_3")).status_code == 404
    assert site.get("/api/v1/teams/team_9/members").status_code == 404


def test_addresses_are_not_for_every_key(site):
    token = a_token(kid="c" * 10)
    with site.world.begin() as work:
        work.keys.add(a_key(token, id="key_c", scopes=frozenset(Scope) - {Scope.KEYS}))

    assert site.ask("GET", MEMBERS, token).status_code == 403


def test_a_lead_adds_changes_and_removes_members(site):
    lead = site.login()

    assert site.ask("PUT", f"{MEMBERS}/usr_3", lead, {"role": "member"}).status_code == 204
    assert site.ask("PUT", f"{MEMBERS}/usr_2", lead, {"role": "lead"}).status_code == 204
    assert seats(site) == {"usr_1": "lead", "usr_2": "lead", "usr_3": "member"}
    assert site.ask("DELETE", f"{MEMBERS}/usr_3", lead).status_code == 204
    assert seats(site) == {"usr_1": "lead", "usr_2": "lead"}


def test_a_change_of_members_is_audited_with_who_and_from_where(site):
    answer = site.ask("PUT", f"{MEMBERS}/usr_3", site.login(), {"role": "member"})
    (entry,) = site.world.begin.rows.audit.values()

    assert (entry.actor.user_id, entry.actor.ip) == ("usr_1", "127.0.0.1")
    assert entry.actor.request_id == answer.headers["X-Request-Id"]


def test_a_mere_member_changes_nobody_but_may_leave(site):
    eve = site.login("usr_2")

    assert site.ask("PUT", f"{MEMBERS}/usr_3", eve, {"role": "member"}).status_code == 403
    assert site.ask("DELETE", f"{MEMBERS}/usr_1", eve).status_code == 403
    assert site.ask("DELETE", f"{MEMBERS}/usr_2", eve).status_code == 204
    assert seats(site) == {"usr_1": "lead"}


def test_the_last_lead_stays(site):
    lead = site.login()

    assert site.ask("PUT", f"{MEMBERS}/usr_1", lead, {"role": "member"}).status_code == 409
    assert site.ask("DELETE", f"{MEMBERS}/usr_1", lead).status_code == 409


def test_a_key_changes_no_members(site):
    assert site.client.put(f"{MEMBERS}/usr_3", headers=site.headers, json={"role": "lead"}).status_code == 403
    assert site.delete(f"{MEMBERS}/usr_2").status_code == 403


def test_a_role_is_lead_or_member(site):
    lead = site.login()

    for body in ({}, {"role": "owner"}, {"role": None}, {"role": ["lead"]}, {"role": "lead", "user_id": "usr_3"}):
        assert site.ask("PUT", f"{MEMBERS}/usr_2", lead, body).status_code == 400

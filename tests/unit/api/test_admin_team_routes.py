import pytest

from domain.team import Membership, Team, TeamRole
from domain.user import Scope
from tests.builders import NOW, a_key, a_token, a_user

TEAMS = "/api/v1/admin/teams"
RED = {"id": "team_1", "name": "Red", "created_at": "2026-11-21T12:00:00Z"}
SEAT = {"user_id": "usr_1", "email": "ada@example.org", "name": "", "role": "lead", "disabled": False}


@pytest.fixture
def site(clean_site):
    return clean_site


@pytest.fixture
def admin(admin):
    """Ada leads the red team and made a key for it; Bob is nobody yet."""
    with admin.world.begin() as work:
        work.users.add(a_user(id="usr_2", email="bob@example.org", password_hash="$argon2id$secret"))
        work.teams.add(Team("team_1", "Red", NOW))
        work.teams.put_member(Membership("team_1", "usr_1", TeamRole.LEAD))
        work.keys.add(a_key(a_token(kid="t" * 10), id="key_t", team_id="team_1", scopes=frozenset({Scope.CHAT})))
    return admin


def test_a_team_is_shown_with_its_members(admin):
    assert admin.get(f"{TEAMS}/team_1").json == {**RED, "members": [SEAT]}


def test_teams_are_listed_in_pages(admin):
    made = [admin.post(TEAMS, {"name": name}).json["id"] for name in ("A", "B", "C")]
    first = admin.get(f"{TEAMS}?limit=2").json
    second = admin.get(f"{TEAMS}?limit=2&cursor={first['next_cursor']}").json

    assert [team["id"] for team in first["data"] + second["data"]] == ["team_1", *reversed(made)]
    assert first["data"][0] == RED
    assert second["next_cursor"] is None


def test_a_team_is_made_with_nobody_in_it(admin):
    answer = admin.post(TEAMS, {"name": "Blue"})

    assert answer.status_code == 201
    assert answer.json == {**RED, "id": answer.json["id"], "name": "Blue", "members": []}
    assert admin.get(f"{TEAMS}/{answer.json['id']}").json == answer.json


@pytest.mark.parametrize(
    ("body", "status"),
    [({"name": "Blue"}, 409), ({"name": ""}, 400), ({"name": "  "}, 400), ({"name": "n" * 201}, 400), ({}, 400)],
)
def test_a_team_needs_a_name_of_its_own(admin, body, status):
    admin.post(TEAMS, {"name": "Blue"})

    assert admin.post(TEAMS, body).status_code == status
    assert admin.patch(f"{TEAMS}/team_1", body).status_code == status
    assert admin.get(f"{TEAMS}/team_1").json["name"] == "Red"


@pytest.mark.parametrize("field", ["id", "created_at", "members"])
def test_a_team_takes_no_field_that_is_the_servers(admin, field):
    assert admin.post(TEAMS, {"name": "Blue", field: "x"}).json["error"]["code"] == "unknown_field"
    assert admin.patch(f"{TEAMS}/team_1", {"name": "Blue", field: "x"}).json["error"]["code"] == "unknown_field"
    assert len(admin.world.begin.rows.teams) == 1


def test_a_team_gets_another_name(admin):
    answer = admin.patch(f"{TEAMS}/team_1", {"name": "Crimson"})

    assert answer.status_code == 200
    assert answer.json == {**RED, "name": "Crimson"}


def test_a_deleted_team_is_gone_and_its_keys_stop(admin):
    shared = {"Authorization": f"Bearer {a_token(kid='t' * 10)}"}
    assert admin.anonymous().get("/api/v1/models", headers=shared).status_code == 200

    assert admin.delete(f"{TEAMS}/team_1").status_code == 204
    assert admin.get(f"{TEAMS}/team_1").status_code == 404
    assert admin.anonymous().get("/api/v1/models", headers=shared).status_code == 401


def test_a_member_is_put_and_the_answer_is_the_team(admin):
    added = admin.put(f"{TEAMS}/team_1/members/usr_2", {"role": "member"})
    changed = admin.put(f"{TEAMS}/team_1/members/usr_2", {"role": "lead"})

    bob = {**SEAT, "user_id": "usr_2", "email": "bob@example.org", "role": "member"}
    assert added.status_code == 200
    assert added.json == {**RED, "members": [SEAT, bob]}
    assert changed.json == {**RED, "members": [SEAT, {**bob, "role": "lead"}]}
    assert "argon2" not in changed.text


@pytest.mark.parametrize("body", [{}, {"role": "owner"}, {"role": None}, {"role": "lead", "user_id": "usr_1"}])
def test_a_member_has_one_of_the_roles_of_a_team(admin, body):
    assert admin.put(f"{TEAMS}/team_1/members/usr_2", body).status_code == 400
    assert len(admin.world.begin.rows.members) == 1


def test_a_removed_members_keys_go_on_in_the_callers_name(admin):
    assert admin.delete(f"{TEAMS}/team_1/members/usr_1").status_code == 204

    assert admin.get(f"{TEAMS}/team_1").json["members"] == []
    assert admin.world.begin.rows.keys["key_t"].user_id == "usr_admin"


ROUTES = [
    ("GET", TEAMS, None),
    ("POST", TEAMS, {"name": "Blue"}),
    ("GET", f"{TEAMS}/team_9", None),
    ("PATCH", f"{TEAMS}/team_9", {"name": "Blue"}),
    ("DELETE", f"{TEAMS}/team_9", None),
    ("PUT", f"{TEAMS}/team_9/members/usr_1", {"role": "lead"}),
    ("PUT", f"{TEAMS}/team_1/members/usr_9", {"role": "lead"}),
    ("DELETE", f"{TEAMS}/team_9/members/usr_1", None),
    ("DELETE", f"{TEAMS}/team_1/members/usr_9", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES[2:])
def test_what_is_not_is_not_found(admin, method, path, body):
    given = {} if body is None else {"json": body}
    answer = admin.client.open(path, method=method, headers=admin.headers, **given)

    assert (answer.status_code, answer.json["error"]["code"]) == (404, "not_found")
    assert admin.world.begin.rows.audit == {}


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_even_a_lead_is_refused(site, admin, method, path, body):
    given = {} if body is None else {"json": body}
    headers = {"Authorization": f"Bearer {site.token}"}
    answer = admin.client.open(path, method=method, headers=headers, **given)

    assert (answer.status_code, answer.json["error"]["code"]) == (403, "forbidden")
    assert admin.world.begin.rows.audit == {}

"""The routes of API keys: what goes in, what comes out. Who may do what is the application's."""

from datetime import UTC, datetime

import pytest

from domain.limits import Budget, Kind, Limits, Unit, Window
from domain.team import Membership, Team, TeamRole
from domain.user import Scope
from tests.builders import NOW, a_key, a_token

SHOWN = {
    "id",
    "kid",
    "last4",
    "name",
    "user_id",
    "team_id",
    "scopes",
    "models",
    "limits",
    "heartbeats",
    "expires_at",
    "revoked_at",
    "replaced_by",
    "last_used_at",
    "created_at",
}


@pytest.fixture(scope="module")
def site(shared_site):
    """For the whole file: each test looks at the keys that it made itself."""
    return shared_site


def make(site, **body):
    return site.post("/api/v1/keys", {"name": "ci", **body})


def stored(site, key_id: str):
    with site.world.begin() as work:
        return work.keys.get(key_id)


def test_a_key_is_made_and_its_token_shown_this_once(site):
    answer = make(
        site,
        scopes=["usage:read", "chat", "chat"],
        models=["acme/*"],
        limits={"rpm": 60, "budgets": [{"unit": "money", "window": "day", "amount": 2.5}]},
        expires_at="2027-01-01T01:00:00+01:00",
    )
    told = answer.json
    token = told.pop("key")

    assert answer.status_code == 201
    assert set(told) == SHOWN
    assert told["scopes"] == ["chat", "usage:read"]
    assert told["limits"] == {
        "rpm": 60,
        "tpm": None,
        "concurrency": None,
        "budgets": [{"unit": "money", "window": "day", "amount": 2.5}],
        "shadow": False,
    }
    assert (told["last4"], told["expires_at"]) == (token[-4:], "2027-01-01T00:00:00Z")
    assert stored(site, told["id"]).expires_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert site.ask("GET", "/api/v1/key", token).json["id"] == told["id"]
    again = site.get(f"/api/v1/keys/{told['id']}")
    assert {**again.json, "last_used_at": None} == told
    assert token[-49:] not in again.text


def test_only_a_name_is_needed(site):
    told = make(site).json

    assert told["scopes"] == sorted({"chat", "embeddings", "images", "files", "usage:read"})
    assert (told["models"], told["heartbeats"], told["team_id"], told["expires_at"]) == ([], True, None, None)
    assert make(site, team_id=None, expires_at=None, scopes=[], models=[], limits={}).json["scopes"] == []


def test_all_that_is_done_to_a_key_is_audited_with_who_and_from_where(site):
    answer = make(site)
    with site.world.begin() as work:
        (entry,) = work.audit.page(1, None, action="key.create")

    assert (entry.object_id, entry.actor.user_id, entry.actor.key_id) == (answer.json["id"], "usr_1", "key_1")
    assert (entry.actor.ip, entry.actor.request_id) == ("127.0.0.1", answer.headers["X-Request-Id"])


@pytest.mark.parametrize(
    ("unit", "amount", "nano"),
    [
        ("money", 0.1, 100_000_000),
        ("money", 0.3, 300_000_000),
        ("money", 1e-9, 1),
        ("money", 12345.123456789, 12_345_123_456_789),
        ("money", 5, 5_000_000_000),
        ("money", 0, 0),
        ("tokens", 1_000, 1_000),
    ],
)
def test_an_amount_is_kept_exactly(site, unit, amount, nano):
    told = make(site, limits={"budgets": [{"unit": unit, "window": "total", "amount": amount}]}).json

    assert stored(site, told["id"]).limits.budgets == (Budget(Unit(unit), Window.TOTAL, nano),)
    assert told["limits"]["budgets"][0]["amount"] == amount


BUDGET = {"unit": "money", "window": "day", "amount": 1}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": None}, "name"),
        ({"scopes": ["everything"]}, "scopes.0"),
        ({"scopes": "chat"}, "scopes"),
        ({"scopes": None}, "scopes"),
        ({"models": ["a b"]}, "models.0"),
        ({"models": ["x"] * 101}, "models"),
        ({"heartbeats": "no"}, "heartbeats"),
        ({"heartbeats": None}, "heartbeats"),
        ({"team_id": ""}, "team_id"),
        ({"expires_at": "2027-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": 1}, "expires_at"),
        ({"limits": None}, "limits"),
        ({"limits": {"rpm": 0}}, "limits.rpm"),
        ({"limits": {"rpm": 1.0}}, "limits.rpm"),
        ({"limits": {"tpm": "1"}}, "limits.tpm"),
        ({"limits": {"concurrency": -1}}, "limits.concurrency"),
        ({"limits": {"shadow": True}}, "limits.shadow"),
        ({"limits": {"budgets": [{**BUDGET, "amount": -1}]}}, "limits.budgets.0.amount"),
        ({"limits": {"budgets": [{**BUDGET, "amount": "1"}]}}, "limits.budgets.0.amount"),
        ({"limits": {"budgets": [{**BUDGET, "amount": True}]}}, "limits.budgets.0.amount"),
        ({"limits": {"budgets": [{**BUDGET, "amount": 1e-10}]}}, "limits.budgets.0.amount"),
        ({"limits": {"budgets": [{**BUDGET, "unit": "tokens", "amount": 0.5}]}}, "limits.budgets.0.amount"),
        ({"limits": {"budgets": [{**BUDGET, "window": "hour"}]}}, "limits.budgets.0.window"),
        ({"limits": {"budgets": [{**BUDGET, "used": 0}]}}, "limits.budgets.0.used"),
        ({"limits": {"budgets": [BUDGET, BUDGET]}}, "limits.budgets"),
        *(({name: "x"}, name) for name in ("id", "kid", "user_id", "digest", "last4", "created_at", "revoked_at")),
        *(({name: "x"}, name) for name in ("replaced_by", "last_used_at", "role", "key")),
    ],
)
def test_a_body_that_is_not_as_documented_is_refused(site, body, param):
    answer = make(site, **body)

    assert answer.status_code == 400
    assert answer.json["error"]["param"] == param


def test_keys_are_listed_in_pages_without_their_secrets(site):
    made = [make(site).json["id"] for _ in range(3)]
    first = site.get("/api/v1/keys?limit=2&cursor=key_1").json

    assert [key["id"] for key in first["data"]] == made[:0:-1]
    assert set(first["data"][0]) == SHOWN
    second = site.get(f"/api/v1/keys?limit=1&cursor={first['next_cursor']}").json
    assert [key["id"] for key in second["data"]] == made[:1]


def test_the_keys_of_a_team_are_listed_and_made_by_its_lead(site):
    with site.world.begin() as work:
        work.teams.add(Team("team_1", "Analysts", NOW))
        work.teams.put_member(Membership("team_1", "usr_1", TeamRole.LEAD))
    made = make(site, team_id="team_1").json

    assert made["team_id"] == "team_1"
    assert [key["id"] for key in site.get("/api/v1/keys?team_id=team_1").json["data"]] == [made["id"]]
    assert make(site, team_id="team_2").status_code == 404
    assert site.get("/api/v1/keys?team_id=team_2").status_code == 404


def test_a_change_changes_what_it_names_inside_limits_as_well(site):
    before = make(site, limits={"rpm": 60, "tpm": 1_000}, models=["acme/*"]).json
    answer = site.patch(f"/api/v1/keys/{before['id']}", {"name": "new", "limits": {"tpm": 10}, "scopes": ["chat"]})

    assert answer.status_code == 200
    before.pop("key")
    limits = {**before["limits"], "tpm": 10}
    assert answer.json == {**before, "name": "new", "scopes": ["chat"], "limits": limits}
    assert site.patch(f"/api/v1/keys/{before['id']}", {}).json == answer.json


@pytest.mark.parametrize("limits", [{"rpm": 61}, {"rpm": None}, {"budgets": []}])
def test_limits_are_not_widened(site, limits):
    key_id = make(site, limits={"rpm": 60, "budgets": [BUDGET]}).json["id"]
    answer = site.patch(f"/api/v1/keys/{key_id}", {"limits": limits})

    assert answer.status_code == 403
    assert stored(site, key_id).limits == Limits(60, budgets=(Budget(Unit.MONEY, Window.DAY, 10**9),))


@pytest.mark.parametrize("name", ["id", "kid", "user_id", "team_id", "digest", "revoked_at", "replaced_by", "role"])
def test_a_change_cannot_name_what_is_not_the_callers(site, name):
    key_id = make(site).json["id"]
    before = stored(site, key_id)

    assert site.patch(f"/api/v1/keys/{key_id}", {name: "x"}).json["error"]["code"] == "unknown_field"
    assert stored(site, key_id) == before


def test_a_rotated_key_goes_on_for_as_long_as_was_asked(site):
    old = make(site, limits={"rpm": 5}).json
    answer = site.post(f"/api/v1/keys/{old['id']}/rotate", {"overlap_seconds": 60})

    assert answer.status_code == 201
    assert set(answer.json) == SHOWN | {"key"}
    assert answer.json["limits"]["rpm"] == 5
    replaced = site.get(f"/api/v1/keys/{old['id']}").json
    assert (replaced["replaced_by"], replaced["expires_at"]) == (answer.json["id"], "2026-11-21T12:01:00Z")
    assert [site.ask("GET", "/api/v1/key", it["key"]).status_code for it in (old, answer.json)] == [200, 200]
    assert site.post(f"/api/v1/keys/{old['id']}/rotate", {}).status_code == 409


@pytest.mark.parametrize("seconds", [-1, 1.5, "60", None, 30 * 86_400 + 1])
def test_an_overlap_is_a_number_of_seconds(site, seconds):
    assert site.post("/api/v1/keys/key_1/rotate", {"overlap_seconds": seconds}).status_code == 400


def test_without_an_overlap_it_is_a_day(site):
    old = make(site).json["id"]
    site.post(f"/api/v1/keys/{old}/rotate", {})

    assert stored(site, old).expires_at == datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_revoked_key_is_no_credential_any_more(site):
    made = make(site).json
    answer = site.delete(f"/api/v1/keys/{made['id']}")

    assert (answer.status_code, answer.data) == (204, b"")
    assert site.ask("GET", "/api/v1/key", made["key"]).status_code == 401
    assert site.get(f"/api/v1/keys/{made['id']}").json["revoked_at"] == "2026-11-21T12:00:00Z"
    assert site.delete(f"/api/v1/keys/{made['id']}").status_code == 204


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/keys"),
        ("GET", "/api/v1/keys"),
        ("GET", "/api/v1/keys/key_1"),
        ("PATCH", "/api/v1/keys/key_1"),
        ("DELETE", "/api/v1/keys/key_1"),
        ("POST", "/api/v1/keys/key_1/rotate"),
    ],
)
def test_keys_are_for_those_who_may_make_keys(site, method, path):
    token = a_token(kid="c" * 10)
    with site.world.begin() as work:
        work.keys.add(a_key(token, id="key_c", scopes=frozenset(Scope) - {Scope.KEYS}))

    assert site.ask(method, path, token, {}).status_code == 403


def test_a_login_needs_to_be_recent_to_change_keys_but_not_to_see_them(site):
    token = site.login()
    login_id = site.world.identity.authenticate(token).key_id
    with site.world.begin() as work:
        work.logins.touch(login_id, NOW, datetime(2026, 11, 21, 11, 29, tzinfo=UTC))

    assert site.ask("GET", "/api/v1/keys", token).status_code == 200
    answer = site.ask("POST", "/api/v1/keys", token, {"name": "ci"})
    assert answer.status_code == 403
    assert answer.json["error"]["code"] == "reauthentication_required"


def test_what_an_administrator_limited_shows_as_limited(site):
    key_id = make(site).json["id"]
    with site.world.begin() as work:
        work.limits.put(Kind.KEY, key_id, Limits(concurrency=2, shadow=True))

    limits = site.get(f"/api/v1/keys/{key_id}").json["limits"]
    assert (limits["concurrency"], limits["shadow"]) == (2, True)

from dataclasses import replace
from decimal import Decimal

import pytest

from api.v1.limit_schemas import LimitsIn
from domain.limits import NO_LIMITS, Budget, Kind, Limits, Unit, Window
from domain.team import Team
from tests.builders import NOW, a_key, a_token, an_entry

LIMITS, KEYS = "/api/v1/admin/limits", "/api/v1/admin/keys"
NOTHING = {"rpm": None, "tpm": None, "concurrency": None, "shadow": False, "budgets": []}
WANTED = {
    "rpm": 60,
    "tpm": 10_000,
    "concurrency": 4,
    "shadow": True,
    "budgets": [
        {"unit": "money", "window": "month", "amount": 2.5},
        {"unit": "tokens", "window": "total", "amount": 1_000},
    ],
}
SUBJECTS = [("key", "key_1"), ("user", "usr_1"), ("team", "team_1"), ("global", "all")]


@pytest.fixture
def site(clean_site):
    return clean_site


@pytest.fixture
def admin(admin):
    with admin.world.begin() as work:
        work.teams.add(Team("team_1", "Red", NOW))
        work.keys.add(a_key(a_token(kid="t" * 10), id="key_t", team_id="team_1"))
    return admin


def _budgets(*amounts, unit="money"):
    windows = ("day", "week", "month", "total")
    return {"budgets": [{"unit": unit, "window": it, "amount": a} for it, a in zip(windows, amounts, strict=False)]}


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "subject_id"), SUBJECTS)
def test_limits_that_are_put_are_answered_with_how_the_budgets_stand(admin, kind, subject_id):
    answer = admin.put(f"{LIMITS}/{kind}/{subject_id}", WANTED)

    money, tokens = WANTED["budgets"]
    nothing = {"used": 0, "reserved": 0}
    assert answer.status_code == 200
    assert answer.json == {
        **WANTED,
        "kind": kind,
        "id": subject_id,
        "budgets": [
            {**money, **nothing, "left": 2.5, "resets_at": "2026-12-01T00:00:00Z"},
            {**tokens, **nothing, "left": 1_000, "resets_at": None},
        ],
    }
    assert admin.get(f"{LIMITS}/{kind}/{subject_id}").json == answer.json
    assert admin.get(f"{LIMITS}?kind={kind}").json == {
        "data": [{**WANTED, "kind": kind, "id": subject_id}],
        "next_cursor": None,
    }


def test_use_is_shown_in_the_unit_of_the_budget(admin):
    entry = an_entry(charged=1_250_000_000)
    admin.world.begin.rows.ledger[entry.request_id, 0, entry.kind] = entry
    money, tokens = admin.put(f"{LIMITS}/user/usr_1", WANTED).json["budgets"]

    assert (money["used"], money["left"]) == (1.25, 1.25)
    assert (tokens["used"], tokens["left"]) == (15, 985)


@pytest.mark.parametrize(("kind", "subject_id"), SUBJECTS)
def test_what_has_no_limits_says_so(admin, kind, subject_id):
    answer = admin.get(f"{LIMITS}/{kind}/{subject_id}")

    assert answer.json == {**NOTHING, "kind": kind, "id": subject_id}


def test_a_put_replaces_everything(admin):
    admin.put(f"{LIMITS}/user/usr_1", WANTED)
    answer = admin.put(f"{LIMITS}/user/usr_1", {"rpm": 5})

    assert answer.json == {**NOTHING, "rpm": 5, "kind": "user", "id": "usr_1"}
    assert admin.put(f"{LIMITS}/user/usr_1", {}).json["rpm"] is None
    assert admin.get(f"{LIMITS}?kind=user").json["data"] == []


def test_limited_subjects_are_listed_by_id_in_pages(admin):
    for number in range(5):
        admin.world.begin.rows.limits[Kind.KEY, f"key_{number}"] = Limits(rpm=number)
    first = admin.get(f"{LIMITS}?kind=key&limit=3").json
    second = admin.get(f"{LIMITS}?kind=key&limit=3&cursor={first['next_cursor']}").json

    assert [it["id"] for it in first["data"] + second["data"]] == [f"key_{number}" for number in range(5)]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("written", "nano"),
    [
        (0, 0),
        (0.1, 100_000_000),
        (0.000000001, 1),
        (0.3, 300_000_000),
        (1234.123456789, 1_234_123_456_789),
        (999999.999999999, 999_999_999_999_999),
        (9_000_000_000, 9_000_000_000_000_000_000),
    ],
)
def test_money_is_exact_to_the_nano_unit(written, nano):
    assert LimitsIn().load(_budgets(written)).budgets == (Budget(Unit.MONEY, Window.DAY, nano),)


def test_money_comes_back_as_it_was_written(admin):
    answer = admin.put(f"{LIMITS}/user/usr_1", _budgets(0.000000001, 1234.123456789, 999999.999999999, 0.3))

    amounts = [Decimal(str(it["amount"])) for it in answer.json["budgets"]]
    assert amounts == [Decimal(it) for it in ("0.000000001", "1234.123456789", "999999.999999999", "0.3")]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (_budgets(-0.01), "budgets.0.amount"),
        (_budgets(1, 0.0000000001), "budgets.1.amount"),
        (_budgets(12345678.123456789), "budgets.0.amount"),
        (_budgets(9_000_000_001), "budgets.0.amount"),
        (_budgets("1"), "budgets.0.amount"),
        (_budgets(True), "budgets.0.amount"),
        (_budgets(None), "budgets.0.amount"),
        (_budgets(1.5, unit="tokens"), "budgets.0.amount"),
        (_budgets(1, unit="requests"), "budgets.0.unit"),
        ({"budgets": [{"unit": "money", "window": "hour", "amount": 1}]}, "budgets.0.window"),
        ({"budgets": [{"unit": "money", "window": "day"}]}, "budgets.0.amount"),
        ({"budgets": [{"unit": "money", "window": "day", "amount": 1, "used": 0}]}, "budgets.0.used"),
        ({"budgets": WANTED["budgets"] + WANTED["budgets"][:1]}, "budgets"),
        ({"budgets": WANTED["budgets"] * 5}, "budgets"),
        ({"rpm": 0}, "rpm"),
        ({"tpm": -1}, "tpm"),
        ({"concurrency": 1.0}, "concurrency"),
        ({"rpm": "60"}, "rpm"),
        ({"shadow": 1}, "shadow"),
        ({"kind": "global"}, "kind"),
        ({"user_id": "usr_1"}, "user_id"),
    ],
    ids=str,
)
def test_limits_that_cannot_be_are_refused_by_name(admin, body, param):
    answer = admin.put(f"{LIMITS}/user/usr_1", body)

    assert (answer.status_code, answer.json["error"]["param"]) == (400, param)
    assert admin.world.begin.rows.limits == {}


def test_one_budget_of_each_kind_may_be_put(admin):
    body = {"budgets": [*_budgets(1, 2, 3, 4)["budgets"], *_budgets(1, 2, 3, 4, unit="tokens")["budgets"]]}

    assert len(admin.put(f"{LIMITS}/global/all", body).json["budgets"]) == 8


@pytest.mark.parametrize(
    "subject",
    [
        "key/key_9",
        "user/usr_9",
        "team/team_9",
        "global/usr_1",
        "global/global",
        "user/all",
        "robot/usr_1",
        "user/key_1",
    ],
)
def test_limits_of_what_is_not_are_not_found(admin, subject):
    for answer in (admin.get(f"{LIMITS}/{subject}"), admin.put(f"{LIMITS}/{subject}", WANTED)):
        assert (answer.status_code, answer.json["error"]["code"]) == (404, "not_found")
    assert admin.world.begin.rows.limits == {}


@pytest.mark.parametrize("query", ["", "?kind=robot", "?kind=user&kid=x"])
def test_a_list_of_limits_names_its_kind(admin, query):
    assert admin.get(LIMITS + query).status_code == 400


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_is_shown_with_whose_it_is_and_without_its_secret(admin):
    admin.put(f"{LIMITS}/key/key_t", WANTED)
    answer = admin.get(f"{KEYS}?team_id=team_1")

    assert answer.json == {
        "data": [
            {
                "id": "key_t",
                "kid": "t" * 10,
                "last4": a_token(kid="t" * 10)[-4:],
                "name": "laptop",
                "user_id": "usr_1",
                "team_id": "team_1",
                "scopes": [],
                "models": [],
                "limits": WANTED,
                "heartbeats": True,
                "created_at": "2026-11-21T12:00:00Z",
                "expires_at": None,
                "revoked_at": None,
                "replaced_by": None,
                "last_used_at": None,
            }
        ],
        "next_cursor": None,
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["key_t", "key_admin", "key_1"]),
        ("?user_id=usr_1", ["key_t", "key_1"]),
        ("?team_id=team_1", ["key_t"]),
        ("?user_id=usr_admin&team_id=team_1", []),
        ("?user_id=nobody", []),
    ],
)
def test_keys_are_everybodys_or_those_of_a_user_or_team(admin, query, found):
    assert [key["id"] for key in admin.get(KEYS + query).json["data"]] == found


def test_keys_come_in_pages(admin):
    first = admin.get(f"{KEYS}?limit=2").json
    second = admin.get(f"{KEYS}?limit=2&cursor={first['next_cursor']}").json

    assert [key["id"] for key in first["data"] + second["data"]] == ["key_t", "key_admin", "key_1"]
    assert second["next_cursor"] is None


def test_a_revoked_key_stops(admin):
    mine = {"Authorization": f"Bearer {admin.token}"}
    assert admin.anonymous().get("/api/v1/usage", headers=mine).status_code == 200

    assert admin.delete(f"{KEYS}/key_1").status_code == 204
    assert admin.anonymous().get("/api/v1/usage", headers=mine).status_code == 401
    assert admin.delete(f"{KEYS}/key_1").status_code == 204
    assert admin.delete(f"{KEYS}/key_9").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{LIMITS}?kind=user"),
        ("GET", f"{LIMITS}/user/usr_1"),
        ("PUT", f"{LIMITS}/user/usr_1"),
        ("PUT", f"{LIMITS}/global/all"),
        ("GET", KEYS),
        ("DELETE", f"{KEYS}/key_1"),
    ],
)
def test_nobody_sets_their_own_limits_or_sees_others_keys(site, method, path):
    body = {"json": WANTED} if method == "PUT" else {}
    answer = site.client.open(path, method=method, headers=site.headers, **body)

    assert (answer.status_code, answer.json["error"]["code"]) == (403, "forbidden")
    assert (site.world.begin.rows.limits, site.world.begin.rows.audit) == ({}, {})


def test_administrators_are_not_exempt(admin):
    admin.put(f"{LIMITS}/user/usr_admin", {"rpm": 7})

    with admin.world.begin() as work:
        record = work.keys.by_kid("admin00000")
    assert record is not None
    assert [bound.limits for bound in record.bounds] == [replace(NO_LIMITS, rpm=7)]

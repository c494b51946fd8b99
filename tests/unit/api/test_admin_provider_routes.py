"""`/admin/providers` and `/admin/prices`."""

from dataclasses import replace

import pytest

from application.live import PURPOSE
from domain.user import Role

CREDENTIALS = "/api/v1/admin/providers/credentials"
PRICES = "/api/v1/admin/prices"
SECRET = "sk-0123456789abcdef"
BODY = {"provider": "acme", "name": "first", "secret": SECRET, "base_url": "https://acme.example/v1"}


@pytest.fixture
def admin(site):
    users = site.world.begin.rows.users
    users["usr_1"] = replace(users["usr_1"], role=Role.ADMIN)
    return site


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/admin/providers"),
        ("GET", CREDENTIALS),
        ("POST", CREDENTIALS),
        ("PATCH", f"{CREDENTIALS}/cred_1"),
        ("DELETE", f"{CREDENTIALS}/cred_1"),
        ("GET", PRICES),
        ("POST", PRICES),
        ("GET", f"{PRICES}/history"),
    ],
)
def test_all_of_it_is_for_administrators(site, method, path):
    assert site.client.open(path, method=method, headers=site.headers, json={}).status_code == 403
    assert site.anonymous().open(path, method=method, json={}).status_code == 401


def test_providers_are_listed_with_what_turns_them_on(admin):
    assert admin.get("/api/v1/admin/providers").json == {
        "data": [{"name": "acme", "base_url": "https://acme.example/v1", "sources": ["file"], "models": 1}]
    }


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_goes_in_and_never_comes_out(admin):
    made = admin.post(CREDENTIALS, BODY)

    assert made.status_code == 201
    assert made.json == {
        "id": made.json["id"],
        "provider": "acme",
        "name": "first",
        "last4": "cdef",
        "base_url": "https://acme.example/v1",
        "disabled": False,
        "created_at": "2026-11-21T12:00:00Z",
        "created_by": "usr_1",
    }
    answers = [
        made,
        admin.get(CREDENTIALS),
        admin.patch(f"{CREDENTIALS}/{made.json['id']}", {"name": "second"}),
        admin.get("/api/v1/admin/providers"),
    ]
    assert all(SECRET[:-4] not in answer.text and "sealed" not in answer.text for answer in answers)
    assert answers[1].json == {"data": [made.json]}
    stored = admin.world.begin.rows.credentials[made.json["id"]]
    assert admin.world.vault.open(PURPOSE, stored.sealed) == SECRET


def test_nothing_of_a_short_key_is_shown(admin):
    assert admin.post(CREDENTIALS, {"provider": "acme", "secret": "sk-01234567"}).json["last4"] == ""


def test_a_key_is_changed_and_deleted(admin):
    path = f"{CREDENTIALS}/{admin.post(CREDENTIALS, BODY).json['id']}"

    assert admin.patch(path, {"disabled": True}).json["disabled"] is True
    assert admin.patch(path, {}).json["name"] == "first"
    assert admin.delete(path).status_code == 204
    assert admin.delete(path).status_code == 404
    assert admin.patch(path, {"name": "x"}).status_code == 404


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"provider": "nobody"}, "provider"),
        ({"secret": ""}, "secret"),
        ({"secret": None}, "secret"),
        ({"secret": f"{SECRET} x"}, "secret"),
        ({"secret": f"{SECRET}\r\nHost: evil"}, "secret"),
        ({"secret": SECRET * 60}, "secret"),
        ({"base_url": "http://llm.example.com"}, "base_url"),
        ({"base_url": f"https://user:{SECRET}@llm.example.com"}, "base_url"),
        ({"name": "n" * 201}, "name"),
        ({"api_base": "https://evil.example"}, "api_base"),
        ({"sealed": "x"}, "sealed"),
        ({"disabled": True}, "disabled"),
    ],
)
def test_what_is_wrong_is_named_and_not_repeated(admin, change, param):
    answer = admin.post(CREDENTIALS, {**BODY, **change})

    assert (answer.status_code, answer.json["error"]["param"]) == (400, param)
    assert SECRET not in answer.text
    assert admin.world.begin.rows.credentials == {}


@pytest.mark.parametrize("name", ["secret", "provider", "base_url", "last4", "created_by"])
def test_what_a_key_is_cannot_be_changed_afterwards(admin, name):
    path = f"{CREDENTIALS}/{admin.post(CREDENTIALS, BODY).json['id']}"
    before = dict(admin.world.begin.rows.credentials)

    answer = admin.patch(path, {name: "https://evil.example"})

    assert (answer.status_code, answer.json["error"]["code"]) == (400, "unknown_field")
    assert admin.world.begin.rows.credentials == before


def test_the_audit_log_names_the_caller_and_the_request(admin):
    made = admin.post(CREDENTIALS, BODY)

    (entry,) = admin.world.begin.rows.audit.values()
    assert (entry.action, entry.object_id) == ("credential.create", made.json["id"])
    assert (entry.actor.user_id, entry.actor.key_id) == ("usr_1", "key_1")
    assert entry.actor.request_id == made.headers["X-Request-Id"]


# ── prices ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_prices_in_force_are_listed(admin):
    assert admin.get(PRICES).json == {
        "data": [
            {
                "model": "acme/large",
                "input": 0.001,
                "output": 0.002,
                "cached_input": None,
                "cache_write": None,
                "reasoning": None,
                "image": None,
            }
        ]
    }


def test_an_image_has_a_price_of_its_own_that_may_be_the_only_one(admin):
    made = admin.post(PRICES, {"model": "acme/paint", "image": 0.04})

    assert (made.status_code, made.json["input"], made.json["output"], made.json["image"]) == (201, 0.0, 0.0, 0.04)
    (stored,) = admin.world.begin.rows.prices.values()
    assert (stored.input, stored.output, stored.image) == (0, 0, 40_000_000)
    (entry,) = admin.world.begin.rows.audit.values()
    assert entry.after["image"] == 40_000_000


@pytest.mark.parametrize(
    ("written", "nano"),
    [
        ("0.15", 150_000_000),
        ("0.1", 100_000_000),
        ("0.000000001", 1),
        ("1e-9", 1),
        ("999999.999999999", 999_999_999_999_999),
        ("1000000", 10**15),
        ("0", 0),
        ("123456.789012345", 123_456_789_012_345),
    ],
)
def test_a_price_is_stored_exactly_as_it_was_written(admin, written, nano):
    body = f'{{"model": "acme/large", "input": {written}, "output": 2, "reasoning": {written}}}'

    made = admin.raw(PRICES, body.encode())

    assert made.status_code == 201
    (stored,) = admin.world.begin.rows.prices.values()
    assert (stored.input, stored.output, stored.reasoning, stored.cached_input) == (nano, 2 * 10**9, nano, None)
    assert made.json["input"] == float(written)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": -1}, "input"),
        ({"input": 1_000_001}, "input"),
        ({"input": 0.0000000001}, "input"),
        ({"input": "1"}, "input"),
        ({"input": True}, "input"),
        ({"input": None}, "input"),
        ({"cached_input": 1e300}, "cached_input"),
        ({"cached_input": 10**18}, "cached_input"),
        ({"model": "large"}, "model"),
        ({"model": "nobody/large"}, "model"),
        ({"model": "acme/" + "x" * 196}, "model"),
        ({"remove": True}, "remove"),
        ({"remove": 1}, "remove"),
        ({"per": "token"}, "per"),
    ],
)
def test_anything_else_is_no_price(admin, change, param):
    answer = admin.post(PRICES, {"model": "acme/large", "input": 1, "output": 2, **change})

    assert (answer.status_code, answer.json["error"]["param"]) == (400, param)
    assert admin.world.begin.rows.prices == {}


@pytest.mark.parametrize(("body", "param"), [({"output": 1}, "input"), ({"input": 1}, "output"), ({}, "input")])
def test_a_price_needs_both_directions(admin, body, param):
    answer = admin.post(PRICES, {"model": "acme/large", **body})

    assert (answer.status_code, answer.json["error"]["param"]) == (400, param)


def test_prices_have_a_history(admin):
    admin.post(PRICES, {"model": "acme/large", "input": 1, "output": 2})
    admin.post(PRICES, {"model": "acme/small", "input": 3, "output": 4})
    gone = admin.post(PRICES, {"model": "acme/large", "remove": True})
    assert (gone.status_code, gone.json["input"], gone.json["output"]) == (201, None, None)

    newest = admin.get(f"{PRICES}/history?limit=2").json
    older = admin.get(f"{PRICES}/history?limit=2&cursor={newest['next_cursor']}").json
    of_one = admin.get(f"{PRICES}/history?model=acme/large").json

    assert [it["model"] for it in newest["data"] + older["data"]] == ["acme/large", "acme/small", "acme/large"]
    assert older["next_cursor"] is None
    assert [it["input"] for it in of_one["data"]] == [None, 1]
    assert of_one["data"][0] == gone.json
    assert gone.json["by"] == "usr_1"

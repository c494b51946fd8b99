"""Models, usage, the caller's key and health."""

from datetime import UTC, datetime

import pytest

from domain.limits import Budget, Kind, Limits, Unit, Window
from domain.user import Scope
from tests.builders import a_deployment, a_key, a_token
from tests.fakes import MemoryModels

COMPLETION = {"model": "acme/large", "messages": [{"role": "user", "content": "Hello"}]}
MODEL = {
    "id": "acme/large",
    "object": "model",
    "created": 0,
    "owned_by": "acme",
    "context_window": 8_192,
    "max_output_tokens": None,
    "capabilities": ["chat", "stream"],
    "pricing": {"input": 0.001, "cached_input": None, "cache_write": None, "output": 0.002, "reasoning": None},
}


def _key_with(site, **fields):
    token = a_token(kid="z" * 10)
    with site.world.begin() as work:
        work.keys.add(a_key(token, id="key_2", **fields))
    return {"Authorization": f"Bearer {token}"}


def test_models_are_listed_in_openais_shape_with_what_one_has_to_know(site):
    assert site.get("/api/v1/models").json == {"object": "list", "data": [MODEL]}


def test_a_model_whose_price_is_unknown_has_none(site):
    models = MemoryModels(a_deployment(site.world.model, "acme/hub/free"))
    object.__setattr__(site.world.catalog, "catalog", models)

    assert site.get("/api/v1/models").json["data"][0]["pricing"] is None


def test_a_model_is_read_by_an_id_with_slashes(site):
    models = MemoryModels(a_deployment(site.world.model, "acme/hub/large"))
    object.__setattr__(site.world.catalog, "catalog", models)

    assert site.get("/api/v1/models/acme/hub/large").json["id"] == "acme/hub/large"
    assert site.get("/api/v1/models/acme%2Fhub%2Flarge").json["id"] == "acme/hub/large"


def test_a_model_that_the_key_may_not_use_does_not_exist(site):
    headers = _key_with(site, models=("acme/small",))

    assert site.anonymous().get("/api/v1/models", headers=headers).json["data"] == []
    answer = site.anonymous().get("/api/v1/models/acme/large", headers=headers)
    assert answer.status_code == 404
    assert answer.json["error"]["code"] == "model_not_found"


def test_a_key_tells_its_own_limits_and_not_its_secret(site):
    headers = _key_with(
        site,
        name="ci",
        scopes=frozenset({Scope.USAGE_READ, Scope.CHAT}),
        models=("acme/*",),
        expires_at=datetime(2027, 1, 1, tzinfo=UTC),
    )
    with site.world.begin() as work:
        work.limits.put(Kind.KEY, "key_2", Limits(60, 10_000, 4, (Budget(Unit.MONEY, Window.MONTH, 2_500_000_000),)))
    answer = site.anonymous().get("/api/v1/key", headers=headers)

    told = answer.json
    assert told.pop("use")["today"]["requests"] == 0
    assert told.pop("rest") is None, "nothing counts requests here"
    (budget,) = told.pop("budgets")
    assert budget["amount"] == 2.5
    assert told == {
        "id": "key_2",
        "kid": "z" * 10,
        "last4": a_token(kid="z" * 10)[-4:],
        "name": "ci",
        "user_id": "usr_1",
        "team_id": None,
        "scopes": ["chat", "usage:read"],
        "models": ["acme/*"],
        "limits": {
            "rpm": 60,
            "tpm": 10_000,
            "concurrency": 4,
            "budgets": [{"unit": "money", "window": "month", "amount": 2.5}],
            "shadow": False,
        },
        "heartbeats": True,
        "expires_at": "2027-01-01T00:00:00Z",
        "revoked_at": None,
        "replaced_by": None,
        "last_used_at": "2026-11-21T12:00:00Z",
        "created_at": "2026-11-21T12:00:00Z",
    }
    assert "s" * 43 not in answer.text


def test_a_key_tells_what_is_left_of_every_budget_that_it_is_under(site):
    day, ever = Budget(Unit.MONEY, Window.DAY, 100), Budget(Unit.TOKENS, Window.TOTAL, 20)
    site.post("/api/v1/chat/completions", COMPLETION)
    with site.world.begin() as work:
        work.limits.put(Kind.KEY, "key_1", Limits(budgets=(day,)))
        work.limits.put(Kind.GLOBAL, "", Limits(budgets=(ever,)))

    own, everybodys = site.get("/api/v1/key").json["budgets"]
    assert own == {
        "of": "key",
        "unit": "money",
        "window": "day",
        "amount": 1e-07,
        "used": 1.8e-08,
        "reserved": 0,
        "left": 8.2e-08,
        "resets_at": "2026-11-22T00:00:00Z",
    }
    assert (everybodys["of"], everybodys["used"], everybodys["left"], everybodys["resets_at"]) == (
        "global",
        15,
        5,
        None,
    )


def test_a_login_has_no_key_to_tell_about(site):
    assert site.ask("GET", "/api/v1/key", site.login()).status_code == 404


def test_usage_sums_up_by_time_day_model_and_key(site):
    site.post("/api/v1/chat/completions", COMPLETION)
    site.post("/api/v1/chat/completions", COMPLETION)
    total = {
        "requests": 2,
        "prompt_tokens": 24,
        "completion_tokens": 6,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "cost": 3.6e-08,
        "unpriced_requests": 0,
    }

    assert site.get("/api/v1/usage").json == {
        "today": total,
        "week": total,
        "month": total,
        "total": total,
        "days": [{"date": "2026-11-21", "total": total}],
        "models": [{"model": "acme/large", "total": total}],
        "keys": [{"key_id": "key_1", "total": total}],
    }


def test_records_list_every_request_newest_first(site):
    ids = [site.post("/api/v1/chat/completions", COMPLETION).headers["X-Request-Id"] for _ in range(3)]
    first = site.get("/api/v1/usage/records?limit=2").json
    second = site.get(f"/api/v1/usage/records?limit=2&cursor={first['next_cursor']}").json

    assert [record["request_id"] for record in first["data"] + second["data"]] == ids[::-1]
    assert second["next_cursor"] is None
    assert first["data"][0] == {
        "request_id": ids[2],
        "created_at": "2026-11-21T12:00:00Z",
        "model": "acme/large",
        "model_requested": "acme/large",
        "key_id": "key_1",
        "session_id": None,
        "state": "completed",
        "streamed": False,
        "cache_hit": False,
        "images": 0,
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "total_tokens": 15,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "source": "provider",
        "cost": 1.8e-08,
        "duration_ms": 0,
        "first_token_ms": None,
        "error_code": None,
    }


def test_a_living_process_says_so(site):
    assert site.anonymous().get("/livez").json == {"status": "ok"}


def test_a_ready_process_names_its_schema_and_configuration(site):
    answer = site.anonymous().get("/readyz")

    assert answer.status_code == 200
    assert answer.json == {"status": "ready", "failed": {}, "degraded": {}, "schema": "0001", "config": "c0ffee"}


@pytest.mark.parametrize(
    ("part", "status", "told"),
    [("optional", 200, {"failed": {}, "degraded": {"x": "down"}}), ("required", 503, {"failed": {"x": "down"}})],
)
def test_what_is_missing_is_named_and_only_the_required_makes_it_unready(site, health, part, status, told):
    getattr(health, part)["x"] = lambda: "down"
    answer = site.anonymous().get("/readyz")

    assert answer.status_code == status
    assert told.items() <= answer.json.items()


def test_a_process_that_shuts_down_gets_no_more_traffic(site):
    site.world.in_flight.draining = True

    assert site.anonymous().get("/readyz").status_code == 503
    assert site.anonymous().get("/livez").status_code == 200

import pytest
from flask import Flask

from api.auth import AUTHENTICATED, PUBLIC, policy_of, refuse_undeclared, requires, undeclared
from api.wiring import init_api
from domain.errors import DatabaseUnavailable
from domain.user import Role, Scope
from tests.builders import a_key, a_token, a_user

PUBLIC_ENDPOINTS = {"health.livez", "health.readyz", "docs.openapi", "docs.page", "docs.asset"}


def test_every_endpoint_declares_who_may_use_it(app: Flask):
    assert undeclared(app) == []


def test_only_these_endpoints_are_public(app: Flask):
    assert {name for name in app.view_functions if policy_of(app, name) == PUBLIC} == PUBLIC_ENDPOINTS


def test_an_endpoint_that_declares_nothing_stops_the_start(app: Flask):
    app.add_url_rule("/gap", "gap", lambda: "open")

    assert undeclared(app) == ["gap"]
    with pytest.raises(RuntimeError, match="gap"):
        refuse_undeclared(app)


def test_an_api_with_a_gap_is_not_even_put_together(container):
    app = Flask("parley", static_folder=None)
    app.extensions["parley"] = container
    app.add_url_rule("/gap", "gap", lambda: "open")

    with pytest.raises(RuntimeError, match="gap"):
        init_api(app)


def test_an_endpoint_that_declares_nothing_is_refused_to_everyone(app: Flask, site):
    app.add_url_rule("/gap", "gap", lambda: "open")

    assert site.anonymous().get("/gap").status_code == 401
    assert site.get("/gap").status_code == 403


def _rules(app: Flask):
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<path:", "<").replace("<session_id>", "sess_1").replace("<request_id>", "req_1")
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield method, path.replace("<model_id>", "acme/large").replace("<name>", "docs.css"), rule.endpoint


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": a_token()},
        {"Authorization": f"Basic {a_token()}"},
        {"Authorization": f"Token {a_token()}"},
        {"Authorization": f"Bearer  {a_token()}"},
        {"Authorization": f"Bearer {a_token()} "},
        {"Authorization": f"Bearer {a_token()},Bearer {a_token()}"},
        {"Authorization": f"Bearer {a_token()[:-1]}"},
        {"Authorization": f"Bearer {a_token(kid='0123456789')}"},
        {"Authorization": f"Bearer {a_token(secret='t' * 43)}"},
        {"Authorization": "Bearer ' OR 1=1 --"},
        {"Authorization": "Bearer " + "x" * 7_000},
        {"x-api-key": a_token()},
        {"Cookie": f"token={a_token()}"},
        {"X-Forwarded-User": "admin", "X-Original-URL": "/livez", "X-HTTP-Method-Override": "GET"},
    ],
    ids=lambda headers: next(iter(f"{name}: {value[:24]}" for name, value in headers.items()), "nothing"),
)
def test_without_a_valid_credential_in_the_one_form_nothing_but_the_public_answers(app: Flask, site, headers):
    for method, path, endpoint in _rules(app):
        answer = site.anonymous().open(path, method=method, headers=headers)
        if endpoint in PUBLIC_ENDPOINTS:
            assert answer.status_code == 200
        else:
            assert answer.status_code == 401, (method, path)
            assert answer.json["error"]["code"] == "unauthenticated"
            assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_in_the_query_is_no_credential(site):
    assert site.anonymous().get(f"/api/v1/key?token={a_token()}&access_token={a_token()}").status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_written_in_any_case(site, scheme):
    answer = site.anonymous().get("/api/v1/key", headers={"Authorization": f"{scheme} {site.token}"})

    assert answer.status_code == 200


def _key_with(site, **fields):
    with site.world.begin() as work:
        token = a_token(kid="z" * 10)
        work.keys.add(a_key(token, id="key_2", **fields))
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/chat/completions"),
        ("POST", "/api/v1/chat"),
        ("POST", "/api/v1/chat/stream"),
        ("POST", "/api/v1/chat/req_1/stop"),
        ("GET", "/api/v1/sessions"),
        ("DELETE", "/api/v1/sessions/sess_1"),
    ],
)
def test_a_key_without_the_chat_scope_is_refused_before_its_body_is_read(site, method, path):
    headers = _key_with(site, scopes=frozenset({Scope.USAGE_READ}))
    answer = site.anonymous().open(path, method=method, headers=headers, data=b"not even json")

    assert answer.status_code == 403
    assert answer.json["error"]["type"] == "permission_error"


def test_a_scope_opens_what_it_names(site):
    headers = _key_with(site, scopes=frozenset({Scope.USAGE_READ}))

    assert site.anonymous().get("/api/v1/usage", headers=headers).status_code == 200


def test_a_scope_beyond_the_role_of_the_user_gives_nothing(site):
    with site.world.begin() as work:
        work.users.add(a_user(id="usr_9", email="viewer@example.org", role=Role.VIEWER))
    headers = _key_with(site, user_id="usr_9", scopes=frozenset({Scope.CHAT}))

    assert site.anonymous().get("/api/v1/sessions", headers=headers).status_code == 403


def test_a_database_that_does_not_answer_is_503_and_not_401(app: Flask, site):
    def fail(kid):
        raise DatabaseUnavailable

    site.world.find_key = fail
    object.__setattr__(site.world.identity, "find_key", fail)
    answer = site.get("/api/v1/key")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"


def test_a_declaration_survives_decorators_above_it():
    @requires(AUTHENTICATED)
    def view():
        """A view."""

    app = Flask("x", static_folder=None)
    app.add_url_rule("/x", "x", view)

    assert policy_of(app, "x") == AUTHENTICATED

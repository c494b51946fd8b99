import re

import pytest
from flask import Flask

from api.auth import AUTHENTICATED, LOGIN, PUBLIC, policy_of, refuse_undeclared, requires, undeclared
from api.wiring import init_api
from domain.errors import DatabaseUnavailable
from domain.user import Role, Scope
from tests.builders import a_key, a_token, a_user

PAGES = {"health.livez", "health.readyz", "docs.openapi", "docs.page", "docs.asset"}
STRANGERS = {
    "accounts.register",
    "accounts.confirm",
    "accounts.forgot_password",
    "accounts.reset_password",
    "logins.log_in",
    "oidc.get_oidc",
    "oidc.start_oidc",
    "oidc.finish_oidc",
}
"""What people without an account, or without their password, can ask for."""
ANTHROPICS = {"messages.create_message", "messages.count_message_tokens"}
"""Here the key may come as `x-api-key`."""


def test_every_endpoint_declares_who_may_use_it(site):
    assert undeclared(site.app) == []


def test_only_these_endpoints_are_public(site):
    assert {name for name in site.app.view_functions if policy_of(site.app, name) == PUBLIC} == PAGES | STRANGERS


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
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda it: "docs.css" if it[1] == "name" else "none", rule.rule)
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield method, path, rule.endpoint


ODD_CREDENTIALS = [
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
    {"Authorization": f"Bearer\t{a_token()}"},
    {"Authorization": f"Bearer {a_token()}\t"},
    {"Authorization": f"Bearer {a_token().upper()}"},
    {"Authorization": f"Bearer {a_token()}, Bearer {a_token()}"},
    {"Authorization": f"Bearer {a_token(environment='login')}"},
    {"Authorization": f"Bearer {a_token(kid='0123456789')}"},
    {"Authorization": f"Bearer {a_token(secret='t' * 43)}"},
    {"Authorization": "Bearer ' OR 1=1 --"},
    {"Authorization": "Bearer " + "x" * 7_000},
    {"x-api-key": a_token()},
    {"Cookie": f"token={a_token()}"},
    {"Cookie": f"sid={a_token()}"},
    {"X-Forwarded-User": "admin", "X-Original-URL": "/livez", "X-HTTP-Method-Override": "GET"},
]
A_FEW = [{}, {"Authorization": f"Bearer {a_token(secret='t' * 43)}"}, {"x-api-key": a_token()}]


def _name(headers: dict[str, str]) -> str:
    return next(iter(f"{name}: {value[:24]}" for name, value in headers.items()), "nothing")


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/key"), ("POST", "/api/v1/chat")])
def test_a_credential_has_the_one_form_or_is_none(site, method, path):
    for headers in ODD_CREDENTIALS:
        answer = site.anonymous().open(path, method=method, headers=headers)
        assert answer.status_code == 401, _name(headers)
        assert answer.json["error"]["code"] == "unauthenticated"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("headers", A_FEW, ids=_name)
def test_without_a_valid_credential_nothing_but_the_public_answers(site, headers):
    for method, path, endpoint in _rules(site.app):
        site.world.begin.rows.throttles.clear()
        answer = site.anonymous().open(path, method=method, headers=headers)
        if endpoint in PAGES:
            assert answer.status_code == 200
        elif endpoint in STRANGERS:
            assert answer.status_code in {404, 415}, (method, path)
        elif endpoint in ANTHROPICS and "x-api-key" in headers:
            assert answer.status_code == 415, (method, path)
        else:
            assert answer.status_code == 401, (method, path)


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
        ("POST", "/api/v1/responses"),
        ("POST", "/api/v1/messages"),
        ("POST", "/api/v1/messages/count_tokens"),
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


def test_a_database_that_does_not_answer_is_503_and_not_401(site):
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


# ── the cookie ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_login_is_a_credential_by_token_and_by_cookie(site):
    token = site.login()

    assert site.ask("GET", "/api/v1/me", token).json["id"] == "usr_1"
    assert site.anonymous().get("/api/v1/me", headers={"Cookie": f"__Host-sid={token}"}).json["id"] == "usr_1"


@pytest.mark.parametrize("cookie", ["", "x", a_token(), a_token(environment="login")])
def test_a_cookie_that_is_no_login_is_no_credential(site, cookie):
    for method, path in (("GET", "/api/v1/me"), ("POST", "/api/v1/sessions")):
        answer = site.anonymous().open(path, method=method, headers=site.page_headers(cookie))
        assert answer.status_code == 401


def test_two_cookies_of_the_name_are_none(site):
    token = site.login()

    assert (
        site.anonymous().get("/api/v1/me", headers={"Cookie": f"__Host-sid={token}; __Host-sid=x"}).status_code == 401
    )


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Basic eDp5"])
def test_with_any_authorization_the_cookie_does_not_count(site, authorization):
    headers = {**site.page_headers(site.login()), "Authorization": authorization}

    assert site.anonymous().get("/api/v1/me", headers=headers).status_code == 401


def test_with_a_good_token_a_bad_cookie_does_no_harm(site):
    answer = site.post("/api/v1/sessions", {}, headers={"Cookie": "__Host-sid=x", "Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 201


def test_a_page_of_our_own_may_change_things(site):
    answer = site.anonymous().post("/api/v1/sessions", headers=site.page_headers(site.login()), json={})

    assert answer.status_code == 201


@pytest.mark.parametrize("missing", ["Sec-Fetch-Site", "X-CSRF-Token"])
def test_a_request_that_another_site_made_a_browser_send_is_refused_before_anything_is_looked_up(site, missing):
    headers = site.page_headers(site.login())
    del headers[missing]
    begun = site.world.begin.begun
    answer = site.anonymous().post("/api/v1/sessions", headers=headers, json={})

    assert answer.status_code == 403
    assert answer.json["error"]["code"] == "csrf_rejected"
    assert site.world.begin.begun == begun


def test_no_route_lets_a_cookie_change_something_without_proof(site):
    cookie = {"Cookie": f"__Host-sid={site.login()}"}
    before = site.world.begin.rows.copy()
    refused = [
        site.anonymous().open(path, method=method, headers=cookie, json={}).status_code
        for method, path, endpoint in _rules(site.app)
        if method != "GET" and endpoint not in STRANGERS
    ]

    assert len(refused) > 20
    assert set(refused) == {403}
    assert site.world.begin.rows == before


def test_a_login_has_the_rights_of_the_role(site):
    token = site.login()

    assert site.ask("GET", "/api/v1/sessions", token).status_code == 200
    with site.world.begin() as work:
        work.users.save(a_user(role=Role.VIEWER))
    assert site.ask("GET", "/api/v1/sessions", token).status_code == 403


def test_what_is_about_the_person_is_not_for_keys(site):
    personal = [
        site.anonymous().open(path, method=method, headers=site.headers, json={})
        for method, path, endpoint in _rules(site.app)
        if policy_of(site.app, endpoint) == LOGIN
    ]

    assert len(personal) > 10
    assert {answer.status_code for answer in personal} == {403}


def test_a_login_that_ended_or_ran_out_is_no_credential(site):
    ended, idle = site.login(), site.login()
    site.ask("POST", "/api/v1/auth/logout", ended)

    assert site.ask("GET", "/api/v1/me", ended).status_code == 401
    site.world.clock.advance(8 * 3600)
    assert site.ask("GET", "/api/v1/me", idle).status_code == 401


def test_whoever_guesses_credentials_waits(site):
    guess = {"Authorization": f"Bearer {a_token(secret='t' * 43)}"}
    answers = [site.anonymous().get("/api/v1/key", headers=guess) for _ in range(21)]

    assert [answer.status_code for answer in answers] == [401] * 20 + [429]
    assert answers[-1].headers["Retry-After"] == "60"

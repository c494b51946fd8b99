"""The routes of logins, the second factor and the identity provider: tokens, cookies, redirects."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from dependency_injector import providers

from application.logins import NewLogin
from domain.errors import InvalidCredentials, OidcUnavailable, ParleyError
from domain.user import Role
from tests.builders import a_user
from tests.fakes import CountedCodes

PASSWORD = "an extraordinary sentence"
RIGHT = {"email": "ada@example.org", "password": PASSWORD}
ORIGIN = "https://parley.example.org"
COOKIE = "Path=/; Secure; HttpOnly; SameSite=Lax"
PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def site(site):
    """Ada has a password."""
    with site.world.begin() as work:
        work.users.save(a_user(password_hash=f"plain:{PASSWORD}"))
    return site


def log_in(site, json=None, **headers):
    return site.anonymous().post("/api/v1/auth/login", json=json or RIGHT, headers=headers)


def code(site, steps: int = 0) -> str:
    return CountedCodes.code(int(site.world.clock.now().timestamp()) // 30 + steps)


# ── logging in ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_login_answers_with_a_token(site):
    answer = log_in(site)
    told = answer.json
    token = told.pop("access_token")

    assert answer.status_code == 200
    assert told.pop("user")["email"] == "ada@example.org"
    assert told == {"token_type": "Bearer", "expires_in": 8 * 3600, "csrf_token": None}
    assert "Set-Cookie" not in answer.headers
    assert site.ask("GET", "/api/v1/me", token).status_code == 200


def test_a_login_of_an_administrator_ends_sooner(site):
    with site.world.begin() as work:
        work.users.save(a_user(password_hash=f"plain:{PASSWORD}", role=Role.ADMIN))

    assert log_in(site).json["expires_in"] == 1_800


def test_a_page_gets_the_token_as_a_cookie_that_no_script_can_read(site):
    answer = log_in(site, {**RIGHT, "cookie": True}, **PAGE)
    (cookie,) = answer.headers.getlist("Set-Cookie")
    value, _, attributes = cookie.partition("; ")
    name, _, token = value.partition("=")

    assert (name, attributes) == ("__Host-sid", COOKIE)
    assert answer.json["access_token"] is None
    assert token not in answer.text
    proof = {"Cookie": value, **PAGE, "X-CSRF-Token": answer.json["csrf_token"]}
    assert site.anonymous().patch("/api/v1/me", headers=proof, json={"name": "Ada"}).status_code == 200


def test_every_login_has_a_token_of_its_own_whatever_cookie_came_along(site):
    planted = site.login()
    answer = log_in(site, {**RIGHT, "cookie": True}, **PAGE, Cookie=f"__Host-sid={planted}")

    assert planted not in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_no_other_site_logs_anybody_in(site, headers):
    answer = log_in(site, {**RIGHT, "cookie": True}, **headers)

    assert (answer.status_code, answer.json["error"]["code"]) == (403, "csrf_rejected")
    assert "Set-Cookie" not in answer.headers
    assert site.world.passwords.hashed == 0


def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(site):
    wrong, unknown = (log_in(site, {**RIGHT, **it}) for it in ({"password": "x"}, {"email": "b@b.org"}))

    assert (wrong.status_code, wrong.json["error"]["code"]) == (401, "invalid_credentials")
    assert {**wrong.json["error"], "request_id": ""} == {**unknown.json["error"], "request_id": ""}
    assert len(wrong.data) == len(unknown.data)
    assert site.world.passwords.hashed == 2


def test_whoever_guesses_waits(site):
    answers = [log_in(site, {**RIGHT, "password": "x"}) for _ in range(6)]

    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1


def test_a_body_that_is_not_as_documented_is_refused(site):
    bad = [
        ({"password": PASSWORD}, "email"),
        ({**RIGHT, "password": None}, "password"),
        ({**RIGHT, "password": "x" * 1_001}, "password"),
        ({**RIGHT, "cookie": "true"}, "cookie"),
        ({**RIGHT, "code": 123_456}, "code"),
        ({**RIGHT, "code": "1" * 65}, "code"),
        ({**RIGHT, "user_id": "usr_1"}, "user_id"),
        ({**RIGHT, "ip": "192.0.2.1"}, "ip"),
    ]

    for body, param in bad:
        answer = log_in(site, body)
        assert (answer.status_code, answer.json["error"]["param"]) == (400, param), body


# ── logins ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_logout_ends_the_login_of_the_request(site):
    mine, other = site.login(), site.login()
    answer = site.ask("POST", "/api/v1/auth/logout", mine)

    assert (answer.status_code, "Set-Cookie" in answer.headers) == (204, False)
    assert [site.ask("GET", "/api/v1/me", it).status_code for it in (mine, other)] == [401, 200]


def test_a_page_that_logs_out_loses_its_cookie(site):
    headers = site.page_headers(site.login())
    answer = site.anonymous().post("/api/v1/auth/logout", headers=headers)

    assert answer.headers["Set-Cookie"] == f"__Host-sid=; Max-Age=0; {COOKIE}"
    assert site.anonymous().get("/api/v1/me", headers=headers).status_code == 401


def test_logins_are_listed_without_their_tokens(site):
    agent = {"User-Agent": "Browser/1 \x00\u202e" + "x" * 300}
    token = log_in(site, None, **agent).json["access_token"]
    site.world.clock.advance(60)
    second = site.login()
    newer, older = site.ask("GET", "/api/v1/auth/logins", second).json["data"]

    assert (newer["current"], older["current"]) == (True, False)
    assert (older["ip"], older["user_agent"][:9], len(older["user_agent"]) < 201) == ("127.0.0.1", "Browser/1", True)
    assert older["user_agent"].isprintable()
    assert (older["created_at"], older["expires_at"]) == ("2026-11-21T12:00:00Z", "2026-11-21T20:00:00Z")
    assert set(older) == {
        *("id", "current", "ip", "user_agent"),
        *("created_at", "seen_at", "authenticated_at", "expires_at"),
    }
    assert token[-49:] not in str(older)


def test_one_login_or_all_others_are_ended(site):
    mine, second, third = (site.login() for _ in range(3))
    ids = [it["id"] for it in site.ask("GET", "/api/v1/auth/logins", mine).json["data"]]

    assert site.ask("DELETE", f"/api/v1/auth/logins/{ids[1]}", mine).status_code == 204
    assert [site.ask("GET", "/api/v1/me", it).status_code for it in (mine, second, third)] == [200, 401, 200]
    assert site.ask("DELETE", "/api/v1/auth/logins", mine).status_code == 204
    assert [site.ask("GET", "/api/v1/me", it).status_code for it in (mine, third)] == [200, 401]


def test_other_peoples_logins_do_not_exist(site):
    with site.world.begin() as work:
        work.users.add(a_user(id="usr_2", email="eve@example.org"))
    theirs = site.login("usr_2")
    (eves,) = site.ask("GET", "/api/v1/auth/logins", theirs).json["data"]

    for login_id in (eves["id"], "login_9"):
        assert site.ask("DELETE", f"/api/v1/auth/logins/{login_id}", site.login()).status_code == 404
    assert site.ask("GET", "/api/v1/me", theirs).status_code == 200


def test_proving_it_again_makes_a_login_recent(site):
    token = site.login()
    site.world.clock.advance(31 * 60)
    prove = "/api/v1/auth/reauthenticate"

    assert site.ask("POST", "/api/v1/keys", token, {"name": "ci"}).status_code == 403
    assert site.ask("POST", prove, token, {"password": "x"}).status_code == 401
    assert site.ask("POST", prove, token, {"password": PASSWORD, "code": None}).status_code == 204
    assert site.ask("POST", "/api/v1/keys", token, {"name": "ci"}).status_code == 201


# ── the second factor ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_factor_is_switched_on_used_and_switched_off(site):
    token = site.login()
    enrolment = site.ask("POST", "/api/v1/me/totp", token)
    assert enrolment.status_code == 201
    assert enrolment.json["uri"].endswith(enrolment.json["secret"])

    assert site.ask("POST", "/api/v1/me/totp/confirm", token, {"code": "000000"}).status_code == 400
    confirmed = site.ask("POST", "/api/v1/me/totp/confirm", token, {"code": code(site)})
    assert len(confirmed.json["recovery_codes"]) == 10
    assert site.ask("GET", "/api/v1/me", token).json["totp"] is True

    without = log_in(site)
    assert (without.status_code, without.json["error"]["code"]) == (401, "second_factor_required")
    assert log_in(site, {**RIGHT, "code": code(site, 1)}).status_code == 200
    assert log_in(site, {**RIGHT, "code": confirmed.json["recovery_codes"][0]}).status_code == 200

    assert site.ask("DELETE", "/api/v1/me/totp", token).status_code == 204
    assert site.ask("DELETE", "/api/v1/me/totp", token).status_code == 404
    assert log_in(site).status_code == 200


# ── the identity provider ────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class ScriptedOidc:
    """Lets Ada in with the code `good`."""

    site: object
    fails: ParleyError | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def start(self) -> tuple[str, str]:
        return "https://id.example.org/authorize?state=s1", "c2VhbGVk"

    def finish(self, *asked: str) -> NewLogin:
        self.asked.append(asked)
        if self.fails is not None:
            raise self.fails
        with self.site.world.begin() as work:
            return self.site.world.logins.issue(work, work.users.get("usr_1"), *asked[3:])


@pytest.fixture
def oidc(site, stage) -> Iterator[ScriptedOidc]:
    service = ScriptedOidc(site)
    parts = stage.container
    with parts.oidc.override(providers.Object(service)), parts.oidc_label.override(providers.Object("Example")):
        yield service


CALLBACK = "/api/v1/auth/oidc/callback"
GONE = f"__Host-oidc=; Max-Age=0; {COOKIE}"


def come_back(site, query: str = "?state=s1&code=good", cookie: str = "__Host-oidc=c2VhbGVk"):
    return site.anonymous().get(CALLBACK + query, headers={"Cookie": cookie, "User-Agent": "Browser/1"})


@pytest.mark.parametrize("path", ["", "/start", "/callback?state=s1&code=good"])
def test_without_an_identity_provider_there_is_nothing(site, path):
    assert site.anonymous().get(f"/api/v1/auth/oidc{path}").status_code == 404


def test_pages_learn_what_the_button_is_called(site, oidc):
    assert site.anonymous().get("/api/v1/auth/oidc").json == {"label": "Example"}


def test_the_way_leads_to_the_provider_with_a_cookie_to_come_back_with(site, oidc):
    answer = site.anonymous().get("/api/v1/auth/oidc/start")

    assert (answer.status_code, answer.headers["Location"]) == (302, "https://id.example.org/authorize?state=s1")
    assert answer.headers.getlist("Set-Cookie") == [f"__Host-oidc=c2VhbGVk; Max-Age=600; {COOKIE}"]


def test_whoever_comes_back_is_logged_in_by_cookie(site, oidc):
    answer = come_back(site, "?state=s1&code=good&session_state=x&iss=https%3A%2F%2Fid.example.org")
    gone, sid = answer.headers.getlist("Set-Cookie")

    assert (answer.status_code, answer.headers["Location"], answer.data) == (303, f"{ORIGIN}/", b"")
    assert oidc.asked == [("c2VhbGVk", "s1", "good", "127.0.0.1", "Browser/1")]
    assert gone == GONE
    value, _, attributes = sid.partition("; ")
    assert attributes == COOKIE
    assert site.anonymous().get("/api/v1/me", headers={"Cookie": value}).json["id"] == "usr_1"


@pytest.mark.parametrize(
    ("query", "cookie"),
    [
        ("?error=access_denied&state=s1", "__Host-oidc=x"),
        ("?state=s1", "__Host-oidc=x"),
        ("?code=good", "__Host-oidc=x"),
        ("?state=s1&code=good", "other=x"),
        ("?state=s1&code=good", "__Host-oidc="),
    ],
)
def test_whoever_comes_back_with_less_is_sent_to_the_login_page(site, oidc, query, cookie):
    answer = come_back(site, query, cookie)

    assert (answer.status_code, answer.headers["Location"]) == (303, f"{ORIGIN}/login#error=invalid_credentials")
    assert answer.headers.getlist("Set-Cookie") == [GONE]
    assert oidc.asked == []


@pytest.mark.parametrize("error", [InvalidCredentials(), OidcUnavailable()])
def test_what_fails_is_told_to_the_login_page(site, oidc, error):
    oidc.fails = error
    answer = come_back(site)

    assert answer.headers["Location"] == f"{ORIGIN}/login#error={error.code}"
    assert answer.headers.getlist("Set-Cookie") == [GONE]


def test_a_csrf_token_of_before_does_not_fit_the_login_after(site):
    before, after = site.login(), site.login()
    headers = {**site.page_headers(before), "Cookie": f"__Host-sid={after}"}

    assert site.anonymous().post("/api/v1/auth/logout", headers=headers).status_code == 403

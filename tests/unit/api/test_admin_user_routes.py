from datetime import timedelta

import pytest

from application.account_store import SecondFactor
from domain.login import Login
from domain.one_time_token import OneTimeToken, Purpose
from domain.user import Role
from tests.builders import NOW, a_user

USERS, INVITATIONS = "/api/v1/admin/users", "/api/v1/admin/invitations"
ADA = {
    "id": "usr_1",
    "email": "ada@example.org",
    "name": "",
    "role": "member",
    "locale": "en",
    "confirmed": True,
    "totp": False,
    "created_at": "2026-11-21T12:00:00Z",
    "disabled": False,
}


@pytest.fixture
def site(clean_site):
    return clean_site


def _add_login(site, **fields):
    given = {"id": "login_1", "kid": "k" * 10, "user_id": "usr_1", "digest": b"digest"}
    times = {"created_at": NOW, "seen_at": NOW, "authenticated_at": NOW}
    with site.world.begin() as work:
        work.logins.add(Login(**{**given, **times, "ip": "192.0.2.7", "user_agent": "curl/8", **fields}))


def _add_invitations(site, number):
    for index in range(1, number + 1):
        email, digest = f"{index}@example.org", bytes([index])
        times = {"created_at": NOW, "expires_at": NOW + timedelta(days=7)}
        token = OneTimeToken(f"inv_{index}", Purpose.INVITE, digest, email, **times, role=Role.MEMBER)
        site.world.begin.rows.tokens[token.id] = token


def _all(site, path, limit=2):
    seen, cursor = [], None
    while True:
        page = site.get(path, query_string={"limit": limit, **({"cursor": cursor} if cursor else {})}).json
        seen += [item["id"] for item in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return seen


# ── users ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_user_is_shown_without_the_password(admin):
    admin.world.begin.rows.users["usr_1"] = a_user(password_hash="$argon2id$secret")
    answer = admin.get(f"{USERS}/usr_1")

    assert answer.status_code == 200
    assert answer.json == ADA
    assert "argon2" not in admin.get(USERS).text


def test_users_are_listed_in_pages(admin):
    with admin.world.begin() as work:
        for number in range(2, 6):
            work.users.add(a_user(id=f"usr_{number}", email=f"{number}@example.org"))

    assert _all(admin, USERS) == ["usr_admin", "usr_5", "usr_4", "usr_3", "usr_2", "usr_1"]


def test_a_user_is_made_with_what_the_body_says(admin):
    answer = admin.post(USERS, {"email": "New@Example.org", "name": "New", "role": "viewer"})

    assert answer.status_code == 201
    made = {"id": answer.json["id"], "email": "new@example.org", "name": "New", "role": "viewer"}
    assert answer.json == {**ADA, **made}
    assert admin.get(f"{USERS}/{answer.json['id']}").json == answer.json


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"email": "ADA@example.org", "role": "member"}, 409, "email"),
        ({"email": "nobody", "role": "member"}, 400, "email"),
        ({"email": "x@example.org"}, 400, "role"),
        ({"email": "x@example.org", "role": "root"}, 400, "role"),
        ({"email": ["x@example.org"], "role": "member"}, 400, "email"),
        ({"email": "x@example.org", "role": "member", "name": "n" * 201}, 400, "name"),
        ({"email": "x@example.org", "role": "owner"}, 403, None),
    ],
)
def test_a_user_who_cannot_be_is_not_made(admin, body, status, param):
    before = admin.world.begin.rows.copy()
    answer = admin.post(USERS, body)

    assert (answer.status_code, answer.json["error"]["param"]) == (status, param)
    assert admin.world.begin.rows.users == before.users


SERVER_FIELDS = ["id", "created_at", "password_hash", "password", "confirmed", "totp", "email", "locale", "scopes"]


@pytest.mark.parametrize("field", SERVER_FIELDS)
def test_a_change_takes_no_field_that_is_the_servers(admin, field):
    before = admin.world.begin.rows.users["usr_1"]
    answer = admin.patch(f"{USERS}/usr_1", {"name": "Eve", field: True})

    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "unknown_field"
    assert admin.world.begin.rows.users["usr_1"] == before


@pytest.mark.parametrize("change", [{"name": "Countess"}, {"role": "admin"}, {"disabled": True}, {}])
def test_a_change_answers_with_the_user_as_they_are_now(admin, change):
    answer = admin.patch(f"{USERS}/usr_1", change)

    assert answer.status_code == 200
    assert answer.json == {**ADA, **change}
    assert admin.get(f"{USERS}/usr_1").json == answer.json


@pytest.mark.parametrize("change", [{"role": None}, {"name": None}, {"disabled": 1}, {"disabled": "true"}])
def test_a_change_of_another_type_is_refused(admin, change):
    assert admin.patch(f"{USERS}/usr_1", change).status_code == 400


def test_a_disabled_user_is_shut_out(admin):
    mine = {"Authorization": f"Bearer {admin.token}"}
    assert admin.anonymous().get("/api/v1/usage", headers=mine).status_code == 200

    admin.patch(f"{USERS}/usr_1", {"disabled": True})
    assert admin.anonymous().get("/api/v1/usage", headers=mine).status_code == 401


def test_an_administrator_does_not_touch_an_owner(admin):
    with admin.world.begin() as work:
        work.users.add(a_user(id="usr_o", email="owner@example.org", role=Role.OWNER))

    assert admin.get(f"{USERS}/usr_o").status_code == 200
    assert admin.patch(f"{USERS}/usr_o", {"disabled": True}).status_code == 403
    assert admin.delete(f"{USERS}/usr_o").status_code == 403


def test_the_last_owner_cannot_leave(site):
    site.become(Role.OWNER)

    for answer in (site.patch(f"{USERS}/usr_owner", {"role": "member"}), site.delete(f"{USERS}/usr_owner")):
        assert answer.status_code == 409
        assert answer.headers["x-should-retry"] == "false"


def test_a_deleted_user_is_gone(admin):
    answer = admin.delete(f"{USERS}/usr_1")

    assert (answer.status_code, answer.data) == (204, b"")
    assert admin.get(f"{USERS}/usr_1").status_code == 404
    assert "ada@example.org" not in admin.get(USERS).text


# ── logins and second factor ─────────────────────────────────────────────────────────────────────────────────────


def test_logins_of_a_user_are_shown_and_ended(admin):
    _add_login(admin)
    _add_login(admin, id="login_2", kid="l" * 10)
    path = f"{USERS}/usr_1/logins"

    assert _all(admin, path, limit=1) == ["login_2", "login_1"]
    assert admin.get(path).json["data"][1] == {
        "id": "login_1",
        "created_at": "2026-11-21T12:00:00Z",
        "seen_at": "2026-11-21T12:00:00Z",
        "ip": "192.0.2.7",
        "user_agent": "curl/8",
    }
    assert admin.delete(path).status_code == 204
    assert admin.get(path).json == {"data": [], "next_cursor": None}


def test_a_second_factor_is_taken_away_once(admin):
    with admin.world.begin() as work:
        work.users.save(a_user(totp=True))
        work.factors.put(SecondFactor("usr_1", b"sealed", confirmed=True))

    assert admin.delete(f"{USERS}/usr_1/totp").status_code == 204
    assert admin.get(f"{USERS}/usr_1").json["totp"] is False
    assert admin.delete(f"{USERS}/usr_1/totp").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{USERS}/usr_2"),
        ("PATCH", f"{USERS}/usr_2"),
        ("DELETE", f"{USERS}/usr_2"),
        ("GET", f"{USERS}/usr_2/logins"),
        ("DELETE", f"{USERS}/usr_2/logins"),
        ("DELETE", f"{USERS}/usr_2/totp"),
        ("DELETE", f"{INVITATIONS}/inv_2"),
    ],
)
def test_what_is_not_is_not_found(admin, method, path):
    body = {"json": {"name": "x"}} if method == "PATCH" else {}
    answer = admin.client.open(path, method=method, headers=admin.headers, **body)

    assert (answer.status_code, answer.json["error"]["code"]) == (404, "not_found")
    assert admin.world.begin.rows.audit == {}


# ── invitations ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_invitation_that_is_mailed_shows_no_token(admin):
    answer = admin.post(INVITATIONS, {"email": "new@example.org"})

    assert answer.status_code == 201
    assert answer.json == {
        "id": answer.json["id"],
        "email": "new@example.org",
        "role": "member",
        "created_at": "2026-11-21T12:00:00Z",
        "expires_at": "2026-11-28T12:00:00Z",
    }
    (mail,) = admin.world.begin.rows.outbox.values()
    assert (mail.subject_id, mail.locale) == (answer.json["id"], "en")


def test_an_invitation_without_a_mail_server_shows_its_token_once(admin):
    object.__setattr__(admin.world.user_admin, "mails", False)
    answer = admin.post(INVITATIONS, {"email": "new@example.org", "role": "admin", "locale": "zh"})
    object.__setattr__(admin.world.user_admin, "mails", True)

    assert answer.status_code == 201
    token = answer.json["token"]
    assert len(token) == 43
    assert token not in admin.get(INVITATIONS).text
    assert "token" not in admin.get(INVITATIONS).json["data"][0]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"email": "ada@example.org"}, 409),
        ({"email": "x@example.org", "role": "owner"}, 403),
        ({"email": "x@example.org", "locale": "fr"}, 400),
        ({"email": "x@example.org", "token": "t"}, 400),
        ({}, 400),
    ],
)
def test_an_invitation_that_cannot_be_is_not_made(admin, body, status):
    assert admin.post(INVITATIONS, body).status_code == status
    assert admin.world.begin.rows.tokens == {}


def test_open_invitations_are_listed_in_pages_and_withdrawn(admin):
    _add_invitations(admin, 5)
    assert _all(admin, INVITATIONS) == ["inv_5", "inv_4", "inv_3", "inv_2", "inv_1"]

    assert admin.delete(f"{INVITATIONS}/inv_3").status_code == 204
    assert _all(admin, INVITATIONS) == ["inv_5", "inv_4", "inv_2", "inv_1"]


# ── who may ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_log_knows_who_called_with_what_and_from_where(admin):
    answer = admin.patch(f"{USERS}/usr_1", {"name": "Countess"})

    (entry,) = admin.world.begin.rows.audit.values()
    assert (entry.actor.user_id, entry.actor.key_id, entry.actor.ip) == ("usr_admin", "key_admin", "127.0.0.1")
    assert entry.actor.request_id == answer.headers["X-Request-Id"]


ROUTES = [
    ("GET", USERS),
    ("POST", USERS),
    ("GET", f"{USERS}/usr_1"),
    ("PATCH", f"{USERS}/usr_1"),
    ("DELETE", f"{USERS}/usr_1"),
    ("GET", f"{USERS}/usr_1/logins"),
    ("DELETE", f"{USERS}/usr_1/logins"),
    ("DELETE", f"{USERS}/usr_1/totp"),
    ("GET", INVITATIONS),
    ("POST", INVITATIONS),
    ("DELETE", f"{INVITATIONS}/inv_1"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_member_is_refused_before_anything_is_looked_at(site, method, path):
    before = site.world.begin.rows.copy()
    answer = site.client.open(path, method=method, headers=site.headers)

    assert (answer.status_code, answer.json["error"]["code"]) == (403, "forbidden")
    site.world.begin.rows.keys["key_1"] = before.keys["key_1"]
    assert site.world.begin.rows == before


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_credential_nobody_gets_in(site, method, path):
    assert site.anonymous().open(path, method=method).status_code == 401

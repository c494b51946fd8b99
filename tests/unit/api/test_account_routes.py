"""The routes of accounts and passwords: what goes in, what comes out. The rest is the application's."""

import pytest

from application.mails import MailService
from domain.mail import Locale, MailKind
from domain.user import User
from tests.builders import a_user

PASSWORD = "an extraordinary sentence"
OTHER = "quite another sentence"


def strange(site, path: str, json, **headers):
    return site.anonymous().post(f"/api/v1/auth/{path}", json=json, headers=headers)


def with_password(site, **fields) -> str:
    """Give Ada a password; returns an access token of hers."""
    with site.world.begin() as work:
        work.users.save(a_user(password_hash=f"plain:{PASSWORD}", **fields))
    return site.login()


def user(site, email: str) -> User | None:
    with site.world.begin() as work:
        return work.users.by_email(email)


def mailed_token(site, kind: MailKind) -> str:
    """Lets the outbox be sent; returns the token in the newest mail, which follows the `#` of its address."""
    service: MailService = site.world.mails
    assert [it.kind for it in site.world.begin.rows.outbox.values()] == [kind]
    service.deliver()
    text = site.world.mailer.sent[-1].text
    return text.partition("#")[2].split()[0].rpartition("=")[2]


# ── registering ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_whoever_registers_gets_an_account_that_a_mail_confirms(site):
    answer = strange(site, "register", {"email": "Bob@Example.org", "password": PASSWORD, "name": "Bob"})

    assert (answer.status_code, answer.json) == (202, {"status": "accepted"})
    bob = user(site, "bob@example.org")
    assert (bob.name, bob.confirmed, bob.locale) == ("Bob", False, "en")
    confirmed = strange(site, "confirm", {"token": mailed_token(site, MailKind.CONFIRM)})
    assert (confirmed.status_code, confirmed.data) == (204, b"")
    assert user(site, "bob@example.org").confirmed


def test_a_taken_address_gets_the_same_answer_as_a_free_one(site):
    taken, free = (
        strange(site, "register", {"email": it, "password": PASSWORD}) for it in ("ada@example.org", "b@b.org")
    )

    assert taken.status_code == free.status_code == 202
    assert taken.data == free.data
    same = [[it for it in answer.headers if it[0] != "X-Request-Id"] for answer in (taken, free)]
    assert same[0] == same[1]
    assert site.world.passwords.hashed == 2


@pytest.mark.parametrize(
    ("asked", "accepted", "locale"),
    [
        ({}, None, Locale.EN),
        ({}, "zh-CN,zh;q=0.9,en;q=0.8", Locale.ZH),
        ({}, "zh-Hant-TW", Locale.ZH),
        ({}, "fr, zh;q=0.5, en;q=0.4", Locale.ZH),
        ({}, "en-GB, zh;q=0.5", Locale.EN),
        ({}, "fr", Locale.EN),
        ({}, ";;;=,q", Locale.EN),
        ({"locale": "zh"}, "en", Locale.ZH),
        ({"locale": "en"}, "zh", Locale.EN),
    ],
)
def test_mails_speak_the_language_of_the_browser_unless_told_otherwise(site, asked, accepted, locale):
    headers = {} if accepted is None else {"Accept-Language": accepted}
    answer = strange(site, "password/forgot", {"email": "ada@example.org", **asked}, **headers)

    assert answer.status_code == 202
    assert [it.locale for it in site.world.begin.rows.outbox.values()] == [locale]


def test_registration_that_is_closed_is_refused(site):
    object.__setattr__(site.world.accounts, "registration", "closed")
    answer = strange(site, "register", {"email": "b@b.org", "password": PASSWORD})

    assert (answer.status_code, answer.json["error"]["code"]) == (403, "registration_closed")


BAD_BODIES = [
    ("register", {"email": "b@b.org"}, "password"),
    ("register", {"password": PASSWORD}, "email"),
    ("register", {"email": "nobody", "password": PASSWORD}, "email"),
    ("register", {"email": ["b@b.org"], "password": PASSWORD}, "email"),
    ("register", {"email": "b@b.org", "password": "short"}, "password"),
    ("register", {"email": "b@b.org", "password": "x" * 1_001}, "password"),
    ("register", {"email": "b@b.org", "password": PASSWORD, "locale": "fr"}, "locale"),
    *(
        ("register", {"email": "b@b.org", "password": PASSWORD, name: "x"}, name)
        for name in ("id", "role", "confirmed", "disabled", "totp", "password_hash", "created_at", "ip")
    ),
    ("confirm", {}, "token"),
    ("confirm", {"token": None}, "token"),
    ("confirm", {"token": ""}, "token"),
    ("confirm", {"token": []}, "token"),
    ("confirm", {"token": {}}, "token"),
    ("confirm", {"token": "x" * 201}, "token"),
    ("password/forgot", {"email": "nobody"}, "email"),
    ("password/forgot", {"email": "b@b.org", "user_id": "usr_1"}, "user_id"),
    *(("password/reset", {"password": PASSWORD, "token": odd}, "token") for odd in (None, "", [], {}, 0, " ")),
    ("password/reset", {"password": PASSWORD}, "token"),
    ("password/reset", {"password": PASSWORD, "token": "x", "email": "b@b.org"}, "email"),
]


def test_a_body_that_is_not_as_documented_is_refused(site):
    for path, body, param in BAD_BODIES:
        answer = strange(site, path, body)
        assert (answer.status_code, answer.json["error"]["param"]) == (400, param), (path, body)


# ── passwords ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_forgotten_password_is_set_anew_once(site):
    token = with_password(site)
    strange(site, "password/forgot", {"email": "ada@example.org"})
    order = {"token": mailed_token(site, MailKind.RESET), "password": OTHER}

    assert strange(site, "password/reset", order).status_code == 204
    assert user(site, "ada@example.org").password_hash == f"plain:{OTHER}"
    assert site.ask("GET", "/api/v1/me", token).status_code == 401
    assert strange(site, "password/reset", order).status_code == 400


def test_forgetting_the_password_of_nobody_gets_the_same_answer(site):
    known, unknown = (strange(site, "password/forgot", {"email": it}) for it in ("ada@example.org", "b@b.org"))

    assert (known.status_code, known.json) == (202, {"status": "accepted"})
    assert known.data == unknown.data
    assert len(known.headers) == len(unknown.headers)


def test_a_changed_password_ends_the_other_logins(site):
    mine, other = with_password(site), site.login()
    wrong = {"current_password": "x", "new_password": OTHER}

    assert site.ask("POST", "/api/v1/auth/password/change", mine, wrong).status_code == 401
    right = {"current_password": PASSWORD, "new_password": OTHER}
    assert site.ask("POST", "/api/v1/auth/password/change", mine, right).status_code == 204
    assert [site.ask("GET", "/api/v1/me", it).status_code for it in (mine, other)] == [200, 401]


# ── me ───────────────────────────────────────────────────────────────────────────────────────────────────────────

ADA = {
    "id": "usr_1",
    "email": "ada@example.org",
    "name": "",
    "role": "member",
    "locale": "en",
    "confirmed": True,
    "totp": False,
    "created_at": "2026-11-21T12:00:00Z",
}


def test_one_reads_ones_own_account_without_secrets(site):
    token = with_password(site)

    assert site.ask("GET", "/api/v1/me", token).json == {**ADA, "csrf_token": None}
    assert site.get("/api/v1/me").json == {**ADA, "csrf_token": None}


def test_a_page_learns_its_csrf_token_anew(site):
    cookie = {"Cookie": f"__Host-sid={with_password(site)}"}
    csrf = site.anonymous().get("/api/v1/me", headers=cookie).json["csrf_token"]
    proof = {**cookie, "Origin": "https://parley.example.org", "X-CSRF-Token": csrf}

    assert site.anonymous().patch("/api/v1/me", headers=proof, json={"name": "Ada"}).status_code == 200


def test_a_change_changes_what_it_names(site):
    token = with_password(site, name="Ada")
    answer = site.ask("PATCH", "/api/v1/me", token, {"locale": "zh"})

    assert answer.json == {**ADA, "name": "Ada", "locale": "zh"}
    assert site.ask("PATCH", "/api/v1/me", token, {"name": ""}).json["name"] == ""


def test_a_new_address_needs_the_password(site):
    token = with_password(site)

    assert site.ask("PATCH", "/api/v1/me", token, {"email": "a@b.org"}).status_code == 401
    assert site.ask("PATCH", "/api/v1/me", token, {"email": "a@b.org", "password": "x"}).status_code == 401
    answer = site.ask("PATCH", "/api/v1/me", token, {"email": "a@b.org", "password": PASSWORD})
    assert (answer.status_code, answer.json["email"]) == (200, "ada@example.org"), "until it is confirmed"


def test_nobody_makes_more_of_themselves(site):
    token, before = with_password(site), user(site, "ada@example.org")

    for name in ("id", "role", "confirmed", "disabled", "totp", "password_hash", "created_at", "email_verified"):
        answer = site.ask("PATCH", "/api/v1/me", token, {name: "owner"})
        assert answer.json["error"]["code"] == "unknown_field"
    assert user(site, "ada@example.org") == before


def test_an_account_is_deleted_with_the_password(site):
    token = with_password(site)

    assert site.ask("DELETE", "/api/v1/me", token, {"password": "x"}).status_code == 401
    answer = site.ask("DELETE", "/api/v1/me", token, {"password": PASSWORD})
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (204, False)
    assert site.ask("GET", "/api/v1/me", token).status_code == 401
    assert site.get("/api/v1/key").status_code == 401


def test_a_page_whose_account_is_deleted_loses_its_cookie(site):
    headers = site.page_headers(with_password(site))
    answer = site.anonymous().delete("/api/v1/me", headers=headers, json={"password": PASSWORD})

    assert answer.headers["Set-Cookie"] == "__Host-sid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"

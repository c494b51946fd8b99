"""What a browser sends by itself: the cookie, requests that another site made it send, and addresses it follows."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.app import create_app
from infrastructure.settings import load
from tests.security.people import OPEN, PASSWORD, Page, People, ok
from tests.security.tenants import Tenants
from tests.servers.caller import Caller
from tests.servers.gateway import FAST, Gateway

pytestmark = pytest.mark.xdist_group("browser requests")

COOKIE = "__Host-sid={}; Path=/; Secure; HttpOnly; SameSite=Lax"
ENDED = "__Host-sid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
ALIVE = {"last_used_at", "seen_at"}
OF_ITSELF = {"workers", "usage_rollups", "rollup_watermark", "throttles"}
"""Tables that change while nobody asks for anything, and the one that counts those who ask."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    gateway = Gateway(tmp_path_factory.mktemp("browser"), config=OPEN).start()
    people = People(gateway)
    yield people
    people.close()
    assert gateway.stop() == 0
    assert '"status":5' not in gateway.program.log.read_text()


@pytest.fixture(autouse=True)
def fresh(people: People) -> None:
    people.nobody_waits()


@pytest.fixture(scope="module")
def page(people: People) -> Page:
    ok(people.register("page"))
    return people.page("page")


def named(people: People) -> str:
    ((name,),) = people.rows("SELECT name FROM users WHERE email = 'page@example.org'")
    return str(name)


# ── the cookie ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_cookie_has_exactly_its_attributes_and_is_the_only_one(people: People) -> None:
    ok(people.register("cookie"))

    reply = people.try_login("cookie", more={"cookie": True}, **{"Sec-Fetch-Site": "same-origin"})

    assert reply.headers.get_all("Set-Cookie") == [COOKIE.format(reply.cookie("__Host-sid"))]
    assert str(reply.cookie("__Host-sid")).startswith("parley_login_")
    assert reply.json["access_token"] is None, "what no script may read is not in the body either"
    assert str(reply.cookie("__Host-sid")) not in reply.raw.decode()


def test_who_did_not_ask_for_a_cookie_gets_none(people: People) -> None:
    ok(people.register("bearer"))

    assert people.try_login("bearer").headers.get_all("Set-Cookie") is None


def test_logging_out_makes_the_browser_forget_the_cookie(people: People) -> None:
    ok(people.register("forgetful"))

    reply = people.page("forgetful").caller.post("/auth/logout")

    assert (reply.status, reply.headers.get_all("Set-Cookie")) == (204, [ENDED])


def test_a_cookie_that_is_no_login_or_not_the_only_one_is_refused(people: People, page: Page) -> None:
    for cookie in (
        f"__Host-sid={people.gateway.key}",
        f"__Host-sid={page.cookie}; __Host-sid={page.cookie}",
        f"__Host-sid={page.cookie[:-1]}",
        f"sid={page.cookie}",
        "__Host-sid=",
        "__Host-sid",
    ):
        assert people.stranger.get("/me", Cookie=cookie).status == 401, cookie
    assert page.caller.get("/me").status == 200


def test_a_request_with_authorization_ignores_the_cookie(people: People, page: Page) -> None:
    cookie = {"Cookie": f"__Host-sid={page.cookie}"}

    for authorization in ("Bearer nonsense", "Basic YTpi", ""):
        assert people.stranger.get("/me", Authorization=authorization, **cookie).status == 401
    crossed = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example", **cookie}
    reply = people.admin.call("PATCH", "/sessions/sess_none", {"title": "t"}, crossed)

    assert reply.status == 404, "a bearer token is never sent by a browser alone, so nothing else is asked"


def test_nobody_is_logged_in_by_another_site(people: People) -> None:
    ok(people.register("lured"))

    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}, {}):
        reply = people.try_login("lured", more={"cookie": True}, **headers)
        assert (reply.status, reply.code, reply.cookie("__Host-sid")) == (403, "csrf_rejected", None)


# ── requests that another site made ──────────────────────────────────────────────────────────────────────────────


SITES = [
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Origin": "{own}"}, True),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "{own}"}, False),
    ({"Sec-Fetch-Site": "same-origin, cross-site"}, False),
    ({"Sec-Fetch-Site": ""}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "https://evil.example"}, False),
    ({"Origin": "{own}.evil.example"}, False),
    ({"Origin": "{own}/"}, False),
    ({"Referer": "{own}/"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("site", "passes"), SITES)
def test_only_our_own_pages_change_anything_with_the_cookie(
    people: People, page: Page, site: dict[str, str], passes: bool
) -> None:
    name, before = f"from {site}", named(people)
    sent = {header: value.format(own=people.gateway.url) for header, value in site.items()}
    cookie = {"Cookie": f"__Host-sid={page.cookie}", "X-CSRF-Token": page.csrf}

    reply = people.stranger.call("PATCH", "/me", {"name": name}, {**sent, **cookie})

    assert (reply.status, reply.code) == ((200, None) if passes else (403, "csrf_rejected"))
    assert named(people) == (name if passes else before)


def test_the_token_has_to_be_the_one_of_the_cookie(people: People, page: Page) -> None:
    other, before = people.page("page"), named(people)
    rand, _, signature = page.csrf.partition(".")
    forged = (None, "", other.csrf, page.cookie, rand, f"{rand}.", f".{signature}", f"00{rand[2:]}.{signature}", "é")

    for token in forged:
        headers = {name: value for name, value in page.headers.items() if name != "X-CSRF-Token"}
        if token is not None:
            headers["X-CSRF-Token"] = token
        reply = people.stranger.call("PATCH", "/me", {"name": "forged"}, headers)
        assert (reply.status, reply.code) == (403, "csrf_rejected"), token

    assert named(people) == before
    assert page.caller.call("PATCH", "/me", {"name": "genuine"}).status == 200


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=b"])
def test_what_a_form_could_send_is_refused(people: People, page: Page, kind: str) -> None:
    before = named(people)

    reply = page.caller.call("PATCH", "/me", b'{"name": "from a form"}', {"Content-Type": kind})

    assert (reply.status, named(people)) == (415, before)


def test_a_page_that_is_loaded_again_gets_a_token_that_works(people: People, page: Page) -> None:
    again = Page(page.port, page.cookie, ok(page.caller.get("/me"))["csrf_token"])

    assert again.caller.call("PATCH", "/me", {"name": "loaded again"}).status == 200
    assert ok(people.caller("page").get("/me"))["csrf_token"] is None, "a bearer needs none"


# ── what only reads, and what is followed ────────────────────────────────────────────────────────────────────────


def state(people: People) -> dict[str, str]:
    """A checksum of every table, but for what says that somebody was there."""
    tables = people.everything()
    for rows in tables.values():
        for row in rows:
            for column in ALIVE & row.keys():
                del row[column]
    return {
        table: hashlib.sha256("\n".join(sorted(map(repr, rows))).encode()).hexdigest()
        for table, rows in tables.items()
        if table not in OF_ITSELF
    }


def readable(home: Path) -> list[str]:
    """Under /api/v1, every route that can be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARLEY_HOME", str(home))
        rules = list(create_app(load()).url_map.iter_rules())
    paths = [rule.rule for rule in rules if "GET" in (rule.methods or ())]
    return [path.removeprefix("/api/v1") for path in paths if path.startswith("/api/v1")]


def test_reading_never_changes_anything(tmp_path_factory: pytest.TempPathFactory) -> None:
    """So that a link, a picture or a prefetch can do no harm, whoever's cookie goes along."""
    gateway = Gateway(tmp_path_factory.mktemp("reading"), config=OPEN).start()
    people = People(gateway)
    try:
        tenants = Tenants(gateway).make()
        ids = {**tenants.ids, "kind": "user", "subject_id": tenants.ids["user_id"], "name": "docs.js"}
        people.nobody_waits()
        callers = (people.stranger, tenants.victim, tenants.admin, people.page("victim").caller)
        before, paths = state(people), readable(tmp_path_factory.mktemp("home"))
        for path in paths:
            for name, value in {**ids, "model_id": "echo/echo"}.items():
                path = path.replace(f"<path:{name}>", value).replace(f"<{name}>", value)  # noqa: PLW2901 - filled in
            for caller in callers:
                for method in ("GET", "HEAD"):
                    reply = caller.call(method, path)
                    assert reply.status < 500, (path, reply.raw)
                    assert not 300 <= reply.status < 400, (path, reply.headers["Location"])
        assert state(people) == before
        assert len(paths) > 20
    finally:
        people.close()
        gateway.end()


@pytest.mark.parametrize("path", ["/models/", "/docs/", "/sessions/", "/auth/login/", "//models", "/docs/../models"])
def test_no_other_spelling_is_redirected(people: People, path: str) -> None:
    reply = people.admin.get(path)

    assert (reply.status, reply.headers["Location"]) == (404, None)


def test_what_is_reached_by_https_is_not_redirected_from_http(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A client that sent its key in the clear has to notice."""
    env = {"PARLEY_PUBLIC_URL": "https://parley.example.org", "PARLEY_TRUSTED_PROXY": "1"}
    gateway = Gateway(tmp_path_factory.mktemp("https"), config=FAST, env=env).start()
    clear = {"X-Forwarded-Proto": "http", "X-Forwarded-For": "203.0.113.7"}
    try:
        for path in ("/me", "/docs", "/nowhere"):
            reply = Caller(gateway.port).bearing(gateway.key).get(path, **clear)
            assert (reply.status, reply.headers["Location"]) == (403, None)
        login = {"email": "admin@localhost", "password": PASSWORD}
        assert Caller(gateway.port).post("/auth/login", login, **clear).status == 403
    finally:
        gateway.end()

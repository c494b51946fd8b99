"""Links in real mails: where the token stands, what it does once and never again, and what a dead server changes."""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.security.people import OPEN, PASSWORD, People, let_in_for, ok
from tests.servers.caller import Reply
from tests.servers.gateway import Gateway
from tests.servers.program import wait_until
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.xdist_group("mailed links")

NEW = "another good one 9"
LINK = re.compile(r"^(http\S+)#token=([0-9A-Za-z]{43})\r?$", re.MULTILINE)
"""43 characters of 62 are 256 bits; behind the `#` no server, proxy or log ever sees them."""


class Post:
    """What has arrived, and for whom."""

    def __init__(self, server: SmtpServer) -> None:
        self.server = server

    def subjects(self, name: str) -> list[str]:
        return [str(it.message["Subject"]) for it in self.server.mails if it.recipients == [f"{name}@example.org"]]

    def wait(self, name: str, count: int) -> None:
        wait_until(lambda: len(self.subjects(name)) >= count, 20, f"mail {count} for {name}")

    def link(self, name: str, count: int) -> tuple[str, str]:
        """Address and token in the mail of that number for `name`."""
        self.wait(name, count)
        mails = [it.message for it in self.server.mails if it.recipients == [f"{name}@example.org"]]
        (found,) = LINK.findall(mails[count - 1].get_content())
        return found


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    server = SmtpServer(tmp_path_factory.mktemp("smtp"), "none").run()
    yield Post(server)
    server.stop()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, post: Post) -> Iterator[People]:
    env = {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(post.server.port),
        "SMTP_TLS": "none",
        "SMTP_FROM": "parley@example.org",
    }
    gateway = Gateway(tmp_path_factory.mktemp("mailed"), config=OPEN, env=env).start()
    people = People(gateway)
    yield people
    people.close()
    assert gateway.stop() == 0
    log = gateway.program.log.read_text()
    assert '"status":5' not in log
    assert [
        it for it in post.server.mails if any(token in log for _, token in LINK.findall(it.message.get_content()))
    ] == []


@pytest.fixture(autouse=True)
def fresh(people: People) -> None:
    people.nobody_waits()


def forget(people: People, name: str) -> Reply:
    return people.stranger.post("/auth/password/forgot", {"email": f"{name}@example.org"})


def reset(people: People, token: object, password: str = NEW) -> Reply:
    return people.stranger.post("/auth/password/reset", {"token": token, "password": password})


def member(people: People, name: str) -> None:
    """Made on the command line, so that no mail goes out and the address counts as confirmed."""
    people.gateway.cli("users", "create", f"{name}@example.org", "--role", "member", text=f"{PASSWORD}\n")


def test_an_account_is_closed_until_the_link_in_the_first_mail_is_followed(people: People, post: Post) -> None:
    ok(people.register("newcomer"))
    refused = people.try_login("newcomer")
    address, token = post.link("newcomer", 1)

    assert refused.code == "invalid_credentials"
    assert address == f"{people.gateway.url}/confirm"
    assert people.stranger.post("/auth/confirm", {"token": token}).status == 204
    assert people.try_login("newcomer").status == 200
    assert people.stranger.post("/auth/confirm", {"token": token}).status == 400, "once"


def test_a_reset_goes_by_a_link_whose_token_no_server_sees(people: People, post: Post) -> None:
    member(people, "reset")
    caller, page = people.caller("reset"), people.page("reset")

    asked = forget(people, "reset")
    address, token = post.link("reset", 1)
    ((digest, created, ends, used),) = people.rows(
        "SELECT digest, created_at, expires_at, used_at FROM one_time_tokens WHERE email LIKE 'reset@%'"
    )
    done = reset(people, token)

    assert (asked.status, token.encode() in asked.raw) == (202, False)
    assert address == f"{people.gateway.url}/reset"
    assert (digest, used) == (hashlib.sha256(token.encode()).digest(), None)
    assert datetime.fromisoformat(ends) - datetime.fromisoformat(created) == timedelta(minutes=15)
    assert (done.status, done.raw, done.headers["Set-Cookie"]) == (204, b"", None), "nobody is logged in by it"
    assert let_in_for(lambda: [caller.get("/me"), page.caller.get("/me")]) < 1
    assert (people.try_login("reset").status, people.try_login("reset", NEW).status) == (401, 200)
    post.wait("reset", 2)
    assert post.subjects("reset")[1] == "Your password was changed"


def test_a_link_works_once(people: People, post: Post) -> None:
    member(people, "once")
    forget(people, "once")
    _, token = post.link("once", 1)

    replies = [reset(people, token), reset(people, token, "and a third one 77")]

    assert [reply.status for reply in replies] == [204, 400]
    assert (replies[1].code, replies[1].json["error"]["param"]) == ("invalid_request", "token")
    assert people.try_login("once", NEW).status == 200


def test_only_the_newest_link_works_and_only_for_a_quarter_of_an_hour(people: People, post: Post) -> None:
    member(people, "newest")
    forget(people, "newest")
    _, older = post.link("newest", 1)
    forget(people, "newest")
    _, newer = post.link("newest", 2)

    assert reset(people, older).status == 400
    people.change(
        "UPDATE one_time_tokens SET expires_at = :past WHERE email = 'newest@example.org' AND purpose = 'reset'",
        past=str(datetime.now(UTC).replace(tzinfo=None)),
    )
    assert reset(people, newer).status == 400
    assert people.try_login("newest").status == 200


@pytest.mark.parametrize(
    "token", [None, "", [], {}, 0, True, [None], {"$ne": ""}, "null", "undefined", " ", "0" * 43, "%"]
)
def test_what_is_no_token_resets_and_confirms_nothing(people: People, token: object) -> None:
    """Among the accounts here are some without any token."""
    before = people.rows("SELECT id, password_hash, confirmed FROM users ORDER BY id")

    for path, body in (
        ("/auth/password/reset", {"token": token, "password": NEW}),
        ("/auth/confirm", {"token": token}),
    ):
        reply = people.stranger.post(path, body)
        assert (reply.status, reply.json["error"]["param"]) == (400, "token")
    missing = people.stranger.post("/auth/password/reset", {"password": NEW})

    assert (missing.status, missing.json["error"]["param"]) == (400, "token")
    assert people.rows("SELECT id, password_hash, confirmed FROM users ORDER BY id") == before


def test_a_link_is_good_for_its_own_purpose_only(people: People, post: Post) -> None:
    ok(people.register("purpose"))
    _, confirming = post.link("purpose", 1)
    ok(people.admin.post("/admin/invitations", {"email": "guest@example.org", "role": "viewer"}))
    address, inviting = post.link("guest", 1)

    assert [reset(people, token).status for token in (confirming, inviting)] == [400, 400]
    assert people.stranger.post("/auth/confirm", {"token": inviting}).status == 400
    assert people.stranger.post("/auth/confirm", {"token": confirming}).status == 204
    forget(people, "purpose")
    _, resetting = post.link("purpose", 2)
    assert people.stranger.post("/auth/confirm", {"token": resetting}).status == 400
    assert people.register("guest", PASSWORD).status == 202
    invited = {"email": "whoever@example.org", "password": PASSWORD, "invite": inviting}
    assert address == f"{people.gateway.url}/register"
    assert people.stranger.post("/auth/register", {**invited, "invite": resetting}).code == "registration_closed"
    assert reset(people, resetting).status == 204, "none of that used it up"


def test_a_link_is_no_credential(people: People, post: Post) -> None:
    member(people, "bearer")
    forget(people, "bearer")
    _, token = post.link("bearer", 1)

    assert people.stranger.bearing(token).get("/me").status == 401
    assert people.stranger.get("/me", Cookie=f"__Host-sid={token}").status == 401


def test_an_address_gets_three_mails_an_hour_and_a_stranger_none(people: People, post: Post) -> None:
    member(people, "thrice")
    for _ in range(5):
        assert (forget(people, "thrice").status, forget(people, "nobody").status) == (202, 202)

    wait_until(lambda: people.rows("SELECT COUNT(*) FROM outbox") == [(0,)], 20, "all dealt with")

    assert post.subjects("thrice") == ["Set a new password"] * 3
    assert post.subjects("nobody") == []
    assert people.rows("SELECT COUNT(*) FROM one_time_tokens WHERE email LIKE 'nobody@%'") == [(0,)]


def test_while_the_mail_server_is_down_forgetting_is_accepted_and_the_mail_arrives_later(
    people: People, post: Post
) -> None:
    member(people, "patient")
    caller = people.caller("patient")
    post.server.stop()
    try:
        # In this order: a new password ends the links that were asked for before.
        changed = caller.post("/auth/password/change", {"current_password": PASSWORD, "new_password": NEW})
        replies = [forget(people, "patient"), forget(people, "nobody-at-all")]
        attempts = "SELECT attempts FROM outbox WHERE email = 'patient@example.org' ORDER BY attempts DESC"
        wait_until(lambda: people.rows(attempts)[0][0] == 1, 20, "one attempt")
    finally:
        post.server.run()

    assert [reply.status for reply in replies] == [202, 202]
    assert replies[0].raw == replies[1].raw
    assert changed.status == 204
    due = people.rows("SELECT due_at FROM outbox WHERE attempts = 1")[0][0]
    assert 30 < (datetime.fromisoformat(due) - datetime.now(UTC).replace(tzinfo=None)).total_seconds() <= 60
    people.change("UPDATE outbox SET due_at = created_at")  # instead of waiting for that minute
    post.wait("patient", 2)
    assert set(post.subjects("patient")) == {"Set a new password", "Your password was changed"}

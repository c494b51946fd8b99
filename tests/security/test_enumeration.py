"""Nobody learns who has an account, and whoever guesses waits.

A proxy tells the addresses of the visitors here, so that a test decides who shares a network.
"""

import time
from collections.abc import Callable, Iterator

import pytest

from domain.api_key import compose
from tests.security.people import OPEN, PASSWORD, People, ok, told
from tests.servers.caller import Caller, Reply
from tests.servers.gateway import Gateway
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.xdist_group("enumeration"), pytest.mark.timeout(180)]

WRONG = "not the password at all"
KINDS = ("known", "unknown", "disabled", "unconfirmed", "passwordless")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """With a mail server, so that addresses have to be confirmed; `known` is, `disabled` was."""
    smtp = SmtpServer(tmp_path_factory.mktemp("smtp"), "none").run()
    mail = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(smtp.port), "SMTP_TLS": "none", "SMTP_FROM": "p@example.org"}
    gateway = Gateway(
        tmp_path_factory.mktemp("enumeration"), config=OPEN, env={**mail, "PARLEY_TRUSTED_PROXY": "1"}
    ).start()
    people = People(gateway)
    for name in ("known", "disabled", "unconfirmed"):
        ok(people.register(name))
    people.change("UPDATE users SET confirmed = 1 WHERE email NOT LIKE 'unconfirmed%'")
    people.change("UPDATE users SET disabled = 1 WHERE email LIKE 'disabled%'")
    ok(people.admin.post("/admin/users", {"email": "passwordless@example.org", "name": "", "role": "member"}))
    yield people
    people.close()
    assert gateway.stop() == 0
    smtp.stop()


@pytest.fixture(autouse=True)
def fresh(people: People) -> None:
    people.nobody_waits()


class Visitors:
    """Each from a network of its own."""

    def __init__(self, people: People) -> None:
        self._port = people.gateway.port
        self._count = 0

    def next(self) -> Caller:
        self._count += 1
        return self.at(f"10.{self._count >> 8}.{self._count & 255}.9")

    def at(self, ip: str) -> Caller:
        return Caller(self._port, {"X-Forwarded-For": ip})


@pytest.fixture
def visitors(people: People) -> Visitors:
    return Visitors(people)


def log_in(caller: Caller, name: str, password: str = WRONG) -> Reply:
    return caller.post("/auth/login", {"email": f"{name}@example.org", "password": password})


def register(caller: Caller, name: str) -> Reply:
    return caller.post("/auth/register", {"email": f"{name}@example.org", "password": PASSWORD})


def forget(caller: Caller, name: str) -> Reply:
    return caller.post("/auth/password/forgot", {"email": f"{name}@example.org"})


# ── the same answer for all ──────────────────────────────────────────────────────────────────────────────────────


def test_a_login_that_fails_fails_the_same_whoever_it_was_for(people: People, visitors: Visitors) -> None:
    """All but `known` and `unknown` give the right password, where there is one."""
    given = {"known": WRONG, "unknown": WRONG}

    replies = [log_in(visitors.next(), kind, given.get(kind, PASSWORD)) for kind in KINDS]

    assert (replies[0].status, replies[0].code) == (401, "invalid_credentials")
    assert int(replies[0].headers["Content-Length"]) == len(replies[0].raw)
    assert [told(reply) for reply in replies] == [told(replies[0])] * len(KINDS)
    assert log_in(visitors.next(), "known", PASSWORD).status == 200


@pytest.mark.parametrize("act", [register, forget])
def test_what_strangers_may_ask_is_accepted_the_same_whoever_it_was_for(
    visitors: Visitors, act: Callable[[Caller, str], Reply]
) -> None:
    replies = [act(visitors.next(), kind if act is forget or kind != "unknown" else "newcomer") for kind in KINDS]

    assert (replies[0].status, replies[0].json) == (202, {"status": "accepted"})
    assert [told(reply) for reply in replies] == [told(replies[0])] * len(KINDS)


# ── whoever guesses waits ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["known", "unknown"])
def test_after_five_wrong_passwords_the_next_attempt_waits_whether_or_not_there_is_an_account(
    visitors: Visitors, name: str
) -> None:
    replies = [log_in(visitors.next(), name) for _ in range(6)]

    assert [reply.status for reply in replies] == [401] * 5 + [429]
    assert (replies[5].code, replies[5].headers["Retry-After"]) == ("rate_limited", "1")
    assert log_in(visitors.next(), name, PASSWORD).status == 429, "the right one has to wait too"


def test_the_refusal_of_who_has_to_wait_says_nothing_about_the_account(visitors: Visitors) -> None:
    refusals = []
    for name in ("known", "unknown", "disabled"):
        replies = [log_in(visitors.next(), name) for _ in range(6)]
        refusals.append(told(replies[5]))

    assert refusals == [refusals[0]] * 3


def test_after_the_wait_the_right_password_logs_in_and_the_waits_grow(people: People, visitors: Visitors) -> None:
    for _ in range(6):
        log_in(visitors.next(), "known")
    time.sleep(1.1)

    assert log_in(visitors.next(), "known").status == 401
    assert log_in(visitors.next(), "known").headers["Retry-After"] == "2"
    time.sleep(2.1)
    assert log_in(visitors.next(), "known", PASSWORD).status == 200
    assert [log_in(visitors.next(), "known").status for _ in range(5)] == [401] * 5, "a good login forgets the bad ones"


def test_who_has_to_wait_can_still_ask_for_a_reset(people: People, visitors: Visitors) -> None:
    caller = visitors.next()
    statuses = [log_in(caller, f"many-{number}").status for number in range(31)]
    assert statuses == [401] * 30 + [429]

    assert forget(caller, "known").status == 202
    reset = caller.post("/auth/password/reset", {"token": "none", "password": "another good one 9"})
    assert reset.json["error"]["param"] == "token", "refused for the token, and not for the network"


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ],
)
def test_a_network_is_one_address_of_ipv4_or_a_64_of_ipv6(
    visitors: Visitors, one: str, other: str, shared: bool
) -> None:
    for number in range(30):
        assert log_in(visitors.at(one), f"net-{number}").status == 401

    assert log_in(visitors.at(one), "net").status == 429
    assert log_in(visitors.at(other), "net").status == (429 if shared else 401)


def test_a_network_registers_ten_times_and_forgets_ten_times(visitors: Visitors) -> None:
    caller = visitors.next()

    registered = [register(caller, f"flood-{number}").status for number in range(11)]
    forgotten = [forget(caller, f"flood-{number}").status for number in range(11)]

    assert registered == forgotten == [202] * 10 + [429]


def test_twenty_wrong_keys_a_minute_are_answered_and_typing_errors_are_not_counted(
    people: People, visitors: Visitors
) -> None:
    caller = visitors.next()

    def statuses(tokens: list[str]) -> list[int]:
        return [caller.call("GET", "/me", headers={"Authorization": f"Bearer {token}"}).status for token in tokens]

    guesses = [compose("live", f"{number:010}", "0" * 43) for number in range(22)]
    mistyped = [guess[:-1] + ("a" if guess[-1] != "a" else "b") for guess in guesses]
    assert statuses(mistyped * 2) == [401] * 44
    assert people.rows("SELECT COUNT(*) FROM throttles") == [(0,)]
    assert statuses(guesses) == [401] * 20 + [429] * 2
    assert statuses([people.gateway.key]) == [200], "who knows a key is not kept waiting"


def test_the_counts_are_in_the_database_and_outlive_a_restart(people: People, visitors: Visitors) -> None:
    caller = visitors.next()
    for number in range(30):
        log_in(caller, f"again-{number}")

    people.gateway.stop()
    people.gateway.start()

    assert log_in(caller, "again").status == 429


def test_nobody_escapes_by_claiming_another_address(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without a proxy that is trusted, the headers of the visitors say nothing."""
    people = People(Gateway(tmp_path_factory.mktemp("spoofed"), config=OPEN).start())
    try:
        replies = [
            log_in(
                Caller(
                    people.gateway.port, {"X-Forwarded-For": f"203.0.113.{number}", "X-Real-Ip": f"10.0.0.{number}"}
                ),
                f"spoofed-{number}",
            )
            for number in range(31)
        ]
        assert [reply.status for reply in replies] == [401] * 30 + [429]
    finally:
        people.close()
        people.gateway.stop()

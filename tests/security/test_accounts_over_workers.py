"""What many ask at once, and what one worker did, holds on every worker: two of them, MariaDB, Redis, real mails."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from application.mails import PER_HOUR
from domain.api_key import compose, kid_of
from tests.security.people import OPEN, PASSWORD, People, let_in_for, ok, told
from tests.servers.caller import Caller, Reply
from tests.servers.gateway import Gateway
from tests.servers.mariadb import MariaDbServer, running_mariadb
from tests.servers.program import wait_until
from tests.servers.redis import RedisServer, running_redis
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.xdist_group("accounts over workers"), pytest.mark.timeout(180)]

T = TypeVar("T")

TIMES = 20
CROWD = 200
WORKERS = 2
NEW = "another good one 9"
LINK = re.compile(r"#token=([0-9A-Za-z]{43})\r?$", re.MULTILINE)


@pytest.fixture(scope="module")
def smtp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpServer]:
    server = SmtpServer(tmp_path_factory.mktemp("smtp"), "none").run()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def database() -> Iterator[MariaDbServer]:
    """Keeps a list of every statement that it is given."""
    with running_mariadb("--general-log", "--log-output=TABLE") as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture(scope="module")
def people(
    tmp_path_factory: pytest.TempPathFactory, smtp: SmtpServer, database: MariaDbServer, redis: RedisServer
) -> Iterator[People]:
    env = {"DATABASE_URL": database.new_database(), "REDIS_URL": redis.url, "PARLEY_WORKERS": str(WORKERS)}
    env |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(smtp.port), "SMTP_TLS": "none", "SMTP_FROM": "p@example.org"}
    config = OPEN + "[limits]\nrpm = 100000\n"
    gateway = Gateway(tmp_path_factory.mktemp("workers"), config=config, env={**env, "PARLEY_TRUSTED_PROXY": "1"})
    gateway.cli("migrate")
    gateway.start()
    people = People(gateway)
    yield people
    people.close()
    assert gateway.stop() == 0
    assert '"status":500' not in gateway.program.log.read_text()


def member(people: People, name: str) -> None:
    people.gateway.cli("users", "create", f"{name}@example.org", "--role", "member", text=f"{PASSWORD}\n")


def together(count: int, act: Callable[[int], T]) -> list[T]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(act, range(count)))


def visitor(people: People, number: int) -> Caller:
    """From a network of its own."""
    return Caller(people.gateway.port, {"X-Forwarded-For": f"10.1.{number}.9"})


def insist(act: Callable[[], Reply]) -> Reply:
    """Until two workers do not stand in each other's way any more."""
    for _ in range(50):
        reply = act()
        if reply.status != 503:
            return reply
        time.sleep(0.1)
    raise AssertionError(reply.raw)


def mails(smtp: SmtpServer, name: str) -> list[str]:
    return [str(it.message["Subject"]) for it in smtp.mails if it.recipients == [f"{name}@example.org"]]


def asked(database: MariaDbServer, part: str) -> list[str]:
    """The statements with `part` in them so far, as the server got them."""
    with database.admin() as connection, connection.cursor() as cursor:
        sql = "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Query'"
        cursor.execute(sql + " AND argument LIKE %s AND argument NOT LIKE %s", (f"%{part}%", "%general_log%"))
        return [row[0] for row in cursor.fetchall()]


# ── many at once ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_address_registered_twenty_times_at_once_is_one_account_with_one_answer(
    people: People, smtp: SmtpServer
) -> None:
    order = {"email": "grace@example.org", "password": PASSWORD}

    replies = together(TIMES, lambda number: insist(lambda: visitor(people, number).post("/auth/register", order)))

    assert [told(reply) for reply in replies] == [told(replies[0])] * TIMES
    assert replies[0].status == 202
    assert people.rows("SELECT COUNT(*) FROM users WHERE email = 'grace@example.org'") == [(1,)]
    wait_until(lambda: people.rows("SELECT COUNT(*) FROM outbox") == [(0,)], 30, "all mails left")
    kinds = Counter(mails(smtp, "grace"))
    assert kinds == {"Please confirm your address": 1, "You already have an account": PER_HOUR}


def test_a_link_used_twenty_times_at_once_sets_one_password_and_ends_all_logins(
    people: People, smtp: SmtpServer
) -> None:
    member(people, "reset")
    before = people.login("reset")
    assert seen_by_all(people, before) == {200}
    ok(people.stranger.post("/auth/password/forgot", {"email": "reset@example.org"}))
    wait_until(lambda: len(mails(smtp, "reset")) == 1, 20, "the mail")
    (mail,) = (it.message for it in smtp.mails if it.recipients == ["reset@example.org"])
    (token,) = LINK.findall(mail.get_content())

    def use(number: int) -> Reply:
        body = {"token": token, "password": f"good one number {number}"}
        return insist(lambda: visitor(people, number).post("/auth/password/reset", body))

    replies = together(TIMES, use)

    assert Counter(reply.status for reply in replies) == {204: 1, 400: TIMES - 1}
    assert {reply.json["error"]["param"] for reply in replies if reply.status == 400} == {"token"}
    (winner,) = (number for number, reply in enumerate(replies) if reply.status == 204)
    people.nobody_waits()
    assert people.try_login("reset", f"good one number {winner}").status == 200
    assert let_in_for(lambda: answers_of_all(people, before)) < 1.5


def test_one_session_takes_one_of_many_messages_and_its_history_has_no_gap(people: People) -> None:
    session = ok(people.admin.post("/sessions", {"ai_provider": "echo", "model": "echo"}))["id"]
    order = {"session_id": session, "message": "hello"}

    replies = together(TIMES, lambda _: people.admin.post("/chat", order))

    statuses = Counter(reply.status for reply in replies)
    assert statuses[200] >= 1
    assert set(statuses) <= {200, 409}
    for reply in replies:
        if reply.status == 409:
            assert (reply.code, reply.headers["Retry-After"]) == ("conversation_busy", "1")
    history = people.admin.get(f"/sessions/{session}/messages").json["data"]
    assert [message["seq"] for message in history] == list(range(1, 2 * statuses[200] + 1))
    assert [message["role"] for message in history] == ["user", "assistant"] * statuses[200]


def test_a_crowd_with_a_key_that_nobody_saw_before_looks_it_up_once_per_worker(
    people: People, database: MariaDbServer
) -> None:
    key = people.gateway.cli("keys", "create", "--user", "admin@localhost", "--name", "crowd")
    look_up = f"api_keys.kid = '{kid_of(key)}'"
    assert asked(database, look_up) == []

    started = time.monotonic()
    statuses = Counter(reply.status for reply in together(CROWD, lambda _: people.stranger.bearing(key).get("/models")))
    taken = time.monotonic() - started

    assert statuses == {200: CROWD}
    # What a worker knows it believes for a few seconds: on a busy machine the crowd may take longer.
    assert 1 <= len(asked(database, look_up)) <= WORKERS * (1 + taken // 3)


def test_what_is_no_key_costs_no_statement(people: People, database: MariaDbServer) -> None:
    well_formed = compose("live", "0000000000", "1" * 43)
    mistyped = well_formed[:-1] + ("a" if well_formed[-1] != "a" else "b")
    broken = (mistyped, well_formed[:-1], "x' OR '1'='1", "parley_live_%25", "y" * 8000)

    def looked_up() -> list[str]:
        """Whatever asks for a credential or counts an attempt."""
        return [
            found
            for part in ("kid = '", "INSERT INTO throttles", "UPDATE throttles")
            for found in asked(database, part)
        ]

    before = looked_up()
    for token in broken:
        assert people.stranger.bearing(token).get("/me").status == 401
        assert people.stranger.get("/me", Cookie=f"__Host-sid={token[:4000]}").status == 401

    assert looked_up() == before
    assert asked(database, "OR '1'='1") == []


# ── on every worker ──────────────────────────────────────────────────────────────────────────────────────────────


def answers_of_all(people: People, *tokens: str) -> list[Reply]:
    """Of `/me` to so many at once that every worker is asked."""
    callers = [people.stranger.bearing(token) for token in tokens]
    return [reply for caller in callers for reply in together(16, lambda _, caller=caller: caller.get("/me"))]


def seen_by_all(people: People, *tokens: str) -> set[int]:
    return {reply.status for reply in answers_of_all(people, *tokens)}


@pytest.mark.parametrize("act", ["change", "end others", "administrator"])
def test_the_other_logins_are_over_on_every_worker_within_a_second(people: People, act: str) -> None:
    name = act.replace(" ", "-")
    member(people, name)
    own, *others = (people.login(name) for _ in range(5))
    assert seen_by_all(people, own, *others) == {200}

    _end(people, own, act)

    assert let_in_for(lambda: answers_of_all(people, *others)) < 1.5
    assert seen_by_all(people, own) == ({401} if act == "administrator" else {200})


def _end(people: People, own: str, act: str) -> None:
    caller = people.stranger.bearing(own)
    match act:
        case "change":
            ok(caller.post("/auth/password/change", {"current_password": PASSWORD, "new_password": NEW}))
        case "end others":
            ok(caller.call("DELETE", "/auth/logins"))
        case "administrator":
            ok(people.admin.call("DELETE", f"/admin/users/{ok(caller.get('/me'))['id']}/logins"))


def test_a_login_that_was_left_is_over_on_every_worker(people: People) -> None:
    member(people, "leaving")
    token, page = people.login("leaving"), people.page("leaving")
    assert seen_by_all(people, token, page.cookie) == {200}

    ok(people.stranger.bearing(token).post("/auth/logout"))
    ok(page.caller.post("/auth/logout"))

    assert let_in_for(lambda: answers_of_all(people, token, page.cookie)) < 1.5


def test_guesses_are_counted_while_redis_is_dead(people: People, redis: RedisServer) -> None:
    redis.kill()
    try:
        guesses = [people.try_login("guessed", **{"X-Forwarded-For": f"10.2.{number}.9"}) for number in range(6)]
    finally:
        redis.begin()

    assert [reply.status for reply in guesses] == [401] * 5 + [429]

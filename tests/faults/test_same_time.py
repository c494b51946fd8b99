"""Nobody learns who has an account from how long an answer takes."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median

import pytest

from tests.security.people import OPEN, PASSWORD, People, ok
from tests.servers.caller import Caller, Reply
from tests.servers.gateway import Gateway
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.alone, pytest.mark.xdist_group("same time"), pytest.mark.timeout(180)]

SAMPLES = 60


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """With a mail server, so that there is all the work that depends on an account."""
    smtp = SmtpServer(tmp_path_factory.mktemp("smtp"), "none").run()
    mail = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(smtp.port), "SMTP_TLS": "none", "SMTP_FROM": "p@example.org"}
    env = {**mail, "PARLEY_TRUSTED_PROXY": "1"}
    people = People(Gateway(tmp_path_factory.mktemp("time"), config=OPEN, env=env).start())
    ok(people.register("known"))
    yield people
    people.close()
    assert people.gateway.stop() == 0
    smtp.stop()


def log_in(caller: Caller, name: str) -> Reply:
    return caller.post("/auth/login", {"email": f"{name}@example.org", "password": "not the password at all"})


def register(caller: Caller, name: str) -> Reply:
    return caller.post("/auth/register", {"email": f"{name}@example.org", "password": PASSWORD})


def forget(caller: Caller, name: str) -> Reply:
    return caller.post("/auth/password/forgot", {"email": f"{name}@example.org"})


@pytest.mark.parametrize(("act", "status"), [(log_in, 401), (register, 202), (forget, 202)])
def test_it_takes_the_same_time_whether_or_not_there_is_an_account(
    people: People, act: Callable[[Caller, str], Reply], status: int
) -> None:
    """A visitor from another network each time, and nobody is ever kept waiting."""
    numbers = count()

    def seconds(name: str) -> float:
        people.nobody_waits()
        number = next(numbers)
        caller = Caller(people.gateway.port, {"X-Forwarded-For": f"10.{number >> 8}.{number & 255}.9"})
        started = time.perf_counter()
        reply = act(caller, name.format(number))
        taken = time.perf_counter() - started
        assert reply.status == status, reply.raw
        return taken

    def difference() -> float:
        """Of the medians of interleaved samples; 0 when they are as good as the same."""
        samples = [(seconds("known"), seconds("nobody-{}")) for _ in range(SAMPLES)]
        known, unknown = (median(column) for column in zip(*samples, strict=True))
        same = abs(known - unknown) < max(0.005, 0.05 * max(known, unknown))
        return 0.0 if same else known - unknown

    first = difference()
    assert first == 0 or first * difference() <= 0, "twice the same one took longer"

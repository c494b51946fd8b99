import time
from collections.abc import Iterator

import argon2
import gevent
import pytest
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from adapters.accounts.argon2 import Argon2Hasher
from domain.errors import Overloaded

PASSWORD = "three brown foxes 🦊 "


@pytest.fixture(scope="module")
def hashed() -> str:
    return Argon2Hasher().hash(PASSWORD)


class CountingPool:
    """Does the work at once and remembers what it was."""

    def __init__(self) -> None:
        self.done: list[tuple] = []

    def apply(self, work, arguments):
        self.done.append(arguments)
        return work(*arguments)


class HeldPool:
    """Keeps every caller waiting until it is let go."""

    def __init__(self) -> None:
        self.gate = AsyncResult()
        self.callers = 0

    def apply(self, work, arguments):
        self.callers += 1
        return self.gate.get()


def test_a_hash_has_the_documented_parameters(hashed: str):
    parameters = argon2.extract_parameters(hashed)

    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (parameters.salt_len, parameters.hash_len) == (16, 32)
    assert PASSWORD not in hashed


def test_only_the_very_password_is_right(hashed: str):
    hasher = Argon2Hasher()

    assert hasher.verify(hashed, PASSWORD)
    assert not hasher.verify(hashed, PASSWORD.rstrip())


@pytest.mark.parametrize("broken", ["", "plain:x", "$argon2id$v=19$m=19456,t=2,p=1$AAAA"])
def test_what_is_no_hash_is_never_right(broken: str):
    assert Argon2Hasher().verify(broken, PASSWORD) is False


def test_a_hash_of_other_parameters_is_outdated(hashed: str):
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    hasher = Argon2Hasher()

    assert hasher.outdated(old)
    assert not hasher.outdated(hashed)
    assert hasher.verify(old, PASSWORD)


def test_nobodys_password_takes_the_same_work_and_is_never_right():
    hasher = Argon2Hasher()
    hasher._pool = pool = CountingPool()

    assert not hasher.verify(None, PASSWORD)

    ((checked, password),) = pool.done
    assert password == PASSWORD
    assert argon2.extract_parameters(checked) == hasher._hasher._parameters
    assert checked != Argon2Hasher()._nobodys


def test_the_event_loop_goes_on_while_a_password_is_hashed(hashed: str):
    hasher, beats = Argon2Hasher(), []

    def beat() -> Iterator[None]:
        while True:
            beats.append(time.monotonic())
            gevent.sleep(0.001)

    heart = gevent.spawn(beat)
    work = [gevent.spawn(hasher.verify, hashed, "wrong") for _ in range(3)]
    gevent.joinall(work, raise_error=True)
    heart.kill()

    assert [it.value for it in work] == [False] * 3
    assert len(beats) > 3


def test_two_are_hashed_at_once():
    pool = Argon2Hasher()._pool

    assert isinstance(pool, ThreadPool)
    assert pool.maxsize == 2


def test_twenty_wait_and_the_next_is_told_to_come_back():
    hasher = Argon2Hasher()
    hasher._pool = pool = HeldPool()
    waiting = [gevent.spawn(hasher.hash, PASSWORD) for _ in range(22)]
    gevent.idle()

    for refused in (hasher.hash, lambda password: hasher.verify(None, password)):
        with pytest.raises(Overloaded) as refusal:
            refused(PASSWORD)
        assert refusal.value.retry_after == 1
    assert pool.callers == 22

    pool.gate.set("done")
    gevent.joinall(waiting, raise_error=True)
    assert hasher.hash(PASSWORD) == "done"


def test_whoever_gives_up_waiting_makes_room():
    hasher = Argon2Hasher()
    hasher._pool = HeldPool()
    waiting = [gevent.spawn(hasher.hash, PASSWORD) for _ in range(22)]
    gevent.idle()

    gevent.killall(waiting)

    assert hasher._inside == 0

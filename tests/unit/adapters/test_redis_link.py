import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis_link import SETTINGS, TURNS, RedisLink, connect
from application.breaker import Breaker
from tests.fakes import FrozenClock


@pytest.mark.parametrize(
    "address",
    ["redis://127.0.0.1:6379/2", "unix:///run/redis.sock", "rediss://user:secret@example.org:6380/0"],
)
def test_every_client_has_the_frozen_settings(address):
    pool = connect(address).connection_pool

    assert pool.max_connections == 32
    assert {name: pool.connection_kwargs[name] for name in SETTINGS if name != "max_connections"} == {
        name: value for name, value in SETTINGS.items() if name != "max_connections"
    }


def test_an_address_cannot_widen_them():
    pool = connect("redis://127.0.0.1?socket_timeout=30&max_connections=9&health_check_interval=0").connection_pool

    assert pool.connection_kwargs["socket_timeout"] == 0.25
    assert pool.connection_kwargs["health_check_interval"] == 15
    assert pool.max_connections == 32


@pytest.mark.parametrize(
    "address",
    ["", "http://:secret@127.0.0.1", "redis://:secret@127.0.0.1:port", "redis://:secret@127.0.0.1?colour=red"],
)
def test_a_wrong_address_is_refused_at_once_without_being_quoted(address):
    with pytest.raises(ValueError, match="The address of Redis is not valid") as refusal:
        connect(address)

    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


FAILURES = 5
"""After so many the breaker is open."""


class Crowd:
    """Counts those who are in it at the same time."""

    def __init__(self) -> None:
        self.present = self.most = self.calls = 0

    def visit(self) -> str:
        self.present, self.calls = self.present + 1, self.calls + 1
        self.most = max(self.most, self.present)
        time.sleep(0.005)
        self.present -= 1
        return "PONG"

    def silence(self) -> str:
        self.calls += 1
        time.sleep(0.1)
        raise RedisTimeoutError


@pytest.fixture
def link():
    facts: list[object] = []
    client = connect("redis://127.0.0.1:1")
    return RedisLink(client, Breaker("redis", FrozenClock(), facts.append), facts.append)


def test_a_crowd_takes_turns_and_nobody_goes_without_an_answer(link):
    crowd = Crowd()

    with ThreadPoolExecutor(150) as pool:
        replies = list(pool.map(lambda _: link.ask(crowd.visit), range(150)))

    assert replies == ["PONG"] * 150
    assert crowd.most < SETTINGS["max_connections"] - 1


def test_of_a_crowd_only_the_first_wait_for_a_server_that_is_silent(link):
    crowd = Crowd()

    with ThreadPoolExecutor(150) as pool:
        replies = list(pool.map(lambda _: link.ask(crowd.silence), range(150)))

    assert set(replies) == {None}
    assert crowd.calls <= TURNS + FAILURES

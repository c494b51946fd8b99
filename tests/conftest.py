"""What holds for every test: no provider key from outside, and no network at all for the unit tests."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.contracts", "tests.fakes", "tests.servers", "tests.world")

_UNIT = Path(__file__).parent / "unit"
_OUTSIDE = ("_API_KEY", "_BASE_URL", "DATABASE_URL", "REDIS_URL")
_NETWORK = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"})

_offline = False


class NetworkUsed(BaseException):
    """A unit test reached for the network. Not an Exception, so that no code under test can swallow it."""


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if _offline and event in _NETWORK:
        raise NetworkUsed(f"{event}{arguments[1:]} in a unit test")


# An audit hook sees every socket, those of gevent and of C extensions that use Python's own included.
sys.addaudithook(_refuse_network)


def pytest_configure() -> None:
    """Nothing that configures the program may leak in from the shell of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("PARLEY_") or name.endswith(_OUTSIDE):
            del os.environ[name]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Switch the network off around a unit test, its fixtures included."""
    global _offline  # noqa: PLW0603 - an audit hook cannot be removed, only told
    _offline = _UNIT in item.path.parents
    try:
        return (yield)
    finally:
        _offline = False

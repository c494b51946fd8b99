"""What holds for every test: no provider key from outside, and no network at all for the unit tests."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.nodeid import NodeId

pytest.register_assert_rewrite("tests.contracts", "tests.fakes", "tests.servers", "tests.world")

_UNIT = Path(__file__).parent / "unit"
_OUTSIDE = ("_API_KEY", "_BASE_URL", "DATABASE_URL", "REDIS_URL")
_NETWORK = frozenset({"socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"})
_LONG = ("schemathesis", "benchmarks", "postgres", "mariadb")
"""Groups that begin first, so that at the end of a run no worker waits for another one."""

_offline = False


class NetworkUsed(BaseException):
    """A unit test reached for the network. Not an Exception, so that no code under test can swallow it."""


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if _offline and event in _NETWORK:
        raise NetworkUsed(f"{event}{arguments[1:]} in a unit test")


# An audit hook sees every socket, those of gevent and of C extensions that use Python's own included.
sys.addaudithook(_refuse_network)


def pytest_configure(config: pytest.Config) -> None:
    """Nothing that configures the program may leak in from the shell of whoever runs the tests."""
    config.option.loadscopereorder = False  # as they come, not those of most tests first
    for name in list(os.environ):
        if name.startswith("PARLEY_") or name.endswith(_OUTSIDE):
            del os.environ[name]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """What collecting makes stays until the end: looking through it for garbage again and again would take longer."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _group(item) not in _LONG)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> Iterator[None]:
    """With `--dist loadgroup` a group is one worker's, and a file without one is a group: its servers start once.

    pytest-xdist 3.8 writes the group where pytest 9.2 does not read it any more. What it needs is the name that it is
    told of each test here; everybody else is told the test's own.
    """
    items = session.items if getattr(session.config.option, "loadgroup", False) else []
    names = [item._id for item in items]
    for item in items:
        item._id = NodeId.parse(f"{item.nodeid}@{_group(item)}")
    yield
    for item, name in zip(items, names, strict=True):
        item._id = name


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    lost = node.config.option.dist == "loadgroup" and not all("@" in name for name in ids)
    assert not lost, "the groups did not reach pytest-xdist: every server would be started by each worker"


def _group(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else item.path.stem


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Switch the network off around a unit test, its fixtures included."""
    global _offline  # noqa: PLW0603 - an audit hook cannot be removed, only told
    _offline = _UNIT in item.path.parents
    try:
        return (yield)
    finally:
        _offline = False

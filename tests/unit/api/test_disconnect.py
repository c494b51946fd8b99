import socket

import gevent
import pytest

from api.disconnect import watch
from application.cancellation import Cancellation
from domain.errors import ClientGone
from tests.fakes import FrozenClock


@pytest.fixture
def pair():
    """The server's and the client's end of one connection."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def cancellation():
    return Cancellation(60, FrozenClock().monotonic)


@pytest.fixture
def watched(pair, cancellation):
    found = watch({"gunicorn.socket": pair[0]}, cancellation)
    yield found
    found.stop()


def _turn_the_loop():
    gevent.sleep(0.01)
    gevent.sleep(0)


def test_a_client_that_closes_cancels(pair, watched, cancellation):
    pair[1].close()
    _turn_the_loop()

    assert isinstance(cancellation.reason, ClientGone)


def test_a_client_that_waits_does_not(watched, cancellation):
    _turn_the_loop()

    assert cancellation.reason is None


def test_a_client_that_sends_its_next_request_is_watched_no_longer_and_loses_nothing(pair, watched, cancellation):
    pair[1].sendall(b"GET / HTTP/1.1\r\n")
    _turn_the_loop()
    pair[1].close()
    _turn_the_loop()

    assert cancellation.reason is None
    assert watched._io is None  # or the loop would spin on what nobody reads
    assert pair[0].recv(100) == b"GET / HTTP/1.1\r\n"


def test_a_watch_that_was_stopped_cancels_nothing(pair, watched, cancellation):
    watched.stop()
    watched.stop()
    pair[1].close()
    _turn_the_loop()

    assert cancellation.reason is None


def test_a_client_is_gone_only_once(pair, watched, cancellation):
    told = []
    cancellation.on_cancel(lambda: told.append(cancellation.reason))
    pair[1].close()
    _turn_the_loop()
    _turn_the_loop()

    assert len(told) == 1


class Reset:
    """A socket on which a reset has arrived."""

    def __init__(self, inner):
        self._inner = inner

    def fileno(self):
        return self._inner.fileno()

    def recv(self, *_):
        raise ConnectionResetError


def test_a_reset_cancels_too(pair, cancellation):
    found = watch({"gunicorn.socket": Reset(pair[0])}, cancellation)
    pair[1].sendall(b"x")
    _turn_the_loop()
    found.stop()

    assert isinstance(cancellation.reason, ClientGone)


class Early:
    """A socket that only looked readable."""

    def __init__(self, inner):
        self._inner = inner

    def fileno(self):
        return self._inner.fileno()

    def recv(self, *_):
        raise BlockingIOError


def test_a_false_alarm_cancels_nothing(pair, cancellation):
    found = watch({"gunicorn.socket": Early(pair[0])}, cancellation)
    pair[1].sendall(b"x")
    _turn_the_loop()
    found.stop()

    assert cancellation.reason is None


def test_there_is_nothing_to_watch_without_an_open_plain_socket(pair, cancellation):
    class Tls:
        _sslobj = None

    pair[0].close()

    assert watch({}, cancellation) is None
    assert watch({"gunicorn.socket": pair[0]}, cancellation) is None
    assert watch({"gunicorn.socket": Tls()}, cancellation) is None

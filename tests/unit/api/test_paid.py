import socket

import gevent
import pytest
from werkzeug.test import EnvironBuilder

from domain.errors import ClientGone, Overloaded

URL = "/api/v1/chat/completions"
ASKED = {"model": "acme/large", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def server():
    """The server's end of a client's connection, and the client's."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def _ask(site, end, **fields):
    return site.client.post(
        URL, json={**ASKED, **fields}, headers=site.headers, environ_overrides={"gunicorn.socket": end}, buffered=False
    )


def test_a_call_carries_the_id_of_its_request(site):
    answer = site.post(URL, ASKED)

    assert site.world.final().request_id == answer.headers["X-Request-Id"]


def test_a_call_ends_at_the_total_deadline(site):
    site.post(URL, ASKED)

    assert site.world.model.cancellations[0].remaining() == 600.0


def test_a_running_call_is_known_with_its_caller(site):
    callers = []
    site.world.script(lambda: callers.extend(site.world.in_flight.running()), "Hello")

    answer = site.post(URL, ASKED)

    assert [(name, caller.key_id) for name, caller in callers] == [(answer.headers["X-Request-Id"], "key_1")]


def test_a_client_that_leaves_while_the_provider_works_cancels_the_call(site, server):
    def leave():
        server[1].close()
        gevent.sleep(0.01)

    site.world.script("Hel", leave, "lo")
    answer = _ask(site, server[0])

    assert answer.status_code == 499
    assert isinstance(site.world.model.cancellations[0].reason, ClientGone)
    assert site.world.final().error_code == "client_gone"


def test_a_stream_bounds_what_a_client_may_leave_unread_and_for_how_long(site, server):
    answer = _ask(site, server[0], stream=True)

    assert server[0].gettimeout() == 30.0
    assert server[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 256 * 1024
    answer.close()
    assert server[0].gettimeout() is None


def test_a_call_that_was_not_admitted_leaves_no_trace(site, server, monkeypatch):
    def refuse(*_):
        raise Overloaded

    monkeypatch.setattr(site.world.in_flight, "enter", refuse)

    assert _ask(site, server[0]).status_code == 503
    assert len(site.world.in_flight) == 0


def test_a_socket_that_cannot_be_watched_costs_no_place(site, server, monkeypatch):
    def fail(*_):
        raise OSError

    monkeypatch.setattr("api.paid.watch", fail)

    assert _ask(site, server[0]).status_code == 500
    assert len(site.world.in_flight) == 0


def test_a_stream_that_cannot_be_handed_over_is_settled_and_left(site, server):
    class Broken:
        """A socket on which nothing can be set any more."""

        def __init__(self, sock):
            self._sock = sock
            self.fileno = sock.fileno

        def settimeout(self, seconds):
            raise OSError

    assert _ask(site, Broken(server[0]), stream=True).status_code == 500
    assert len(site.world.in_flight) == 0
    assert site.world.final().error_code == "client_gone"


def test_a_stream_whose_headers_the_server_refuses_is_settled_and_left(site):
    def refuse(*_):
        raise ValueError

    environ = EnvironBuilder(
        path=URL, method="POST", json={**ASKED, "stream": True}, headers=site.headers
    ).get_environ()
    with pytest.raises(ValueError):
        site.app(environ, refuse)

    assert len(site.world.in_flight) == 0
    assert site.world.final().error_code == "client_gone"


def test_a_client_that_only_stopped_sending_is_told_that_its_stream_was_cut(site, server):
    def stop_sending():
        server[1].shutdown(socket.SHUT_WR)
        gevent.sleep(0.01)

    site.world.script("Hel", stop_sending, "lo")
    told = _ask(site, server[0], stream=True).get_data(as_text=True)

    assert '"finish_reason":"error"' in told
    assert "[DONE]" not in told

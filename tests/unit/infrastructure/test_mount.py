"""Behind a proxy: the prefix, and whose word about the client counts."""

from ipaddress import ip_network

import pytest
from werkzeug.test import create_environ

from infrastructure.mount import BehindProxy, Prefixed

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
FORWARDED = {
    "X-Forwarded-For": "198.51.100.1, 203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
}


class Recorder:
    """A WSGI application that keeps what it was called with."""

    def __call__(self, environ, start_response):
        self.environ = dict(environ)
        return []


def seen(wrap, path="/", **options):
    recorder = Recorder()
    wrap(recorder)(create_environ(path, **options), lambda *_: None)
    return recorder.environ


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/parley/api/v1/me", "/api/v1/me"),
        ("/parley", "/"),
        ("/parley/", "/"),
        ("/api/v1/me", "/api/v1/me"),
        ("/parleyx/api", "/parleyx/api"),
        ("/parley/parley/x", "/parley/x"),
    ],
)
def test_the_prefix_is_taken_off_once_where_it_is_a_whole_name(path, inside):
    environ = seen(lambda wsgi: Prefixed(wsgi, "/parley"), path)

    assert (environ["PATH_INFO"], environ["SCRIPT_NAME"]) == (inside, "/parley")


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", ""])
def test_a_trusted_proxy_tells_address_and_scheme_and_nothing_else(peer):
    environ = seen(lambda wsgi: BehindProxy(wsgi, LOOPBACK), headers=FORWARDED, environ_overrides={"REMOTE_ADDR": peer})

    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.7", "https")
    assert (environ["HTTP_HOST"], environ["SERVER_PORT"], environ["SCRIPT_NAME"]) == ("localhost", "80", "")


@pytest.mark.parametrize("peer", ["203.0.113.9", "10.0.0.1", "2001:db8::1"])
def test_nobody_else_is_believed(peer):
    environ = seen(lambda wsgi: BehindProxy(wsgi, LOOPBACK), headers=FORWARDED, environ_overrides={"REMOTE_ADDR": peer})

    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == (peer, "http")

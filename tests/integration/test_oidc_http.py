"""The HTTP client for identity providers against servers that behave badly."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from adapters.accounts.oidc_http import OidcHttp
from domain.errors import OidcUnavailable
from tests.servers.authority import Authority
from tests.servers.program import free_port

Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """One server that answers each connection with `serve`, given after the head of the request was read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with suppress(OSError), connection:
                    if context is not None:
                        connection = context.wrap_socket(connection, server_side=True)  # the same one, now with TLS
                    connection.recv(65_536)
                    serve(connection)
                    connection.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def text(body: bytes, status: str = "200 OK", *headers: str) -> Serve:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n" + "".join(f"{it}\r\n" for it in headers) + "\r\n"
    return lambda connection: connection.sendall(head.encode() + body)


def test_an_answer_comes_with_its_status():
    with serving(text(b'{"a": 1}', "404 Not Found")) as issuer:
        answer = OidcHttp(issuer).get(f"{issuer}/x")

    assert (answer.status, answer.document()) == (404, {"a": 1})


def test_a_redirect_is_not_followed():
    with serving(text(b"{}")) as other, serving(text(b"", "302 Found", f"Location: {other}/x")) as issuer:
        assert OidcHttp(issuer).get(issuer).status == 302


def test_the_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    with serving(text(b"{}")) as issuer:
        assert OidcHttp(issuer).get(issuer).status == 200


def test_an_answer_of_more_than_a_megabyte_is_refused():
    with serving(text(json.dumps("x" * 1_000_000).encode())) as issuer, pytest.raises(OidcUnavailable, match="long"):
        OidcHttp(issuer).get(issuer)


def test_a_silent_server_is_left_after_the_time_out():
    with serving(lambda connection: connection.recv(1)) as issuer, pytest.raises(OidcUnavailable):
        OidcHttp(issuer, seconds=0.3).get(issuer)


def test_a_server_that_drips_is_left_too():
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        gate = threading.Event()
        for _ in range(100):
            connection.sendall(b" ")
            gate.wait(0.05)

    with serving(drip) as issuer, pytest.raises(OidcUnavailable):
        OidcHttp(issuer, seconds=0.4).get(issuer)


@pytest.mark.parametrize("junk", [b"", b"\0\0\0\0\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 500 + b"\r\n"])
def test_what_is_no_http_is_no_answer(junk: bytes):
    with serving(lambda connection: connection.sendall(junk)) as issuer, pytest.raises(OidcUnavailable):
        OidcHttp(issuer).get(issuer)


def test_a_cut_answer_is_no_document():
    half = b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a": '
    with serving(lambda connection: connection.sendall(half)) as issuer, pytest.raises(OidcUnavailable):
        OidcHttp(issuer).get(issuer).document()


def test_a_server_that_is_not_there_is_no_answer():
    issuer = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(OidcUnavailable):
        OidcHttp(issuer).post(issuer, {}, "a=b")


def test_a_header_with_a_line_break_is_not_sent():
    with serving(text(b"{}")) as issuer, pytest.raises(OidcUnavailable):
        OidcHttp(issuer).get(issuer, {"Authorization": "Bearer a\r\nX-B: c"})


@pytest.mark.parametrize("trusted", [True, False])
def test_the_certificate_of_an_https_server_is_checked(tmp_path: Path, trusted: bool):
    authority = Authority(tmp_path)
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(authority.certificate("127.0.0.1"))
    context = ssl.create_default_context(cafile=str(authority.file) if trusted else None)

    with serving(text(b"{}"), own) as issuer:
        http = OidcHttp(issuer, context)
        if trusted:
            assert http.get(issuer).status == 200
        else:
            with pytest.raises(OidcUnavailable):
                http.get(issuer)


@pytest.mark.parametrize(
    ("issuer", "address"),
    [
        ("https://id.example.com", "http://id.example.com/token"),
        ("https://id.example.com", "http://127.0.0.1/token"),
        ("http://127.0.0.1:1", "http://id.example.com/token"),
        ("http://id.example.com", "http://id.example.com/token"),
        ("http://id.example.com", "http://127.0.0.1/token"),
        ("http://127.0.0.1.example.com", "http://127.0.0.1.example.com/token"),
        ("https://id.example.com", "https://"),
        ("https://id.example.com", "https://a:b@id.example.com"),
        ("https://id.example.com", "https://id.example.com:x"),
        ("https://id.example.com", "https://[::1"),
        ("https://id.example.com", "ftp://id.example.com"),
        ("https://id.example.com", None),
    ],
)
def test_nothing_but_https_and_what_is_on_this_machine_is_dialled(issuer: str, address: object):
    with pytest.raises(OidcUnavailable, match="https"):
        OidcHttp(issuer).checked(address)


@pytest.mark.parametrize(
    ("issuer", "address"),
    [
        ("https://id.example.com", "https://login.example.net/token"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/token"),
        ("http://localhost:1", "http://[::1]:2/token"),
        ("http://127.0.0.1:1", "https://id.example.com/token"),
    ],
)
def test_https_and_what_is_on_this_machine_may_be_dialled(issuer: str, address: str):
    assert OidcHttp(issuer).checked(address) == address

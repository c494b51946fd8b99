"""The transport against servers that do what real ones do at their worst. All of them run in this process."""

import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gevent import socket as gevent_socket
from gevent.server import StreamServer

from adapters.ai.deadlines import Deadlines
from adapters.ai.transport import Transport
from application.cancellation import Cancellation
from domain import errors, provider_errors

DEADLINES = Deadlines(connect=0.5, headers=0.5, first_token=0.5, idle=0.5)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\nok"
Act = Callable[[Any, bytes], None]


class Upstream:
    """Answers each request on a connection with `act`; remembers the requests and counts the connections."""

    def __init__(self, act: Act, **tls: Any) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._act = act
        self._server = StreamServer(("127.0.0.1", 0), self._serve, **tls)
        self._server.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def stop(self) -> None:
        self._server.stop(timeout=0)

    def _serve(self, sock: Any, _address: object) -> None:
        self.connections += 1
        with suppress(OSError):
            while request := sock.recv(65_536):
                self.requests.append(request)
                self._act(sock, request)
        sock.close()


@pytest.fixture
def serve():
    started: list[Upstream] = []

    def start(act: Act, **tls: Any) -> Upstream:
        started.append(Upstream(act, **tls))
        return started[-1]

    yield start
    for upstream in started:
        upstream.stop()


def replies(data: bytes) -> Act:
    return lambda sock, _request: sock.sendall(data)


@pytest.fixture
def connect():
    """Makes a `Transport` to a port of this machine."""
    made: list[Transport] = []

    def to(port: int, deadlines: Deadlines = DEADLINES, host: str = "http://127.0.0.1", **options: Any) -> Transport:
        made.append(Transport(f"{host}:{port}/v1", deadlines, **options))
        return made[-1]

    yield to
    for transport in made:
        transport.close()


def a_cancellation(seconds: float = 20) -> Cancellation:
    return Cancellation(seconds, monotonic)


def post(transport: Transport, body: bytes = b"{}", cancellation: Cancellation | None = None) -> bytes:
    head = transport.head("POST", "/chat/completions", {"Authorization": "Bearer sk-1"})
    return transport.open(head, body, cancellation or a_cancellation(), "req_1").body()


def test_a_request_is_one_plain_message(serve, connect):
    upstream = serve(replies(OK))

    assert post(connect(upstream.port), b'{"a": 1}') == b"ok"
    assert upstream.requests == [
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        + f"Host: 127.0.0.1:{upstream.port}\r\n".encode()
        + b"Accept-Encoding: identity\r\nAuthorization: Bearer sk-1\r\n"
        + b'X-Request-Id: req_1\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    ]


def test_a_connection_is_used_again(serve, connect):
    upstream = serve(replies(OK))
    transport = connect(upstream.port)
    for _ in range(5):
        post(transport)

    assert (len(upstream.requests), upstream.connections) == (5, 1)


def test_a_connection_that_died_while_idle_is_not_used(serve, connect):
    def answer_and_leave(sock, _request):
        sock.sendall(OK)
        gevent.sleep(0.01)
        sock.close()

    upstream = serve(answer_and_leave)
    transport = connect(upstream.port)
    for _ in range(3):
        assert post(transport) == b"ok"
        gevent.sleep(0.05)

    assert upstream.connections == 3


def test_a_connection_with_unasked_bytes_on_it_is_not_used(serve, connect):
    def answer_twice(sock, _request):
        sock.sendall(OK)
        gevent.sleep(0.01)
        sock.sendall(OK.replace(b"ok", b"no"))

    upstream = serve(answer_twice)
    transport = connect(upstream.port)
    for _ in range(3):
        assert post(transport) == b"ok"
        gevent.sleep(0.05)

    assert upstream.connections == 3


def test_a_request_is_never_sent_twice(serve, connect):
    upstream = serve(lambda sock, _request: sock.close())

    with pytest.raises(provider_errors.UpstreamReset):
        post(connect(upstream.port))
    assert len(upstream.requests) == 1


def test_an_early_refusal_is_read_although_the_request_could_not_be_sent_whole(serve, connect):
    def refuse(sock, _request):
        """Until the last moment the client's system has room for more; then this side stops to listen."""
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        gevent.sleep(0.05)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    transport = connect(serve(refuse).port)
    exchange = transport.open(transport.head("POST", "/x", {}), b"x" * 20_000_000, a_cancellation())

    assert (exchange.answer.status, exchange.body()) == (413, b"big")


def test_a_closed_port_is_unreachable(connect):
    with gevent_socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    with pytest.raises(provider_errors.UpstreamUnreachable):
        post(connect(port))


def test_an_unknown_name_is_told_apart(connect, monkeypatch):
    def unknown(*_args):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(gevent_socket, "getaddrinfo", unknown)

    with pytest.raises(provider_errors.UpstreamDns):
        post(connect(80, host="http://nobody.invalid"))


@pytest.fixture
def full_port():
    """A listener whose backlog is full: the kernel answers no further connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


def test_connecting_has_its_own_deadline(full_port, connect):
    started = monotonic()

    with pytest.raises(provider_errors.UpstreamConnectTimeout):
        post(connect(full_port))
    assert 0.4 < monotonic() - started < 1.5


def test_cancelling_ends_a_connect_at_once(full_port, connect):
    cancellation = a_cancellation()
    gevent.spawn_later(0.05, cancellation.cancel, errors.ClientGone())

    with gevent.Timeout(0.4), pytest.raises(errors.ClientGone):
        post(connect(full_port), cancellation=cancellation)


def test_waiting_for_a_connection_of_a_busy_pool_ends_with_the_connect_deadline(serve, connect):
    upstream = serve(lambda _sock, _request: gevent.sleep(5))
    transport = connect(upstream.port, Deadlines(connect=0.2, headers=5), size=1)
    first = transport.open(transport.head("POST", "/x", {}), b"", a_cancellation())

    with pytest.raises(provider_errors.UpstreamConnectTimeout):
        post(transport)
    first.close()
    assert len(upstream.requests) == 1


def test_a_released_connection_goes_to_who_waits_for_it(serve, connect):
    def slowly(sock, _request):
        gevent.sleep(0.1)
        sock.sendall(OK)

    transport = connect(serve(slowly).port, size=1)
    jobs = [gevent.spawn(post, transport) for _ in range(3)]
    gevent.joinall(jobs, raise_error=True)

    assert [job.value for job in jobs] == [b"ok"] * 3


def test_the_total_deadline_wins_over_the_longer_ones(serve, connect):
    upstream = serve(lambda _sock, _request: None)

    with pytest.raises(provider_errors.UpstreamTotalTimeout):
        post(connect(upstream.port), cancellation=a_cancellation(0.1))


def test_a_provider_has_a_total_deadline_of_its_own(serve, connect):
    upstream = serve(lambda _sock, _request: gevent.sleep(2))

    with gevent.Timeout(1), pytest.raises(provider_errors.UpstreamTotalTimeout):
        post(connect(upstream.port, Deadlines(total=0.1)))


def test_no_request_is_made_when_no_time_is_left(serve, connect):
    upstream = serve(replies(OK))

    with pytest.raises(provider_errors.UpstreamTotalTimeout):
        post(connect(upstream.port), cancellation=a_cancellation(0))
    assert upstream.connections == 0


def test_a_redirect_is_not_followed(serve, connect):
    target = serve(replies(OK))
    location = f"Location: http://127.0.0.1:{target.port}/\r\n".encode()
    upstream = serve(replies(b"HTTP/1.1 302 Found\r\n" + location + b"Content-Length: 0\r\n\r\n"))
    transport = connect(upstream.port)
    exchange = transport.open(transport.head("POST", "/x", {}), b"", a_cancellation())
    exchange.body()

    assert (exchange.answer.status, target.connections) == (302, 0)


def test_proxies_of_the_environment_are_not_used(serve, connect, monkeypatch):
    proxy, upstream = serve(replies(OK)), serve(replies(OK))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    post(connect(upstream.port))

    assert (proxy.connections, upstream.connections) == (0, 1)


def test_an_answer_without_end_is_given_up(serve, connect):
    def flood(sock, _request):
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b"x" * 1_000_000)

    def forgiving(sock, request):
        try:
            flood(sock, request)
        except OSError:
            sock.close()

    with pytest.raises(provider_errors.UpstreamTooLarge):
        post(connect(serve(forgiving).port))


def test_an_unread_answer_is_not_read_ahead(serve, connect):
    sent = 0

    def flood(sock, _request):
        nonlocal sent
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            for _ in range(100):
                sock.sendall(b"x" * 1_000_000)
                sent += 1
        except OSError:
            sock.close()

    transport = connect(serve(flood).port)
    exchange = transport.open(transport.head("POST", "/x", {}), b"", a_cancellation())
    exchange.head()
    gevent.sleep(0.2)

    assert sent < 20
    assert len(exchange.answer.buffer) <= 65_536
    exchange.close()


def test_a_cancelled_connection_is_never_used_again(serve, secure, connect):
    upstream = serve(replies(OK))
    transport = connect(upstream.port)
    cancellation = a_cancellation()
    exchange = transport.open(transport.head("POST", "/x", {}), b"", cancellation)
    cancellation.cancel(errors.StoppedByUser())

    with pytest.raises(errors.StoppedByUser):
        exchange.body()
    post(transport)
    assert upstream.connections == 2


class Authority:
    """Signs certificates for the tests."""

    def __init__(self, folder: Path, host: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate = folder / f"{host}.pem"
        self.key = folder / f"{host}.key"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def server_side(self) -> dict[str, Any]:
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return {"ssl_context": context}


@pytest.fixture
def quiet_server(monkeypatch):
    """Gevent prints what a client does to a handshake."""
    monkeypatch.setattr(StreamServer, "wrap_socket_and_handle", _tolerant(StreamServer.wrap_socket_and_handle))


def _tolerant(handle):
    def tolerant(self, client, address):
        try:
            handle(self, client, address)
        except OSError:
            client.close()

    return tolerant


@pytest.fixture
def localhost(tmp_path):
    return Authority(tmp_path, "localhost")


@pytest.fixture
def secure(connect):
    def to(port: int, authority: Authority | None = None) -> Transport:
        ca_file = str(authority.certificate) if authority else None
        return connect(port, host="https://localhost", ca_file=ca_file)

    return to


def test_a_certificate_of_a_known_authority_is_accepted_and_the_connection_kept(serve, secure, localhost):
    upstream = serve(replies(OK), **localhost.server_side())
    transport = secure(upstream.port, localhost)

    assert [post(transport), post(transport)] == [b"ok", b"ok"]
    assert upstream.connections == 1


@pytest.mark.parametrize("known", [False, True])
def test_a_wrong_certificate_ends_it_before_the_key_is_sent(serve, secure, tmp_path, localhost, quiet_server, known):
    authority = Authority(tmp_path, "elsewhere.example") if known else localhost
    upstream = serve(replies(OK), **authority.server_side())

    with pytest.raises(provider_errors.UpstreamTls):
        post(secure(upstream.port, authority if known else None))
    assert upstream.requests == []


def test_cancelling_wakes_a_reader_of_an_encrypted_connection(serve, secure, localhost):
    upstream = serve(lambda _sock, _request: None, **localhost.server_side())
    cancellation = a_cancellation()
    gevent.spawn_later(0.1, cancellation.cancel, errors.ClientGone())

    with gevent.Timeout(0.4), pytest.raises(errors.ClientGone):
        post(secure(upstream.port, localhost), cancellation=cancellation)

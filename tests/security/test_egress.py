"""Where the program goes: told by the socket itself, for every connection that it wants to make.

An audit hook sees each `connect` of this process with its address, whichever library makes it. While a test listens,
none that leads off the loopback is made.
"""

import _socket
import gzip
import json
import socket
import ssl
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket as gevent_socket
from gevent.server import StreamServer

from adapters.accounts.oidc_http import OidcHttp
from adapters.ai.deadlines import Deadlines
from adapters.ai.openai_compatible import OpenAIWire
from adapters.ai.profile import Link, Profile
from adapters.ai.transport import Transport
from adapters.egress import AddressRefused, Destination, resolved
from application.cancellation import Cancellation
from application.model_ports import ChatModel
from domain import provider_errors
from domain.completion import Prompt
from domain.errors import ClientGone, InvalidRequest, OidcUnavailable
from domain.provider_entry import checked_address
from domain.provider_errors import ProviderError, UpstreamAddressRefused, UpstreamTooLarge
from tests.fakes import RecordingRecorder
from tests.servers.authority import Authority

DEADLINES = Deadlines(connect=0.5, headers=2, first_token=2, idle=2)
PUBLIC, OTHER_PUBLIC = "93.184.215.14", "2606:4700::1111"
NAME = "llm.example.com"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
Act = Callable[[Any, bytes], None]
Dial = Callable[[str], None]
"""Asks a host, as it stands in a URL, for something."""


# ── the recorder ─────────────────────────────────────────────────────────────────────────────────────────────────


class Recorder:
    """The addresses of all `connect`s, as the socket got them."""

    def __init__(self) -> None:
        self.addresses: list[tuple[Any, ...]] = []
        self._last: Any = None

    def hears(self, sock: Any, address: Any) -> None:
        """Gevent asks a socket that is connecting for the same once more, to learn how it went."""
        if sock is self._last and address == self.addresses[-1]:
            return
        self._last = sock
        self.addresses.append(address)
        if not str(address[0]).startswith("127.") and address[0] != "::1":
            raise ConnectionRefusedError("No test leaves the loopback.")

    @property
    def hosts(self) -> list[str]:
        return [str(address[0]) for address in self.addresses]


_listening: list[Recorder] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _listening and arguments[0].family != socket.AF_UNIX:
        _listening[-1].hears(*arguments)


sys.addaudithook(_hear)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    found = Recorder()
    _listening.append(found)
    yield found
    _listening.remove(found)


class Names:
    """A name server. Each name has a list of answers; the last one stays. What it was not told is `PUBLIC`.

    Numbers of any form are read as the system's own resolver reads them, which asks nobody.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *rest: Any, **more: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host not in self.answers:
            with suppress(socket.gaierror):
                return list(_socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST))
        answers = self.answers.get(host, [[PUBLIC]])
        return [_resolved(text, port) for text in (answers.pop(0) if len(answers) > 1 else answers[0])]


def _resolved(text: str, port: int) -> tuple[Any, ...]:
    if ":" in text:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (text, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (text, port)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """In the place of every way to look a name up, so that whoever looks again hears the next answer."""
    found = Names()
    for where in ("socket", "gevent.socket", "gevent._socketcommon"):
        monkeypatch.setattr(f"{where}.getaddrinfo", found)
    return found


# ── the three who dial ───────────────────────────────────────────────────────────────────────────────────────────


def a_cancellation(seconds: float = 20) -> Cancellation:
    return Cancellation(seconds, time.monotonic)


def post(transport: Transport, cancellation: Cancellation | None = None) -> bytes:
    return transport.open(transport.head("POST", "/x", {}), b"{}", cancellation or a_cancellation()).body()


def to_provider(host: str) -> None:
    post(Transport(f"https://{host}/v1", DEADLINES))


def to_private_provider(host: str) -> None:
    post(Transport(f"https://{host}/v1", DEADLINES, private=True))


def to_identity_provider(host: str) -> None:
    """Its issuer is elsewhere, and public: the host is what the discovery document names."""
    OidcHttp("https://id.example.com", seconds=1).get(f"https://{host}/token")


def to_private_identity_provider(host: str) -> None:
    OidcHttp("https://id.example.com", seconds=1, private=True).get(f"https://{host}/token")


PUBLIC_WAYS = (to_provider, to_identity_provider)
PRIVATE_WAYS = (to_private_provider, to_private_identity_provider)
REFUSALS = (UpstreamAddressRefused, InvalidRequest, OidcUnavailable)

STRANGE_HOSTS = (
    # numbers that resolvers read as addresses
    *("2130706433", "2852039166", "0x7f000001", "0xa9fea9fe", "017700000001", "0177.0.0.1", "0251.0376.0251.0376"),
    *("0x7f.0x0.0x0.0x1", "127.1", "127.0.1", "169.254.43518", "0", "00.00.00.00", "0x0", "127.0.0.01", "1.1"),
    # nowhere, link-local and its metadata servers, groups, reserved
    *("0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.170.2", "169.254.0.23", "224.0.0.1", "239.255.255.250"),
    *("240.0.0.1", "255.255.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.0.192", "192.88.99.1"),
    *("100.100.100.200", "168.63.129.16"),
    *("[::]", "[fe80::1]", "[fe80::a9fe:a9fe]", "[fec0::1]", "[ff02::1]", "[fd00:ec2::254]", "[fd20:ce::254]"),
    *("[fd00:42::42]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]", "[4000::1]"),
    # an IPv4 address in disguise
    *("[::ffff:a9fe:a9fe]", "[::ffff:169.254.169.254]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]"),
    *("[0:0:0:0:0:ffff:7f00:1]", "[::FFFF:127.0.0.1]", "[::127.0.0.1]", "[::a9fe:a9fe]", "[::ffff:0:169.254.169.254]"),
    *("[64:ff9b::a9fe:a9fe]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::a9fe:a9fe]", "[64:ff9b:1:a9fe:a9:fe00::]"),
    *("[2002:a9fe:a9fe::]", "[2002:7f00:1::]", "[2001:0:a9fe:a9fe::]", "[2001:0:808:808::5601:5601]"),
    # zones
    *("[fe80::1%25eth0]", "[fe80::1%eth0]", "[fd00::1%25eth0]", "[fd00::1%1]", "[::1%25lo]"),
    # digits, stops and letters of other scripts
    *("①②⑦.0.0.1", "127。0。0。1", "１２７.0.0.1", "127．0．0．1", "ⓛocalhost", "bücher.example", "lo\u00adcalhost"),
    # what one reader takes for the host and another one does not
    *("localhost.", "127.0.0.1.", "169.254.169.254.", "llm.example.com.", "metadata.google.internal."),
    *("u@127.0.0.1", "llm.example.com@127.0.0.1", "llm.example.com:80@127.0.0.1", "@127.0.0.1", "127.0.0.1@8.8.8.8"),
    *("llm.example.com\\@127.0.0.1", "127.0.0.1\\.example.com", "llm.example.com\\", "llm.example.com%2e", "127%2e1"),
    *("llm.example.com%00.example.org", "llm.example.com%0d%0a", "127.0.0.1;.example.com", "[::1].example.com"),
    *("llm..example.com", ".example.com", "-llm.example.com", "llm.example.com:0x50", "llm.example.com:99999", "[::1"),
    *("llm example.com", "llm.example.com,127.0.0.1", "a" * 64 + ".example.com", "", ":443", "[]", "[127.0.0.1]"),
    # the names of metadata servers
    *(
        "metadata",
        "metadata.google.internal",
        "METADATA.google.internal",
        "instance-data",
        "instance-data.ec2.internal",
    ),
)
NEVER_ANSWERS = (
    *(["0.0.0.0"], ["169.254.169.254"], ["169.254.170.2"], ["100.100.100.200"], ["168.63.129.16"], ["192.0.0.192"]),
    *(["224.0.0.1"], ["240.0.0.1"], ["255.255.255.255"], ["192.0.2.1"], ["::"], ["fe80::1"], ["fe80::1%eth0"]),
    *(["fec0::1"], ["ff02::1"], ["fd00:ec2::254"], ["fd20:ce::254"], ["2001:db8::1"], ["4000::1"]),
    *(["::ffff:169.254.169.254"], ["::ffff:127.0.0.1"], ["::127.0.0.1"], ["64:ff9b::10.0.0.1"], ["64:ff9b:1::7f00:1"]),
    *(["2002:a9fe:a9fe::"], ["2001:0:808:808::5601:5601"], ["64:ff9b::a9fe:a9fe"]),
    *([PUBLIC, "169.254.169.254"], ["169.254.169.254", PUBLIC], [PUBLIC, OTHER_PUBLIC, "::ffff:a9fe:a9fe"]),
    *(["127.0.0.1", "0.0.0.0"], ["10.0.0.1", "fe80::1"], [OTHER_PUBLIC, "ff02::1"]),
)
NEAR_ANSWERS = (
    *(["127.0.0.1"], ["127.8.8.8"], ["::1"], ["10.0.0.5"], ["172.31.0.1"], ["192.168.0.7"], ["100.64.0.1"]),
    *(["fd00::5"], ["198.18.0.7"], [PUBLIC, "10.0.0.5"], ["127.0.0.1", PUBLIC], [OTHER_PUBLIC, "::1"]),
)


def test_the_table_is_long_enough_and_says_nothing_twice():
    assert len(STRANGE_HOSTS) == len(set(STRANGE_HOSTS)) >= 60


@pytest.mark.parametrize("way", [*PUBLIC_WAYS, *PRIVATE_WAYS])
@pytest.mark.parametrize("host", STRANGE_HOSTS)
def test_a_strange_host_is_never_dialled(host: str, way: Dial, recorder: Recorder, names: Names):
    with pytest.raises(REFUSALS):
        way(host)

    assert recorder.addresses == []
    assert names.asked == []


@pytest.mark.parametrize("host", STRANGE_HOSTS)
def test_a_strange_host_cannot_be_entered(host: str):
    with pytest.raises(InvalidRequest):
        checked_address(f"https://{host}/v1")


@pytest.mark.parametrize("ending", ["#@127.0.0.1", "?@127.0.0.1", "#", "?"])
def test_what_hides_behind_the_host_of_a_provider_is_refused(ending: str, recorder: Recorder, names: Names):
    with pytest.raises(InvalidRequest):
        to_provider(NAME + ending)

    assert recorder.addresses == []


@pytest.mark.parametrize("way", [*PUBLIC_WAYS, *PRIVATE_WAYS])
@pytest.mark.parametrize("answer", NEVER_ANSWERS)
def test_one_bad_address_refuses_the_name(answer: list[str], way: Dial, recorder: Recorder, names: Names):
    names.answers[NAME] = [answer]

    with pytest.raises(REFUSALS):
        way(NAME)
    assert (recorder.addresses, names.asked) == ([], [NAME])


@pytest.mark.parametrize("answer", NEVER_ANSWERS)
@pytest.mark.parametrize("host", ["ollama", "localhost", "llm.internal", "gpu.local"])
def test_a_private_name_leads_to_no_such_address_either(host: str, answer: list[str], recorder: Recorder, names: Names):
    names.answers[host] = [answer]

    with pytest.raises(UpstreamAddressRefused):
        to_provider(host)
    assert recorder.addresses == []


@pytest.mark.parametrize("way", PUBLIC_WAYS)
@pytest.mark.parametrize("answer", NEAR_ANSWERS)
def test_a_public_name_does_not_lead_inside(answer: list[str], way: Dial, recorder: Recorder, names: Names):
    names.answers[NAME] = [answer]

    with pytest.raises((UpstreamAddressRefused, OidcUnavailable), match="leads to an address"):
        way(NAME)
    assert recorder.addresses == []


@pytest.mark.parametrize("way", PRIVATE_WAYS)
@pytest.mark.parametrize("answer", NEAR_ANSWERS)
def test_it_does_where_the_operator_says_so(answer: list[str], way: Dial, recorder: Recorder, names: Names):
    names.answers[NAME] = [answer]

    with pytest.raises((ProviderError, OidcUnavailable)):
        way(NAME)
    assert recorder.hosts == answer


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.1.2.3", "[fd00::1]", "172.16.0.1", "192.168.1.1"])
def test_an_address_of_ones_own_says_so_itself(host: str, recorder: Recorder, names: Names):
    with pytest.raises(ProviderError):
        to_provider(host)

    assert recorder.hosts == [host.strip("[]")]


@pytest.mark.parametrize("host", ["localhost", "ollama", "llm.internal", "gpu.local", "a.localhost", "x.home.arpa"])
def test_a_name_of_ones_own_says_so_itself(host: str, recorder: Recorder, names: Names):
    names.answers[host] = [["172.18.0.3"]]

    with pytest.raises(ProviderError):
        to_provider(host)
    assert recorder.hosts == ["172.18.0.3"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.1.2.3", "localhost", "keycloak", "id.internal"])
def test_what_an_identity_provider_names_does_not_say_so(host: str, recorder: Recorder, names: Names):
    names.answers |= {name: [["10.0.0.5"]] for name in ("localhost", "keycloak", "id.internal")}

    with pytest.raises(OidcUnavailable, match="leads to an address"):
        to_identity_provider(host)
    assert recorder.addresses == []


@pytest.mark.parametrize("way", PUBLIC_WAYS)
@pytest.mark.parametrize("answer", [[PUBLIC], [OTHER_PUBLIC], [PUBLIC, OTHER_PUBLIC], ["64:ff9b::8.8.8.8"]])
def test_public_addresses_are_dialled_in_their_order(answer: list[str], way: Dial, recorder: Recorder, names: Names):
    names.answers[NAME] = [answer]

    with pytest.raises((provider_errors.UpstreamUnreachable, OidcUnavailable)):
        way(NAME)
    assert recorder.addresses == [_resolved(text, 443)[-1] for text in answer]


def test_what_is_no_ip_address_is_not_dialled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gevent_socket, "getaddrinfo", lambda *_: [(socket.AF_UNIX, 1, 0, "", ("/run/redis.sock",))])

    with pytest.raises(AddressRefused):
        resolved(Destination(NAME, 443, near=True))


def test_a_name_without_any_address_is_unknown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gevent_socket, "getaddrinfo", lambda *_: [])

    with pytest.raises(provider_errors.UpstreamDns):
        to_provider(NAME)


# ── a name that changes its mind ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", PUBLIC_WAYS)
def test_what_was_checked_is_what_is_dialled(way: Dial, recorder: Recorder, names: Names):
    names.answers[NAME] = [[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]]

    with pytest.raises((provider_errors.UpstreamUnreachable, OidcUnavailable)):
        way(NAME)
    assert (recorder.addresses, names.asked) == ([(PUBLIC, 443)], [NAME])


def test_it_is_checked_again_for_the_next_connection(recorder: Recorder, names: Names):
    transport = Transport(f"https://{NAME}/v1", DEADLINES)
    names.answers[NAME] = [[PUBLIC], ["127.0.0.1"], [PUBLIC]]

    for error in (provider_errors.UpstreamUnreachable, UpstreamAddressRefused, provider_errors.UpstreamUnreachable):
        with pytest.raises(error):
            post(transport)
    assert recorder.hosts == [PUBLIC, PUBLIC]


def test_a_refusal_takes_no_place_in_the_pool(recorder: Recorder, names: Names):
    transport = Transport(f"https://{NAME}/v1", DEADLINES, size=1)
    names.answers[NAME] = [["127.0.0.1"]]

    for _ in range(3):
        with pytest.raises(UpstreamAddressRefused):
            post(transport)


# ── servers on this machine ──────────────────────────────────────────────────────────────────────────────────────


class Server:
    """Answers each request by `act`; remembers the requests, and the names that TLS was asked for."""

    def __init__(self, act: Act, certificate: Path | None = None) -> None:
        self.requests: list[bytes] = []
        self.indications: list[str | None] = []
        self.connections = 0
        self._act = act
        tls = {} if certificate is None else {"ssl_context": self._context(certificate)}
        self._server = StreamServer(("127.0.0.1", 0), self._serve, **tls)
        self._server.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def stop(self) -> None:
        self._server.stop(timeout=0)

    def _context(self, certificate: Path) -> ssl.SSLContext:
        context: ssl.SSLContext = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda _sock, name, _context: self.indications.append(name)
        return context

    def _serve(self, sock: Any, _address: object) -> None:
        self.connections += 1
        with suppress(OSError):
            while request := sock.recv(65_536):
                self.requests.append(request)
                self._act(sock, request)
        sock.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []
    handle = StreamServer.wrap_socket_and_handle

    def tolerant(self: Any, client: Any, address: Any) -> None:
        """Gevent prints what a client does to a handshake."""
        try:
            handle(self, client, address)
        except OSError:
            client.close()

    def start(act: Act, certificate: Path | None = None) -> Server:
        started.append(Server(act, certificate))
        return started[-1]

    monkeypatch.setattr(StreamServer, "wrap_socket_and_handle", tolerant)
    yield start
    for server in started:
        server.stop()


def replies(answer: bytes) -> Act:
    return lambda sock, _request: sock.sendall(answer)


def a_chat(port: int) -> ChatModel:
    transport = Transport(f"http://127.0.0.1:{port}/v1", DEADLINES)
    return OpenAIWire().chat(Profile("acme", ""), Link(transport, "sk-0123456789", RecordingRecorder(), 1))


def ask(chat: ChatModel, how: str, content: Any = "hi") -> None:
    prompt = Prompt("m", [{"role": "user", "content": content}])
    if how == "complete":
        chat.complete(prompt, a_cancellation())
    else:
        list(chat.stream(prompt, a_cancellation()))


HOW = pytest.mark.parametrize("how", ["complete", "stream"])


def test_the_name_is_what_tls_and_the_server_hear_of(
    serve: Callable[..., Server], tmp_path: Path, recorder: Recorder, names: Names
):
    authority = Authority(tmp_path)
    server = serve(replies(OK), authority.certificate(NAME))
    names.answers[NAME] = [["127.0.0.1"]]

    base_url = f"https://{NAME}:{server.port}"
    assert post(Transport(base_url, DEADLINES, ca_file=str(authority.file), private=True)) == b"{}"
    assert recorder.addresses == [("127.0.0.1", server.port)]
    assert server.indications == [NAME]
    assert f"\r\nHost: {NAME}:{server.port}\r\n".encode() in server.requests[0]


@pytest.mark.parametrize("owner", ["127.0.0.1", "elsewhere.example.com"])
def test_a_certificate_for_the_address_instead_of_the_name_is_none(
    owner: str, serve: Callable[..., Server], tmp_path: Path, names: Names
):
    authority = Authority(tmp_path)
    server = serve(replies(OK), authority.certificate(owner))
    names.answers[NAME] = [["127.0.0.1"]]

    with pytest.raises(provider_errors.UpstreamTls):
        post(Transport(f"https://{NAME}:{server.port}", DEADLINES, ca_file=str(authority.file), private=True))
    assert server.requests == []


def test_a_connection_that_is_kept_is_not_looked_up_again(
    serve: Callable[..., Server], recorder: Recorder, names: Names
):
    server = serve(replies(OK))
    names.answers["ollama"] = [["127.0.0.1"], ["169.254.169.254"]]
    transport = Transport(f"http://ollama:{server.port}", DEADLINES)
    for _ in range(5):
        post(transport)

    assert (names.asked, recorder.addresses) == (["ollama"], [("127.0.0.1", server.port)])


def test_the_next_of_several_addresses_is_tried(serve: Callable[..., Server], recorder: Recorder, names: Names):
    server = serve(replies(OK))
    names.answers["ollama"] = [["10.0.0.5", "127.0.0.1"]]

    assert post(Transport(f"http://ollama:{server.port}", DEADLINES)) == b"{}"
    assert recorder.hosts == ["10.0.0.5", "127.0.0.1"]


# ── looking up takes time ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The system's resolver, in which a thread gets stuck until the event is set."""
    released = threading.Event()

    def stuck(*_: Any) -> list[tuple[Any, ...]]:
        released.wait(10)
        return [_resolved(PUBLIC, 443)]

    monkeypatch.setattr(_socket, "getaddrinfo", stuck)
    yield released
    released.set()


def test_looking_up_stops_nobody_else_and_ends_with_the_deadline(slow_names: threading.Event, recorder: Recorder):
    beats: list[float] = []
    heart = gevent.spawn(_beat, beats)
    started = time.monotonic()

    with pytest.raises(provider_errors.UpstreamConnectTimeout):
        to_provider(NAME)
    heart.kill()
    assert 0.4 < time.monotonic() - started < 1.5
    assert len(beats) > 20
    assert recorder.addresses == []


def _beat(beats: list[float]) -> None:
    while True:
        gevent.sleep(0.01)
        beats.append(time.monotonic())


def test_looking_up_ends_with_the_call(slow_names: threading.Event):
    cancellation = a_cancellation()
    gevent.spawn_later(0.05, cancellation.cancel, ClientGone())

    with gevent.Timeout(0.4), pytest.raises(ClientGone):
        post(Transport(f"https://{NAME}", DEADLINES), cancellation)


def test_a_login_waits_no_longer_for_a_name_than_for_a_server(slow_names: threading.Event, recorder: Recorder):
    started = time.monotonic()

    with pytest.raises(OidcUnavailable):
        OidcHttp("https://id.example.com", seconds=0.3).get("https://id.example.com/token")
    assert 0.2 < time.monotonic() - started < 5
    assert recorder.addresses == []


# ── what an answer may do ────────────────────────────────────────────────────────────────────────────────────────


@HOW
@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, how: str, serve: Callable[..., Server], recorder: Recorder):
    trap = serve(replies(OK))
    location = f"http://127.0.0.1:{trap.port}/"
    ways = f"Location: {location}\r\nRefresh: 0; url={location}\r\nContent-Length: 0\r\n\r\n"
    server = serve(replies(f"HTTP/1.1 {status} Elsewhere\r\n{ways}".encode()))

    with pytest.raises(provider_errors.UpstreamRedirect):
        ask(a_chat(server.port), how)
    assert recorder.addresses == [("127.0.0.1", server.port)]
    assert (len(server.requests), trap.connections) == (1, 0)


BOMBS = ("gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "compress", "gzip, gzip, gzip", "identity, gzip")


@HOW
@pytest.mark.parametrize("encoding", BOMBS)
def test_a_compressed_answer_is_refused_before_it_is_read(encoding: str, how: str, serve: Callable[..., Server]):
    sent = 0

    def bomb(sock: Any, _request: bytes) -> None:
        nonlocal sent
        kind = "application/json" if how == "complete" else "text/event-stream"
        sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Encoding: {encoding}\r\n\r\n".encode())
        piece = gzip.compress(bytes(10_000_000))
        for _ in range(20_000):
            sock.sendall(piece)
            sent += len(piece)

    server = serve(bomb)
    with pytest.raises(UpstreamTooLarge):
        ask(a_chat(server.port), how)
    assert b"\r\nAccept-Encoding: identity\r\n" in server.requests[0]
    assert sent < 20_000_000


@HOW
def test_an_answer_that_does_not_say_it_is_compressed_is_not_unpacked(how: str, serve: Callable[..., Server]):
    body = gzip.compress(b'{"choices": []}')
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    with pytest.raises((provider_errors.UpstreamBadJson, provider_errors.UpstreamBadContent)):
        ask(a_chat(serve(replies(head.encode() + body)).port), how)


@HOW
def test_a_head_without_end_is_cut(how: str, serve: Callable[..., Server]):
    def endless(sock: Any, _request: bytes) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(1_000_000):
            sock.sendall(f"X-{number}: {'x' * 1000}\r\n".encode())

    with pytest.raises(UpstreamTooLarge):
        ask(a_chat(serve(endless).port), how)


def test_a_body_without_end_is_cut_and_takes_bounded_memory(serve: Callable[..., Server]):
    def endless(sock: Any, _request: bytes) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(1_000):
            sock.sendall(b"x" * 1_000_000)

    chat = a_chat(serve(endless).port)
    tracemalloc.start()
    with pytest.raises(UpstreamTooLarge):
        ask(chat, "complete")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000_000


@pytest.fixture
def identity() -> Iterator[Callable[[bytes], str]]:
    """Starts a server in a thread that gives one answer, whatever it is asked, and tells its address."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65_536)
                        connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def answered(body: bytes, *headers: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body


def test_a_compressed_document_of_an_identity_provider_is_not_unpacked(identity: Callable[[bytes], str]):
    bomb = gzip.compress(b'{"issuer": "' + bytes(500_000_000) + b'"}')
    issuer = identity(answered(bomb, "Content-Encoding: gzip"))
    tracemalloc.start()
    with pytest.raises(OidcUnavailable):
        OidcHttp(issuer).get(issuer).document()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 10_000_000


def test_a_redirect_of_an_identity_provider_is_not_followed(identity: Callable[[bytes], str], recorder: Recorder):
    trap = identity(answered(b"{}"))
    issuer = identity(f"HTTP/1.1 302 Found\r\nLocation: {trap}/\r\nContent-Length: 0\r\n\r\n".encode())

    assert OidcHttp(issuer).get(issuer).status == 302
    assert [f"http://127.0.0.1:{port}" for _, port in recorder.addresses] == [issuer]


def test_a_long_head_of_an_identity_provider_is_refused(identity: Callable[[bytes], str]):
    issuer = identity(answered(b"{}", "X-Long: " + "x" * 100_000))

    with pytest.raises(OidcUnavailable):
        OidcHttp(issuer).get(issuer)


# ── what users send ──────────────────────────────────────────────────────────────────────────────────────────────


@HOW
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{trap}/a.png",
        "https://169.254.169.254/latest/meta-data",
        "http://localhost:{trap}/",
        "ftp://x",
    ],
)
def test_an_image_is_passed_on_and_never_fetched(
    url: str, how: str, serve: Callable[..., Server], recorder: Recorder, names: Names
):
    trap, server = serve(replies(OK)), serve(replies(OK))
    image = url.format(trap=trap.port)

    with pytest.raises(ProviderError):
        ask(a_chat(server.port), how, [{"type": "image_url", "image_url": {"url": image}}])
    assert json.dumps(image).encode() in b"".join(server.requests)
    assert (recorder.addresses, trap.connections) == ([("127.0.0.1", server.port)], 0)
    assert names.asked == ["127.0.0.1"]

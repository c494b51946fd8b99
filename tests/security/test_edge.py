"""What arrives at the socket, byte by byte, at the real program: one meaning or none, and never a 5xx."""

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.gateway import FAST, Gateway

pytestmark = pytest.mark.xdist_group("edge")

CANARY = "sk-canary0of0the0environment0123456789"
SIGNING = "canary0f1e2d3c4b5a69788" * 2
PASSWORD = "canary-password-of-the-store"
BODY = json.dumps({"model": "echo/echo", "messages": [{"role": "user", "content": "hi"}]}).encode()
CHUNKED_BODY = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SECOND = b"GET /api/v1/second HTTP/1.1\r\nHost: parley\r\n\r\n"
"""Pipelined behind a request that must be refused: its 404 would show that it was executed."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("edge")
    env = {
        "OPENAI_API_KEY": CANARY,
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "PARLEY_SECRET_KEY": SIGNING,
        "MAIL_PASSWORD": PASSWORD,
    }
    gateway = Gateway(folder, env=env, config=FAST).start()
    workers = gateway.workers()
    yield gateway
    assert gateway.workers() == workers, "a request ended a worker"
    assert gateway.stop() == 0
    log = gateway.program.log.read_text()
    assert "Traceback" not in log
    assert '"status":5' not in log


def exchange(gateway: Gateway, request: bytes, *, hang_up: bool = False, seconds: float = 20) -> bytes:
    """Everything that comes back until the server closes."""
    heard = b""
    with socket.create_connection(("127.0.0.1", gateway.port), seconds) as sock:
        sock.sendall(request)
        if hang_up:
            sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(65_536):
            heard += piece
    return heard


def head(
    gateway: Gateway, *lines: bytes, target: bytes = b"/api/v1/chat/completions", method: bytes = b"POST"
) -> bytes:
    own = [b"%b %b HTTP/1.1" % (method, target), b"Host: parley", b"Authorization: Bearer " + gateway.key.encode()]
    return b"\r\n".join([*own, b"Content-Type: application/json", *lines, b"", b""])


def get(target: bytes = b"/livez", *lines: bytes, host: bytes = b"Host: parley", method: bytes = b"GET") -> bytes:
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), host, b"Connection: close", *lines, b"", b""])


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    assert found, answer
    return int(found[1])


def assert_refused(answer: bytes, expected: int = 400) -> None:
    """One answer with the envelope; nothing that came behind the request was executed."""
    lines, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert status(answer) == expected
    assert b"x-request-id: " + error["request_id"].encode() in lines.lower()
    assert b"no such route" not in answer


LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"

FRAMINGS = {
    "length and chunked": ([LENGTH, CHUNKED], BODY),
    "chunked and length": ([CHUNKED, LENGTH], CHUNKED_BODY),
    "two equal lengths": ([LENGTH, LENGTH], BODY),
    "two lengths": ([LENGTH, b"Content-Length: 3"], BODY),
    "a list of lengths": ([b"Content-Length: 5,5"], b"hello"),
    "a signed length": ([b"Content-Length: +5"], b"hello"),
    "a negative length": ([b"Content-Length: -1"], b"hello"),
    "a hexadecimal length": ([b"Content-Length: 0x5"], b"hello"),
    "a grouped length": ([b"Content-Length: 5_0"], b"hello"),
    "an empty length": ([b"Content-Length: "], b"hello"),
    "a length in other digits": ([b"Content-Length: \xd9\xa3"], b"hello"),
    "chunked twice": ([b"Transfer-Encoding: chunked, chunked"], CHUNKED_BODY),
    "chunked before identity": ([b"Transfer-Encoding: chunked, identity"], CHUNKED_BODY),
    "identity": ([b"Transfer-Encoding: identity"], BODY),
    "an unknown coding": ([b"Transfer-Encoding: xchunked"], CHUNKED_BODY),
    "a coding that nobody decodes": ([b"Transfer-Encoding: gzip, chunked"], CHUNKED_BODY),
    "codings in two lines": ([b"Transfer-Encoding: gzip", CHUNKED], CHUNKED_BODY),
    "no coding": ([b"Transfer-Encoding: "], CHUNKED_BODY),
    "a quoted coding": ([b'Transfer-Encoding: "chunked"'], CHUNKED_BODY),
    "a vertical tab": ([b"Transfer-Encoding: \x0bchunked"], CHUNKED_BODY),
    "a blank before the colon": ([b"Transfer-Encoding : chunked"], CHUNKED_BODY),
    "an underscore": ([b"Content_Length: 5", CHUNKED], CHUNKED_BODY),
    "a folded line": ([b"X-Folded: a\r\n b", LENGTH], BODY),
    "a line folded by a tab": ([b"X-Folded: a\r\n\tb", LENGTH], BODY),
    "a folded coding": ([b"Transfer-Encoding:\r\n chunked"], CHUNKED_BODY),
    "a bare LF": ([b"X-A: b\nX-C: d", LENGTH], BODY),
    "a bare CR": ([b"X-A: b\rX-C: d", LENGTH], BODY),
    "NUL": ([b"X-A: b\0", LENGTH], BODY),
    "two hosts": ([b"Host: other", LENGTH], BODY),
    "two content types": ([b"Content-Type: text/plain", LENGTH], BODY),
    "a bare LF after a size": ([CHUNKED], CHUNKED_BODY.replace(b"\r\n", b"\n")),
    "a prefixed size": ([CHUNKED], b"0x" + CHUNKED_BODY),
    "a negative size": ([CHUNKED], b"-" + CHUNKED_BODY),
    "an LF in an extension": ([CHUNKED], CHUNKED_BODY.replace(b"\r\n", b";a\n=b\r\n", 1)),
    "a wrong end of a chunk": ([CHUNKED], b"5\r\nhelloXX0\r\n\r\n"),
    "a credential in a trailer": ([CHUNKED], CHUNKED_BODY[:-2] + b"Authorization: Bearer x\r\n\r\n"),
    "a broken trailer": ([CHUNKED], CHUNKED_BODY[:-2] + b"Auth\r\n\r\n"),
}


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS.keys())
def test_a_request_with_two_meanings_is_refused_and_nothing_behind_it_is_executed(gateway, framing):
    lines, body = framing
    assert_refused(exchange(gateway, head(gateway, *lines) + body + SECOND))


HEADS = {
    "only bare LF": b"GET /livez HTTP/1.1\nHost: parley\n\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "another host in the target": get(b"http://evil.test/livez"),
    "a credential in the target": get(b"http://user:secret@parley/livez"),
    "an authority": get(b"parley:80", method=b"CONNECT"),
    "blank in host": get(host=b"Host: a b"),
    "user in host": get(host=b"Host: user@parley"),
    "path in host": get(host=b"Host: parley/.."),
    "list of hosts": get(host=b"Host: parley,evil.test"),
    "bytes in host": get(host=b"Host: \xff"),
    "lower-case method": get(method=b"get"),
    "bytes in target": get(b"/\xff"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "PROXY": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(),
}


@pytest.mark.parametrize("request_", HEADS.values(), ids=HEADS.keys())
def test_a_head_with_two_meanings_is_refused(gateway, request_):
    assert_refused(exchange(gateway, request_ + SECOND))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (get(b"/" + b"a" * 9_000), 414),
        (get(b"/livez", b"X: " + b"a" * 9_000), 431),
        (get(b"/livez", *(b"X%d: a" % number for number in range(70))), 431),
        (get(b"/livez", b"Expect: something"), 417),
    ],
    ids=["line", "header", "headers", "expectation"],
)
def test_a_head_beyond_the_limits_is_refused(gateway, request_, expected):
    assert_refused(exchange(gateway, request_), expected)


def test_a_refusal_repeats_nothing_of_the_request(gateway):
    answer = exchange(gateway, get(b"/livez", b"X-A\x01b: <script>sent</script>"))

    assert b"script" not in answer
    assert b"sent" not in answer


@pytest.mark.parametrize(
    "request_",
    [
        get(b"http://parley/livez"),
        get(host=b"Host: PARLEY:8080"),
        get(host=b"Host: [::1]:80"),
        b"GET /livez HTTP/1.0\r\n\r\n",
    ],
    ids=["absolute target", "port", "IPv6", "HTTP/1.0 without host"],
)
def test_what_the_standard_allows_is_served(gateway, request_):
    assert status(exchange(gateway, request_)) == 200


TRUNCATED = {
    "in a chunk": ([CHUNKED], CHUNKED_BODY[:20]),
    "before the last chunk": ([CHUNKED], CHUNKED_BODY[:-5]),
    "in the last chunk": ([CHUNKED], CHUNKED_BODY[:-2]),
    "in the body": ([LENGTH], BODY[:-5]),
    "before the body": ([LENGTH], b""),
}


@pytest.mark.parametrize("cut", TRUNCATED.values(), ids=TRUNCATED.keys())
def test_a_body_that_ends_early_is_refused(gateway, cut):
    lines, body = cut
    assert_refused(exchange(gateway, head(gateway, *lines) + body, hang_up=True))


@pytest.mark.parametrize("lines", [[LENGTH], [CHUNKED]], ids=["length", "chunked"])
def test_a_body_that_does_not_arrive_is_refused_in_time(gateway, lines):
    started = time.monotonic()
    assert_refused(exchange(gateway, head(gateway, *lines), hang_up=False), 408)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("path", [b"/chat", b"/chat/stream", b"/sessions"])
def test_a_chunked_body_beyond_the_limit_is_refused_when_it_passes_it(gateway, path):
    piece = b"186a0\r\n" + b" " * 100_000 + b"\r\n"
    request = head(gateway, CHUNKED, target=b"/api/v1" + path) + piece * 12 + b"0\r\n\r\n" + SECOND

    assert_refused(exchange(gateway, request), 413)


PATHS = [b"/api//v1/key", b"/api/v1/key/", b"/api/v1/./key", b"/api/v1/x/../key", b"/api/v1/%2e%2e/v1/key", b"/livez/"]
PATHS += [b"/api/v1/key;x=1", b"/api/v1/key%00", b"/api/v1/key%0d%0aX-Evil:%20y", b"/API/v1/key", b"/metrics%2f"]
PATHS += [b"/api/v1/docs/..%2fanswer.py", b"/api/v1/docs/%2e%2e%2fanswer.py", b"/%", b"/..", b"/api/v1/livez/../key"]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_only_looks_like_a_route_is_none(gateway, path):
    answer = exchange(gateway, get(path, b"Authorization: Bearer " + gateway.key.encode()))

    assert status(answer) == 404
    assert b"\nX-Evil" not in answer


@pytest.mark.parametrize("path", [b"//api/v1/key", b"/%61pi/v1/key", b"/api%2fv1%2fkey", b"/api/v1/key", b"//metrics"])
@pytest.mark.parametrize(
    "trick", [b"X-Original-URL: /livez", b"X-Rewrite-URL: /livez", b"X-HTTP-Method-Override: HEAD"]
)
def test_no_spelling_and_no_header_goes_around_the_credential(gateway, path, trick):
    assert_refused(exchange(gateway, get(path, trick)), 401)


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE", b"PATCH", b"FOO", b"CONNECT"])
def test_a_method_that_a_route_lacks_is_405_and_the_others_are_named(gateway, method):
    answer = exchange(gateway, get(b"/livez", b"X-Sent: secret", method=method))

    assert_refused(answer, 405)
    assert b"\r\nAllow: " in answer
    assert b"secret" not in answer


def credentials(key: str) -> list[bytes]:
    bad = key[:-1] + ("a" if key[-1] != "a" else "b")
    forms = [f"Bearer {bad}", f"Bearer\t{key}", f"Bearer  {key}", f"Basic {key}", key, f"Bearer {key.upper()}"]
    lines = [
        f"Authorization: {form}" for form in [*forms, "Bearer " + "x" * 8_000, f"Bearer {key}ÿ", "Bearer ' OR 1=1"]
    ]
    lines += [f"Authorization: Bearer {key}\r\nAuthorization: Bearer {key}", f"Cookie: sid={key}", f"X-Api-Key: {key}"]
    lines += [f"Authorization: Bearer {bad}\r\nAuthorization: Bearer {key}", f"Proxy-Authorization: Bearer {key}"]
    return [line.encode("latin-1") for line in lines]


def test_a_credential_in_any_other_form_is_none(gateway):
    for line in credentials(gateway.key):
        assert_refused(exchange(gateway, get(b"/api/v1/key", line)), 401)


def test_the_metrics_have_one_token_and_no_other_door(gateway):
    for line in [b"X: y", b"Authorization: Bearer " + gateway.key.encode(), b"Authorization: Bearer \xff"]:
        assert_refused(exchange(gateway, get(b"/metrics", line)), 401)
    token = b"Authorization: Bearer metrics-token-of-the-tests"
    assert status(exchange(gateway, get(b"/metrics", token))) == 200


def test_a_connection_goes_on_after_every_error_whose_request_was_read_to_its_end(gateway):
    bad = head(gateway, b"Content-Length: 1") + b"{"
    missing = head(gateway, target=b"/nope", method=b"GET")
    denied = b"GET /api/v1/key HTTP/1.1\r\nHost: parley\r\n\r\n"

    answer = exchange(gateway, bad + missing + denied + get())

    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", answer) == [b"400", b"404", b"401", b"200"]


def test_what_follows_an_unread_body_is_not_taken_for_a_request(gateway):
    request = b"POST /nope HTTP/1.1\r\nHost: parley\r\nContent-Length: %d\r\n\r\n" % len(SECOND)

    answer = exchange(gateway, request + SECOND + get())

    assert answer.count(b"HTTP/1.1 ") == 1


def test_no_secret_is_written_anywhere(gateway, tmp_path: Path):
    sent = b"sk-canary0of0a0client0" + b"9" * 20
    exchange(gateway, get(b"/api/v1/key?api_key=" + sent, b"Authorization: Bearer " + sent, b"Cookie: sid=" + sent))
    exchange(gateway, get(b"/livez", b"X_" + sent + b": x"))
    exchange(gateway, get(b"http://u:" + sent + b"@evil.test/"))
    body = BODY[:-1] + b', "api_key": "%b"}' % sent
    answer = exchange(gateway, head(gateway, b"Content-Length: %d" % len(body), b"Connection: close") + body)
    metrics = exchange(gateway, get(b"/metrics", b"Authorization: Bearer metrics-token-of-the-tests"))

    files = {path: path.read_bytes() for path in gateway.folder.rglob("*") if path.is_file()}
    assert any(path.name == "parley.db" for path in files)
    for secret in (sent, CANARY.encode(), PASSWORD.encode(), SIGNING.encode()):
        assert [path for path, content in files.items() if secret in content] == []
        assert secret not in answer + metrics
    kept = [path for path, content in files.items() if gateway.key.encode() in content]
    assert kept == [gateway.program.log], "the first start shows the key once, and nothing keeps it"
    assert gateway.program.log.read_text().count(gateway.key) == 2

"""What a browser and a proxy see: fixed headers, names, the prefix, whose word about the client counts."""

import http.client
from collections.abc import Iterator

import pytest

from tests.servers.caller import Caller
from tests.servers.gateway import FAST, Gateway

pytestmark = pytest.mark.xdist_group("web surface")

PAGE = "https://app.example.org"
BEHIND = {"Host": "parley.example.org", "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
API = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Vary": "Authorization, Cookie, Origin",
}
DOCUMENT = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
        "object-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """As it comes, with nothing configured."""
    gateway = Gateway(tmp_path_factory.mktemp("plain"), config=FAST + "[limits]\nrpm = 30\n").start()
    yield gateway
    gateway.end()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """As it stands behind a proxy that speaks https, under a prefix."""
    env = {
        "PARLEY_PUBLIC_URL": "https://parley.example.org/parley",
        "PARLEY_PATH_PREFIX": "/parley",
        "PARLEY_TRUSTED_PROXY": "1",
        "PARLEY_TRUSTED_HOSTS": "parley.example.org",
        "PARLEY_CORS_ORIGINS": PAGE,
    }
    gateway = Gateway(tmp_path_factory.mktemp("proxied"), config=FAST, env=env).start()
    yield gateway
    gateway.end()


def raw(gateway: Gateway, method: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.headers.items()), body


@pytest.mark.parametrize("path", ["/models", "/sessions", "/key", "/nowhere", "/openapi.json", "/usage"])
@pytest.mark.parametrize("known", [True, False])
def test_every_answer_of_the_api_has_exactly_the_fixed_headers(plain: Gateway, path: str, known: bool) -> None:
    caller = Caller(plain.port).bearing(plain.key) if known else Caller(plain.port)

    headers = caller.get(path).headers

    assert {name: headers[name] for name in API} == API
    assert not {"Server", "X-Powered-By", "Strict-Transport-Security", "Set-Cookie"} & set(headers.keys())
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/docs", "/docs/docs.js", "/docs/docs.css"])
def test_a_document_has_exactly_the_headers_of_a_document(plain: Gateway, path: str) -> None:
    headers = Caller(plain.port).get(path).headers

    assert {name: headers[name] for name in DOCUMENT} == DOCUMENT
    assert "Server" not in headers


def test_an_event_stream_is_neither_stored_nor_buffered(plain: Gateway) -> None:
    body = {"model": "echo/echo", "messages": [{"role": "user", "content": "hi"}], "stream": True}

    headers = Caller(plain.port).bearing(plain.key).post("/chat/completions", body).headers

    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-store, no-transform"
    assert headers["X-Accel-Buffering"] == "no"


def test_no_page_of_others_is_let_in_unless_it_is_listed(plain: Gateway) -> None:
    status, headers, _ = raw(
        plain, "OPTIONS", "/api/v1/models", {"Origin": PAGE, "Access-Control-Request-Method": "GET"}
    )

    assert status == 405
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_a_listed_page_is_let_in_without_cookies(proxied: Gateway) -> None:
    asked = {**BEHIND, "Origin": PAGE, "Access-Control-Request-Method": "POST"}

    status, headers, _ = raw(proxied, "OPTIONS", "/parley/api/v1/chat/completions", asked)

    assert status == 204
    assert (headers["Access-Control-Allow-Origin"], headers["Access-Control-Max-Age"]) == (PAGE, "600")
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("path", ["/parley/api/v1/models", "/api/v1/models"])
def test_it_is_found_under_its_prefix_whether_or_not_the_proxy_strips_it(proxied: Gateway, path: str) -> None:
    status, headers, _ = raw(proxied, "GET", path, {**BEHIND, "Authorization": f"Bearer {proxied.key}"})

    assert status == 200
    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_another_name_is_not_answered(proxied: Gateway) -> None:
    status, _, body = raw(proxied, "GET", "/api/v1/models", {**BEHIND, "Host": "evil.example"})

    assert status == 400
    assert b"evil" not in body


def test_plain_http_is_refused_and_never_redirected(proxied: Gateway) -> None:
    clear = {**BEHIND, "X-Forwarded-Proto": "http", "Authorization": f"Bearer {proxied.key}"}

    status, headers, _ = raw(proxied, "GET", "/api/v1/models", clear)

    assert status == 403
    assert not {"Location", "Strict-Transport-Security"} & headers.keys()


def test_probes_are_answered_by_address(proxied: Gateway) -> None:
    assert proxied.status("/livez") == 200


@pytest.mark.parametrize(
    "header", ["X-Forwarded-Proto", "X-Forwarded-Ssl", "X-Forwarded-Protocol", "Forwarded", "X-Url-Scheme"]
)
def test_a_client_cannot_claim_https_where_no_proxy_is_configured(plain: Gateway, header: str) -> None:
    value = {"Forwarded": "proto=https", "X-Forwarded-Ssl": "on", "X-Forwarded-Protocol": "ssl"}.get(header, "https")

    _, headers, _ = raw(plain, "GET", "/api/v1/models", {"Host": "parley", header: value})

    assert "Strict-Transport-Security" not in headers


@pytest.mark.parametrize(
    "odd",
    [
        ("X-Original-URL", "/api/v1/openapi.json"),
        ("X-Rewrite-URL", "/api/v1/openapi.json"),
        ("X-HTTP-Method-Override", "GET"),
        ("X-Forwarded-Prefix", "/api/v1/docs"),
        ("X-Forwarded-Host", "evil.example"),
    ],
)
def test_no_header_changes_which_route_is_meant(plain: Gateway, odd: tuple[str, str]) -> None:
    status, _, body = raw(plain, "GET", "/api/v1/sessions", {"Host": "parley", odd[0]: odd[1]})

    assert status == 401
    assert b"evil" not in body


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/sessions",
        "/api//v1/sessions",
        "/api/v1/%2e%2e/v1/sessions",
        "/api/v1/sessions;x=1",
        "/API/v1/sessions",
    ],
)
def test_no_other_spelling_of_a_path_is_a_way_in(plain: Gateway, path: str) -> None:
    assert raw(plain, "GET", path, {"Host": "parley"})[0] in {400, 401, 404}


NEW = ("/embeddings", "/images/generations", "/images", "/files", "/messages", "/messages/count_tokens", "/responses")
SPELLINGS = (
    *("/api/v1/{}", "//api/v1/{}", "/api//v1/{}", "/api/v1//{}", "/api/v1/%2e%2e/v1/{}", "/api/v1/{};x=1"),
    *("/API/v1/{}", "/api/v1/{}/", "/api/v1/./{}", "/api/v1/messages/../{}", "/api/v1/messages;/../{}"),
    *("/api/v1/%2f{}", "/api/v1/{}%00", "/api/v1/{}%20", "/api/v1/{}.json", "/api/v1/messages%2f..%2f{}"),
)


@pytest.mark.parametrize("path", NEW)
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_spelling_of_a_new_route_opens_it_to_a_header_that_another_one_reads(
    plain: Gateway, path: str, spelling: str, method: str
) -> None:
    """A good key as `x-api-key`, which `/messages` would take, with what might make any other path look like that."""
    reads_it = path.startswith("/messages") and spelling.lstrip("/") == "api/v1/{}" and method == "POST"
    headers = {"Host": "parley", "X-Original-URL": "/api/v1/messages", "X-HTTP-Method-Override": "POST"}

    good, _, _ = raw(plain, method, spelling.format(path[1:]), {**headers, "x-api-key": plain.key})
    none, _, _ = raw(plain, method, spelling.format(path[1:]), headers)

    assert none in {400, 401, 404, 405}
    assert good == none if not reads_it else good == 415

import json
import time

import gevent
import pytest
from flask import jsonify
from gunicorn.http.errors import InvalidChunkSize

from api.auth import PUBLIC, requires
from api.json_body import parse, read_json
from domain.errors import InvalidEncoding, InvalidJson, JsonTooDeep

MESSAGE = {"role": "user", "content": 'Hello, wörld 🌍 \\ " { [ ] }'}


@pytest.fixture
def app(echo, shared_site):  # Flask takes routes before its first request only
    return shared_site.app


@pytest.fixture(scope="module")
def echo(shared_site):
    """A route that reads at most 100 bytes."""

    @requires(PUBLIC)
    def echo():
        return jsonify(read_json(100))

    shared_site.app.add_url_rule("/echo", "echo", echo, methods=["POST"])
    return shared_site.anonymous()


@pytest.mark.parametrize(
    "value",
    [{}, [], "text", 1, -1.5, True, None, {"a": [{"b": None}]}, {"m": [MESSAGE] * 50}, 2**64 - 1, -(2**63), 1e308],
    ids=lambda value: str(value)[:30],
)
def test_what_is_json_is_read_as_it_is(value):
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        b'"\xc3"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-32-le") + b"\xff",
    ],
)
def test_another_encoding_than_utf_8_is_refused(raw):
    with pytest.raises((InvalidEncoding, InvalidJson)):
        parse(raw)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_an_encoding_that_pythons_parser_would_guess_is_not_guessed(encoding):
    assert json.loads('{"a": 1}'.encode(encoding)) == {"a": 1}

    with pytest.raises(InvalidJson):
        parse('{"a": 1}'.encode(encoding))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"{",
        b"{'a': 1}",
        b"{} {}",
        b'{"a": 1,}',
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"[-1e999]",
        b"[" + b"9" * 5000 + b"]",
        b"[18446744073709551616]",
        b"[-9223372036854775809]",
        b'{"a": 1, "a": 2}',
        b'{"b": [{"a": 1, "\\u0061": 2}]}',
        b'["\\ud800"]',
        b'["\\uDFFF x"]',
        b'{"\\ud800": 1}',
        b'["\\u0000"]',
        b'["\x00"]',
        b"[01]",
        b"// comment",
    ],
    ids=lambda raw: raw[:24].decode(errors="replace").replace("\x00", "NUL"),
)
def test_what_is_not_json_is_refused(raw):
    with pytest.raises(InvalidJson):
        parse(raw)


@pytest.mark.parametrize("text", ["\U0001f30d", "\\ud83c", "\\u0000", "a\\\\u0000"])
def test_escapes_that_only_look_dangerous_are_read(text):
    assert parse(json.dumps([text]).encode()) == [text]


@pytest.mark.parametrize(("opener", "closer"), [("[", "]"), ('{"a":', "}"), ('[{"a":[', "]}]")])
def test_the_depth_is_bounded_at_32(opener, closer):
    levels = opener.count("[") + opener.count("{")
    fits = 32 // levels

    assert parse((opener * fits + "1" + closer * fits).encode())
    with pytest.raises(JsonTooDeep):
        parse((opener * (fits + 1) + "1" + closer * (fits + 1)).encode())


def test_brackets_in_strings_count_for_nothing():
    text = '"[' * 50 + "\\" * 7 + "{" * 50 + '"]'

    assert parse(json.dumps({"a": [[text]] * 40}).encode()) == {"a": [[text]] * 40}


def test_closing_brackets_in_strings_do_not_hide_depth():
    raw = '["]",' * 40 + "1" + ',"["]' * 40

    with pytest.raises(JsonTooDeep):
        parse(raw.encode())


@pytest.mark.parametrize(
    "raw",
    [b"[" * 100_000, b'{"a":' * 100_000, b"]" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"[1," * 500_000],
    ids=["arrays", "objects", "closers", "balanced", "wide and deep"],
)
def test_a_bomb_of_brackets_is_refused_quickly(raw):
    began = time.process_time()
    with pytest.raises((JsonTooDeep, InvalidJson)):
        parse(raw)

    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("element", [b"0", b'""', b"{}", b"[]", b"1.5"], ids=repr)
def test_a_body_of_too_many_elements_is_refused_before_they_are_built(element):
    with pytest.raises(InvalidJson, match="too many elements"):
        parse(b"[" + b",".join([element] * 1_000_000) + b"]")


def test_a_body_of_quotes_is_refused_before_it_is_cut_at_each_of_them():
    with pytest.raises(InvalidJson, match="too many elements"):
        parse(b"[" + b'"' * 1_000_000 + b"]")


def test_one_large_string_is_no_bomb():
    image = "data:image/png;base64," + "A" * 5_000_000

    assert parse(json.dumps({"url": image}).encode()) == {"url": image}


# ── over HTTP ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
def test_json_by_any_spelling_of_its_type_is_read(echo, content_type):
    assert echo.post("/echo", data=b"[1]", content_type=content_type).json == [1]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/jsonp",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=x",
    ],
)
def test_another_type_is_415(echo, content_type):
    answer = echo.post("/echo", data=b"[1]", content_type=content_type)

    assert answer.status_code == 415
    assert answer.json["error"]["code"] == "unsupported_media_type"


class Untouchable:
    def read(self, size=-1):
        raise AssertionError("the body was read")


def test_a_declared_length_above_the_limit_is_refused_before_reading(echo):
    answer = echo.post(
        "/echo",
        content_type="application/json",
        environ_overrides={"wsgi.input": Untouchable(), "CONTENT_LENGTH": "101"},
    )

    assert answer.status_code == 413
    assert answer.json["error"]["code"] == "request_too_large"


class Endless:
    """A chunked body without an end."""

    def __init__(self):
        self.asked = 0

    def read(self, size):
        self.asked += size
        return b"[" * size


def test_a_chunked_body_is_read_no_further_than_the_limit(echo):
    body = Endless()
    answer = echo.post(
        "/echo",
        content_type="application/json",
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )

    assert answer.status_code == 413
    assert body.asked == 101


def test_half_a_body_is_refused(echo):
    answer = echo.post("/echo", data=b"[1]", content_type="application/json", environ_overrides={"CONTENT_LENGTH": "9"})

    assert answer.status_code == 400
    assert "declared length" in answer.json["error"]["message"]


@pytest.mark.parametrize("length", ["-1", "1_0", "abc", "٣"])
def test_a_length_that_is_no_number_counts_as_no_body(echo, length):
    answer = echo.post(
        "/echo", data=b"[1]", content_type="application/json", environ_overrides={"CONTENT_LENGTH": length}
    )

    assert answer.status_code == 400


class Forced:
    """Stands for gunicorn's response object."""

    def __init__(self):
        self.closed = False

    def force_close(self):
        self.closed = True

    def start_response(self, status, headers, exc_info=None):
        self.status = status


@pytest.mark.parametrize(("raw", "length", "closed"), [(b"[1]", "3", False), (b"", "101", True), (b"[1", "9", True)])
def test_a_connection_whose_body_was_not_read_to_its_end_is_closed(app, echo, raw, length, closed):
    server = Forced()
    with app.test_request_context("/echo", method="POST", data=raw, content_type="application/json") as context:
        environ = {**context.request.environ, "CONTENT_LENGTH": length}
    pieces = app.wsgi_app(environ, server.start_response)
    pieces.close()

    assert server.closed is closed


def test_a_body_that_nobody_wanted_closes_the_connection_too(app):
    server = Forced()
    with app.test_request_context("/livez", data=b"x" * 10) as context:
        environ = context.request.environ
    app.wsgi_app(environ, server.start_response).close()

    assert server.status == "200 OK"
    assert server.closed


class Slow:
    """A socket's body whose second half never comes; the socket is only named, never used."""

    def read(self, size):
        gevent.sleep(5)
        return b""


def test_a_body_that_does_not_arrive_in_time_is_408(app, echo, monkeypatch):
    monkeypatch.setitem(app.config, "PARLEY_BODY_SECONDS", 0.05)
    answer = echo.post(
        "/echo",
        content_type="application/json",
        environ_overrides={"wsgi.input": Slow(), "CONTENT_LENGTH": "9", "gunicorn.socket": None},
    )

    assert answer.status_code == 408
    assert answer.json["error"]["code"] == "request_timeout"


class Broken:
    def __init__(self, error):
        self.error = error

    def read(self, size):
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [(OSError("no more"), 400), (ConnectionResetError(104, "reset"), 499)],
    ids=["cut inside a chunk", "reset"],
)
def test_a_connection_that_breaks_in_the_body_is_no_failure_of_ours(echo, error, status):
    answer = echo.post(
        "/echo",
        content_type="application/json",
        environ_overrides={"wsgi.input": Broken(error), "CONTENT_LENGTH": "9", "gunicorn.socket": None},
    )

    assert answer.status_code == status


def test_chunks_that_are_framed_wrongly_are_400(echo):
    answer = echo.post(
        "/echo",
        content_type="application/json",
        environ_overrides={
            "wsgi.input": Broken(InvalidChunkSize(b"zz")),
            "CONTENT_LENGTH": "9",
            "gunicorn.socket": None,
        },
    )

    assert answer.status_code == 400


def test_reading_a_small_body_is_cheap():
    raw = json.dumps({"model": "a/b", "messages": [{"role": "user", "content": "x" * 100}] * 8}).encode()
    runs = 500
    best = min(_seconds(raw, runs) for _ in range(5))

    assert best / runs < 100e-6  # about 8 µs where it was written; slow and busy machines must pass too


def _seconds(raw, runs):
    began = time.process_time()
    for _ in range(runs):
        parse(raw)
    return time.process_time() - began

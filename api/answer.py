"""The response class of the whole application: fixed headers, orjson, and connections that must not be re-used."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import gevent
import orjson
from flask import Flask, Response
from flask.json.provider import JSONProvider
from gunicorn.http.errors import ParseException
from werkzeug.datastructures import Headers

JSON = "application/json"

BODY_READ = "parley.body_read"
"""Set in the WSGI environment once a request's body was read to its end."""

Fixed = tuple[tuple[str, str], ...]

_EVERYWHERE = (("X-Content-Type-Options", "nosniff"), ("Vary", "Authorization, Cookie, Origin"))
_NOTHING_LOADS = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")

API_HEADERS: Fixed = (_NOTHING_LOADS, ("Cache-Control", "no-store"), *_EVERYWHERE)
STREAM_HEADERS: Fixed = (
    _NOTHING_LOADS,
    ("Cache-Control", "no-store, no-transform"),
    ("X-Accel-Buffering", "no"),  # nginx would hold events back
    *_EVERYWHERE,
)
_ONLY_OURS = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "object-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
PAGE_HEADERS: Fixed = (
    ("Content-Security-Policy", _ONLY_OURS),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ("X-Frame-Options", "DENY"),
    ("Cache-Control", "no-store"),
)
DOWNLOAD_HEADERS: Fixed = (
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("Cache-Control", "no-store"),
    *_EVERYWHERE,
)

_NO_CONTENT = 204
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 32 << 20
_LINGER_PIECE = 64 << 10


class Answer(Response):
    """Carries its fixed headers as one tuple, which is cheaper than setting each of them."""

    default_mimetype = JSON
    fixed: Fixed = API_HEADERS
    sent_bytes = 0
    """Of a body that is known beforehand; a stream counts for itself."""
    on_sent: Callable[["Answer"], None] | None = None
    """Called once, after the last byte or when the client left."""
    unread: dict[str, Any] | None = None
    """The WSGI environment of a request whose body was refused before its end."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if BODY_READ not in environ and _has_body(environ):
            self.unread = environ
            _close_afterwards(start_response)
        headers = [*self.headers, *self.fixed]
        if isinstance(self.response, list):
            self.sent_bytes = sum(map(len, self.response))
            if self.status_code != _NO_CONTENT and "Content-Length" not in self.headers:
                headers.append(("Content-Length", str(self.sent_bytes)))
        pieces = self.get_app_iter(environ)
        try:
            start_response(self.status, headers)
        except BaseException:  # the server has got nothing that it could close
            self.close()
            raise
        return pieces

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self.on_sent is not None:
                told, self.on_sent = self.on_sent, None
                told(self)
            if self.unread is not None:
                environ, self.unread = self.unread, None
                _linger(environ)


class OrjsonProvider(JSONProvider):
    """JSON in and out of Flask and its extensions by orjson."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return json_answer(orjson.dumps(self._prepare_response_obj(args, kwargs)))


def json_answer(body: bytes, status: int = 200) -> Answer:
    return Answer([body], status, Headers([("Content-Type", JSON), ("Content-Length", str(len(body)))]))


def empty_answer() -> Answer:
    answer = Answer([], _NO_CONTENT)
    answer.headers.clear()
    return answer


def init_answers(app: Flask) -> None:
    app.response_class = Answer
    app.json = OrjsonProvider(app)


def _has_body(environ: dict[str, Any]) -> bool:
    return environ.get("CONTENT_LENGTH", "0") not in {"", "0"} or "HTTP_TRANSFER_ENCODING" in environ


def _close_afterwards(start_response: Any) -> None:
    """What is left of an unread body would have to be read before the next request, however long it is.

    gunicorn drops a `Connection` header of the application; its response object, to which `start_response` is bound,
    has this method instead.
    """
    close = getattr(getattr(start_response, "__self__", None), "force_close", None)
    if close is not None:
        close()


def _linger(environ: dict[str, Any]) -> None:
    """Take what the client is still sending, for a moment.

    A socket closed with unread bytes resets the connection, and the reset may overtake the answer (RFC 9112, 9.6).
    """
    left = _LINGER_BYTES
    with gevent.Timeout(_LINGER_SECONDS, exception=False), suppress(OSError, ParseException):
        while left > 0:
            piece = environ["wsgi.input"].read(min(left, _LINGER_PIECE))
            if not piece:
                return
            left -= len(piece)

"""What gunicorn's reading of a request leaves open, closed: every head has one meaning.

Behind a proxy that reads a request in another way, an ambiguous head hides a second request in the first (RFC 9112,
11.2). gunicorn's C parser takes line ends without CR and folded headers, and gunicorn takes a request without `Host`,
a target that names another host, and codings that nobody decodes.
"""

import re
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from gunicorn.http.errors import InvalidHeader, InvalidRequestLine, UnsupportedTransferCoding
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import Response

_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{0,260}")
_FAST_PARSER = "gunicorn_h1c"

Parse = Callable[..., dict[str, Any]]


def guard() -> None:
    """Called once in each worker, before it accepts."""
    RequestParser.mesg_class = StrictRequest
    Response.default_headers = anonymous(Response.default_headers)
    if find_spec(_FAST_PARSER) is not None:
        parser: Any = import_module(_FAST_PARSER)
        parser.parse_request = strict(parser.parse_request, parser.InvalidHeader)


class StrictRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """Raises gunicorn's own errors, so a refused request is answered with 400 and its connection closed."""

    def parse(self, unreader: Any) -> Any:
        rest = super().parse(unreader)
        host = None
        for name, value in self.headers:
            if name == "HOST":
                host = value
            elif name == "TRANSFER-ENCODING" and value.lower() != "chunked":
                raise UnsupportedTransferCoding("only chunked is accepted")
        self._require_one_host(host)
        return rest

    def _require_one_host(self, host: str | None) -> None:
        if host is None:
            if self.version > (1, 0):
                raise InvalidHeader("Host is missing", req=self)
        elif not _HOST.fullmatch(host):
            raise InvalidHeader("Host is not a name", req=self)
        if not self.uri.startswith(("/", "*")) and urlsplit(self.uri).netloc.lower() != (host or "").lower():
            raise InvalidRequestLine("another host than in Host")


def strict(parse: Parse, invalid: type[Exception]) -> Parse:
    """The C parser with two rules that gunicorn's own parser has: lines end with CR LF, and none is folded."""

    def parse_strictly(received: bytes, **limits: Any) -> dict[str, Any]:
        found = parse(received, **limits)
        head = received[: found["consumed"]]
        if head.count(b"\n") != head.count(b"\r\n") or b"\n " in head or b"\n\t" in head:
            raise invalid("bare LF or folded line")
        return found

    return parse_strictly


def anonymous(headers: Callable[[Any], list[str]]) -> Callable[[Any], list[str]]:
    """Without the line that names the server's software and version."""

    def without_server(response: Any) -> list[str]:
        return [line for line in headers(response) if not line.startswith("Server:")]

    return without_server

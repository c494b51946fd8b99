"""A small, strict HTTP client for an identity provider: `http.client`, which follows no redirect and knows no proxy.

The gateway's transport for providers of models lives in another adapter and is made for streams; a login is rare.
"""

import http.client
import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from domain.errors import OidcUnavailable

_SECONDS = 5.0
_MOST_BYTES = 1_000_000
_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes

    def document(self) -> dict[str, Any]:
        """Raises OidcUnavailable for anything but a JSON object."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise OidcUnavailable("The identity provider's answer is not a JSON object.")
        return found


@dataclass(frozen=True, slots=True)
class OidcHttp:
    """Raises OidcUnavailable for an address that is not allowed, and for a server that does not answer in time.

    Every address must be https; where `issuer` itself is http on loopback, http on loopback is allowed too.
    """

    issuer: str
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)
    seconds: float = _SECONDS

    def get(self, address: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self._ask("GET", address, headers or {}, None)

    def post(self, address: str, headers: Mapping[str, str], form: str) -> Answer:
        content = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", address, {**headers, **content}, form.encode())

    def checked(self, address: object) -> str:
        """`address`, when this client would go there. Raises OidcUnavailable."""
        self._place(address)
        return str(address)

    def _ask(self, method: str, address: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        place = self._place(address)
        path = (place.path or "/") + (f"?{place.query}" if place.query else "")
        sent = {"Accept": "application/json", "Connection": "close", **headers}
        connection = self._connection(place)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, self._body(response))
        except (OSError, http.client.HTTPException, ValueError):
            raise OidcUnavailable from None
        finally:
            connection.close()

    def _connection(self, place: SplitResult) -> http.client.HTTPConnection:
        host = place.hostname or ""
        if place.scheme == "https":
            return http.client.HTTPSConnection(host, place.port, timeout=self.seconds, context=self.context)
        return http.client.HTTPConnection(host, place.port, timeout=self.seconds)

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        """A server that sends a byte now and then is not waited for longer than a silent one."""
        ends, body = time.monotonic() + self.seconds, bytearray()
        while piece := response.read1(_PIECE):
            body += piece
            if len(body) > _MOST_BYTES or time.monotonic() > ends:
                raise OidcUnavailable("The identity provider's answer is too long.")
        return bytes(body)

    def _place(self, address: object) -> SplitResult:
        place = _split(address)
        if place is None or (place.scheme != "https" and not (_local(place) and _local(_split(self.issuer)))):
            raise OidcUnavailable("The identity provider names an address that is not https.")
        return place


def _split(address: object) -> SplitResult | None:
    """None for what is no address, or names somebody in it."""
    try:
        place = urlsplit(address if isinstance(address, str) else "")
        strange = not place.hostname or place.port == 0 or "@" in place.netloc
    except ValueError:
        return None
    return None if strange else place


def _local(place: SplitResult | None) -> bool:
    """Whether that is http on this machine."""
    if place is None or place.scheme != "http":
        return False
    try:
        return ipaddress.ip_address(place.hostname or "").is_loopback
    except ValueError:
        return place.hostname == "localhost"

"""A small, strict HTTP client for an identity provider: `http.client`, which follows no redirect and knows no proxy.

It dials by `adapters.egress`, like all that speaks to strangers. The gateway's transport for providers of models lives
in another adapter and is made for streams; a login is rare.
"""

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from adapters.egress import AddressRefused, Destination, dialled
from domain.errors import OidcUnavailable
from domain.network import is_near, is_this_machine, is_whole

_SECONDS = 5.0
_MOST_BYTES = 1_000_000
_PIECE = 65_536
_REFUSED = "The identity provider's name leads to an address that the gateway does not connect to."


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
    The provider may be in a private network where `issuer` says so by its text, or the operator by `private`. What the
    provider's own documents say does not count.
    """

    issuer: str
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)
    seconds: float = _SECONDS
    private: bool = False

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
        try:
            with closing(self._connection(place)) as connection:
                connection.request(method, path, body, sent)
                response = connection.getresponse()
                return Answer(response.status, self._body(response))
        except AddressRefused:
            raise OidcUnavailable(_REFUSED) from None
        except (OSError, http.client.HTTPException, ValueError):
            raise OidcUnavailable from None

    def _connection(self, place: SplitResult) -> "_Connection":
        host, seconds = place.hostname or "", self.seconds
        # With a port `http.client` does not look for one in the host, where it would find one in every IPv6 address.
        if place.scheme == "https":
            made: _Connection = _TlsConnection(host, place.port or 443, timeout=seconds, context=self.context)
        else:
            made = _Connection(host, place.port or 80, timeout=seconds)
        made.near = self.private or is_near(urlsplit(self.issuer).hostname or "")
        return made

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


class _Connection(http.client.HTTPConnection):
    near = False
    """What a `Destination` says; the safe answer unless the connection is told otherwise."""

    def connect(self) -> None:
        """In place of `socket.create_connection`, which would look the name up by itself."""
        self.sock = dialled(Destination(self.host, self.port, self.near), self.timeout or _SECONDS)


class _TlsConnection(http.client.HTTPSConnection, _Connection):
    """Its `connect` wraps what the one above made, for the name and not for the address that was dialled."""


def _split(address: object) -> SplitResult | None:
    """None for what is no address, or names somebody in it."""
    try:
        place = urlsplit(address if isinstance(address, str) else "")
        strange = not place.hostname or not is_whole(place.netloc, place.hostname, place.port)
    except ValueError:
        return None
    return None if strange else place


def _local(place: SplitResult | None) -> bool:
    """Whether that is http on this machine."""
    return place is not None and place.scheme == "http" and is_this_machine(place.hostname or "")

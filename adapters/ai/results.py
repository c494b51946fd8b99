"""Images that a provider made: what it sent along, and what it left at an address of its own choosing.

Both are the provider's word, and so is what it says of their type: only the content itself counts.
"""

import binascii
from base64 import b64decode
from urllib.parse import urlsplit

from adapters.ai.address import Address
from adapters.ai.exchange import MAX_ANSWER, Exchange
from adapters.ai.http_chat import AGENT
from adapters.ai.profile import Link
from adapters.ai.transport import Transport
from application.cancellation import Cancellation
from domain.errors import InvalidRequest
from domain.image import MadeImage
from domain.provider_errors import ProviderError, UpstreamResultLost

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_WEBP = (b"RIFF", b"WEBP")
_TYPES = "image/png, image/jpeg, image/webp, image/gif"
_OK = 200
_TRIES = 2


def media_type_of(content: bytes) -> str | None:
    """By its first bytes; None for everything but PNG, JPEG, WebP and GIF."""
    if (content[:4], content[8:12]) == _WEBP:
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES if content.startswith(signature)), None)


def made_image(content: bytes, revised_prompt: str | None = None) -> MadeImage:
    """Raises UpstreamResultLost for what is no image of a known kind: text that a browser runs is none."""
    kind = media_type_of(content)
    if kind is None:
        raise UpstreamResultLost("What the provider sent is not a PNG, JPEG, WebP or GIF image.")
    return MadeImage(content, kind, revised_prompt)


def decoded(text: str) -> bytes:
    """Of base64. Raises UpstreamResultLost."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UpstreamResultLost("What the provider sent is not base64.") from None


class Results:
    """Fetches results by the addresses that the provider of `link` told.

    They are public and asked for over TLS, or at the very server that the operator configured. No credential goes
    along, no redirect is followed, and at most `exchange.MAX_ANSWER` bytes are taken.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def fetch(self, url: str, cancellation: Cancellation) -> bytes:
        """Raises UpstreamResultLost, and the cancellation's reason."""
        address, path = _parsed(url)
        transport, own = self._way(address)
        try:
            return _insisted(transport, path, cancellation)
        finally:
            if not own:
                transport.close()

    def _way(self, address: Address) -> tuple[Transport, bool]:
        configured = self._link.transport.address
        if (address.host, address.port, address.tls) == (configured.host, configured.port, configured.tls):
            return self._link.transport.at(""), True
        if address.near:
            raise UpstreamResultLost("The provider left its result in a private network that is not its own.")
        if not address.tls and address.port != _PORTS["http"]:
            raise UpstreamResultLost("The provider left its result where it cannot be fetched over TLS.")
        # Stores of objects that are told over http serve the same over https.
        port = address.port if address.tls else _PORTS["https"]
        host = f"[{address.host}]" if ":" in address.host else address.host
        return Transport(f"https://{host}:{port}", self._link.transport.deadlines, size=1), False


_PORTS = {"http": 80, "https": 443}


def _parsed(url: str) -> tuple[Address, str]:
    """The server, and what is asked of it. A fragment is left out."""
    try:
        parts = urlsplit(url)
        address = Address.parse(f"{parts.scheme}://{parts.netloc}")
    except (ValueError, InvalidRequest):
        raise UpstreamResultLost("The provider told an address that cannot be used.") from None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or not path.isprintable() or " " in path:
        raise UpstreamResultLost("The provider told an address that cannot be used.")
    return address, path


def _insisted(transport: Transport, path: str, cancellation: Cancellation) -> bytes:
    """A second try buys nothing again: it is there already."""
    for tries in range(1, _TRIES + 1):
        try:
            return _fetched(transport, path, cancellation)
        except UpstreamResultLost:
            raise
        except ProviderError as error:
            if tries == _TRIES or not error.retryable:
                raise UpstreamResultLost(f"The provider's result could not be fetched: {error.message}") from error
    raise AssertionError  # pragma: no cover - the last try returns or raises


def _fetched(transport: Transport, path: str, cancellation: Cancellation) -> bytes:
    head = transport.head("GET", path, {"Accept": _TYPES, "User-Agent": AGENT})
    exchange = transport.open(head, b"", cancellation)
    exchange.head()
    try:
        _check(exchange)
        return exchange.body()
    finally:
        exchange.close()


def _check(exchange: Exchange) -> None:
    answer = exchange.answer
    if answer.status != _OK:
        raise UpstreamResultLost(f"The provider's result could not be fetched: HTTP status {answer.status}.")
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise UpstreamResultLost("The provider's result is compressed, which was not asked for.")
    length = answer.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_ANSWER:
        raise UpstreamResultLost("The provider's result is larger than allowed.")

"""Requests that another site makes a browser send, its cookie included: recognised and refused."""

import hmac
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

from flask import request

from domain.errors import CsrfRejected, UnsupportedMediaType

HEADER = "X-CSRF-Token"

_OWN_SITES = frozenset({"same-origin", "none"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_RANDOM_BYTES = 16


@dataclass(frozen=True, slots=True)
class CsrfGuard:
    """`key` signs the tokens; `origin` is ours, as browsers write it in `Origin`."""

    key: bytes = field(repr=False)
    origin: str

    def token(self, sid: str) -> str:
        """What a page with the login cookie `sid` has to send along. Worthless with any other cookie."""
        rand = secrets.token_bytes(_RANDOM_BYTES)
        return f"{rand.hex()}.{self._sign(sid, rand)}"

    def check(self, sid: str) -> None:
        """The current request, which came with the cookie `sid`. Raises CsrfRejected, UnsupportedMediaType."""
        if request.method in _SAFE:
            return
        self.check_site()
        if not self._genuine(sid, request.headers.get(HEADER, "")):
            raise CsrfRejected
        if _has_body() and request.mimetype != "application/json":  # what a form can send is never that
            raise UnsupportedMediaType

    def check_site(self) -> None:
        """Browsers tell who makes them send a request. Raises CsrfRejected when it is not one of our own pages."""
        site = request.headers.get("Sec-Fetch-Site")
        own = request.headers.get("Origin") == self.origin if site is None else site in _OWN_SITES
        if not own:
            raise CsrfRejected

    def _genuine(self, sid: str, token: str) -> bool:
        head, _, signature = token.partition(".")
        try:
            rand = bytes.fromhex(head)
        except ValueError:
            return False
        # Both sides as bytes: compare_digest refuses text that is not ASCII, and a header may hold any.
        return hmac.compare_digest(self._sign(sid, rand).encode(), signature.encode())

    def _sign(self, sid: str, rand: bytes) -> str:
        """The length in front keeps `sid` and `rand` from flowing into each other."""
        sid_bytes = sid.encode()
        message = len(sid_bytes).to_bytes(4, "big") + sid_bytes + rand
        return hmac.new(self.key, message, sha256).hexdigest()


def _has_body() -> bool:
    environ = request.environ
    return environ.get("CONTENT_LENGTH", "") not in {"", "0"} or "HTTP_TRANSFER_ENCODING" in environ

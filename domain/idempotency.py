"""Idempotency keys: by what two requests are the same, and what is kept of the first."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from domain.errors import InvalidRequest
from domain.user import Principal

HEADER = "Idempotency-Key"
KEY_PATTERN = r"^[!-~]([ -~]*[!-~])?$"
"""Printable ASCII; HTTP takes spaces at the ends away."""

PART = 1 << 20
"""Bytes of a reply that are stored, and read, at a time: what one statement may hold differs between servers, and some
drivers need several times as much to say it."""

_KEY = re.compile(r"[ -~]{1,255}")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request was answered with.

    `body` is in the form of whoever kept it. It has PART bytes at most: of what is longer, the store has the rest.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """The request that has an idempotency key. Without a `reply` it has no end yet, or none that was kept."""

    id: bytes
    """Stands for the key and for whose it is; the key itself is not kept."""
    user_id: str
    fingerprint: bytes
    """Of method, route and body: what a repeat has to have in common with it."""
    request_id: str
    claimed_at: datetime
    reply: Reply | None = None


def checked_key(text: str) -> str:
    """Raises InvalidRequest unless it is 1 to 255 printable ASCII characters."""
    if _KEY.fullmatch(text) is None:
        raise InvalidRequest(f"{HEADER}: must be 1 to 255 printable ASCII characters.", param=HEADER)
    return text


def id_of(principal: Principal, key: str) -> bytes:
    """The same for all keys and logins of a user; what a team's key does is apart from them."""
    return fingerprint_of(principal.user_id.encode(), (principal.team_id or "").encode(), key.encode())


def fingerprint_of(*parts: bytes) -> bytes:
    """SHA-256, in which no part can pass for the beginning of the next."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()

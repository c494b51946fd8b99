"""API keys: `parley_<env>_<kid>_<secret><crc>`.

The kid (10 characters) is the public look-up id, the secret has 256 bits (43 characters of base 62) and the CRC-32 of
everything before it (6 characters) rejects typing errors and garbage without any I/O.
"""

import hmac
import re
import zlib
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from domain.errors import Unauthenticated
from domain.limits import NO_LIMITS, Bound, Limits
from domain.user import Principal, Scope, User

KID_LENGTH = 10
SECRET_LENGTH = 43
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_FORM = re.compile(r"(parley_([a-z]{1,12})_([0-9A-Za-z]{10})_[0-9A-Za-z]{43})([0-9A-Za-z]{6})")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as stored: the digest of the token, never the token."""

    id: str
    kid: str
    user_id: str
    name: str
    digest: bytes
    last4: str
    created_at: datetime
    scopes: frozenset[Scope] = frozenset()
    models: tuple[str, ...] = ()
    limits: Limits = NO_LIMITS
    heartbeats: bool = True
    """Whether a stream that waits shows signs of life; some clients take them for content."""
    team_id: str | None = None
    """The team that shares this key; None for a key of its user alone."""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    replaced_by: str | None = None
    """The id of the key that a rotation made; until `expires_at` both work."""
    last_used_at: datetime | None = None
    """About a minute coarse."""

    def admit(self, token: str, user: User, bounds: tuple[Bound, ...], now: datetime) -> Principal:
        """The principal behind `token`. Raises Unauthenticated without saying which check failed."""
        if not hmac.compare_digest(self.digest, digest(token)) or user.disabled or not self.works(now):
            raise Unauthenticated
        return Principal(
            user_id=self.user_id,
            key_id=self.id,
            kid=self.kid,
            role=user.role,
            scopes=self.scopes,
            models=self.models,
            bounds=bounds,
            team_id=self.team_id,
            heartbeats=self.heartbeats,
        )

    def works(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


def compose(environment: str, kid: str, secret: str) -> str:
    """The token that is shown once. `kid` and `secret` are random characters of ALPHABET in their lengths."""
    body = f"parley_{environment}_{kid}_{secret}"
    return body + _crc(body)


def kid_of(token: str) -> str:
    """The look-up id inside a well-formed token. Raises Unauthenticated for anything else; costs no I/O."""
    return parts_of(token)[1]


def parts_of(token: str) -> tuple[str, str]:
    """Environment and kid, as `kid_of`."""
    form = _FORM.fullmatch(token)
    if form is None or not hmac.compare_digest(form[4], _crc(form[1])):
        raise Unauthenticated
    return form[2], form[3]


def digest(token: str) -> bytes:
    """SHA-256: enough at rest for a secret of 256 random bits (ASVS 6.5.2)."""
    return sha256(token.encode()).digest()


def _crc(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, rest = divmod(number, 62)
        digits = ALPHABET[rest] + digits
    return digits

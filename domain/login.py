"""Logins: what an access token or the pages' cookie stands for."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.api_key import digest
from domain.errors import Unauthenticated
from domain.limits import Bound
from domain.user import Principal, Role, User

ENVIRONMENT = "login"
"""The second word of an access token, which otherwise has the form of an API key."""

RECENT = timedelta(minutes=30)
"""So long after the password (and second factor) was given, a login may do what needs a recent one."""

TOUCH = timedelta(minutes=1)
"""`seen_at` is this coarse: not every request writes."""

_ADMINISTRATORS = frozenset({Role.OWNER, Role.ADMIN})
_IDLE = {True: timedelta(minutes=30), False: timedelta(hours=8)}
_ABSOLUTE = {True: timedelta(hours=12), False: timedelta(days=7)}
"""By whether the user administers (ASVS 7.3.1, 7.3.2)."""


@dataclass(frozen=True, slots=True)
class Login:
    """As stored: the digest of the token, never the token."""

    id: str
    kid: str
    user_id: str
    digest: bytes
    created_at: datetime
    seen_at: datetime
    authenticated_at: datetime
    """When the user last proved who they are: at first `created_at`, later each time they prove it again."""
    ip: str = ""
    user_agent: str = ""
    ended_at: datetime | None = None

    def expires_at(self, role: Role) -> datetime:
        """Idle and absolute lifetime, whichever ends first; both by the role the user has now."""
        administers = role in _ADMINISTRATORS
        return min(self.seen_at + _IDLE[administers], self.created_at + _ABSOLUTE[administers])

    def admit(self, token: str, user: User, bounds: tuple[Bound, ...], now: datetime) -> Principal:
        """The principal behind `token`. Raises Unauthenticated without saying which check failed."""
        genuine = hmac.compare_digest(self.digest, digest(token))
        if not genuine or user.disabled or not self.works(user.role, now):
            raise Unauthenticated
        return Principal(
            user_id=user.id,
            key_id=self.id,
            kid=self.kid,
            role=user.role,
            bounds=bounds,
            login=True,
            recent=now - self.authenticated_at < RECENT,
        )

    def works(self, role: Role, now: datetime) -> bool:
        """Neither ended nor run out."""
        return self.ended_at is None and self.expires_at(role) > now

"""Secrets that are sent to an address once and work once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.user import Role


class Purpose(StrEnum):
    RESET = "reset"
    CONFIRM = "confirm"
    INVITE = "invite"

    @property
    def lifetime(self) -> timedelta:
        """15 minutes for a reset: ASVS 6.5.5 says 10 for codes that are typed; these 256 bits are clicked."""
        return _LIFETIMES[self]


_LIFETIMES = {
    Purpose.RESET: timedelta(minutes=15),
    Purpose.CONFIRM: timedelta(days=1),
    Purpose.INVITE: timedelta(days=7),
}


@dataclass(frozen=True, slots=True)
class OneTimeToken:
    """As stored: the digest of the token, never the token. `user_id` is None for an invitation."""

    id: str
    purpose: Purpose
    digest: bytes
    email: str
    created_at: datetime
    expires_at: datetime
    user_id: str | None = None
    role: Role | None = None
    """What an invitation makes of whoever follows it."""
    used_at: datetime | None = None

"""Time, ids and randomness of the real world."""

import os
import secrets
import time
from datetime import UTC, datetime

from domain.api_key import ALPHABET

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def new_id(prefix: str) -> str:
    """`prefix_` and 26 characters: 48 bits of Unix milliseconds, then 80 random bits, so ids sort by time."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return f"{prefix}_" + "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def new_secret(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))

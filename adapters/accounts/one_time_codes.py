"""Time-based one-time passwords (RFC 6238), with pyotp."""

import hashlib
import hmac
import re
from datetime import datetime

import pyotp

_DIGITS = 6
_SECONDS = 30
_SKEW = 1
"""Steps by which a clock may be wrong."""
_FORM = re.compile("[0-9]{6}")
_ISSUER = "Parley"


class TotpCodes:
    """SHA-1, 6 digits, 30 s: what every authenticator application can do."""

    def new_secret(self) -> str:
        return pyotp.random_base32(32)

    def uri(self, secret: str, email: str) -> str:
        return _totp(secret).provisioning_uri(name=email, issuer_name=_ISSUER)

    def step_of(self, secret: str, code: str, at: datetime) -> int | None:
        if not _FORM.fullmatch(code):
            return None
        totp = _totp(secret)
        now = totp.timecode(at)
        steps = range(now - _SKEW, now + _SKEW + 1)
        # All are compared, so that the time taken does not tell which one it was.
        right = [step for step in steps if hmac.compare_digest(totp.generate_otp(step), code)]
        return right[0] if right else None


def _totp(secret: str) -> pyotp.TOTP:
    return pyotp.TOTP(secret, digits=_DIGITS, digest=hashlib.sha1, interval=_SECONDS)

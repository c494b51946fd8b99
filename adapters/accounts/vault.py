"""Encryption of what must be read again, with a key of its own for every purpose."""

from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_KEY_BYTES = 32


class Vault:
    """The first of `keys` seals, all of them open: a new key is put in front while the old ones are still needed."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("A vault needs a key.")
        self._keys = tuple(keys)

    def seal(self, purpose: str, secret: str) -> bytes:
        return self._box(purpose).encrypt(secret.encode())

    def open(self, purpose: str, sealed: bytes) -> str:
        """Raises ValueError for what was not sealed for this purpose with one of the keys."""
        try:
            return self._box(purpose).decrypt(sealed).decode()
        except InvalidToken as error:
            raise ValueError("This was not sealed for this purpose with a key that is known.") from error

    def _box(self, purpose: str) -> MultiFernet:
        return MultiFernet([Fernet(urlsafe_b64encode(_derive(key, f"seal {purpose}"))) for key in self._keys])


def signing_key(key: str, purpose: str) -> bytes:
    """32 bytes for an HMAC; never the same as what a vault uses, even for the same purpose."""
    return _derive(key, f"sign {purpose}")


def _derive(key: str, label: str) -> bytes:
    """HKDF (RFC 5869). Without a salt: the key is random, and the same one has to come out in every process."""
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=f"parley {label}".encode()).derive(key.encode())

"""Encryption of what must be read again, with a key of its own for every purpose."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_SHA256_BYTES = 32


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
        except _fernet().InvalidToken as error:
            raise ValueError("This was not sealed for this purpose with a key that is known.") from error

    def _box(self, purpose: str) -> "MultiFernet":
        keys = [urlsafe_b64encode(_derive(key, f"seal {purpose}")) for key in self._keys]
        box: MultiFernet = _fernet().MultiFernet(map(_fernet().Fernet, keys))
        return box


def signing_key(key: str, purpose: str) -> bytes:
    """32 bytes for an HMAC; never the same as what a vault uses, even for the same purpose."""
    return _derive(key, f"sign {purpose}")


def _derive(key: str, label: str) -> bytes:
    """HKDF (RFC 5869) with SHA-256, one block of it.

    Without a salt: the key is random, and the same one has to come out in every process.
    """
    extracted = hmac.digest(bytes(_SHA256_BYTES), key.encode(), "sha256")
    return hmac.digest(extracted, f"parley {label}\x01".encode(), "sha256")


def _fernet() -> Any:
    """Loaded with the first secret: many installations seal none, and `cryptography` takes 7 MB in every worker."""
    return import_module("cryptography.fernet")

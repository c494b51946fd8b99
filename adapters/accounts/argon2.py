"""Password hashes: Argon2id, beside the event loop and few at a time."""

import os
from base64 import b64encode
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError
from gevent.threadpool import ThreadPool

from domain.errors import Overloaded

T = TypeVar("T")

_MEMORY_KIB = 19_456
_PASSES = 2
_LANES = 1
_SALT = 16
_TAG = 32
"""OWASP's parameters for Argon2id (password storage cheat sheet); the package's own defaults are others."""

_AT_ONCE = 2
_WAITING = 20


class Argon2Hasher:
    """Each hash takes 19 MiB and tens of milliseconds, so a storm of logins must neither block nor fill the worker."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES, hash_len=_TAG, salt_len=_SALT
        )
        self._nobodys = _hash_of_nothing()
        self._inside = 0

    @cached_property
    def _pool(self) -> ThreadPool:
        """Made at the first use: it belongs to the event loop of the process that hashes."""
        return ThreadPool(_AT_ONCE)

    def hash(self, password: str) -> str:
        return self._beside(self._hasher.hash, password)

    def verify(self, password_hash: str | None, password: str) -> bool:
        return self._beside(self._verify, self._nobodys if password_hash is None else password_hash, password)

    def outdated(self, password_hash: str) -> bool:
        return self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def _beside(self, work: Callable[..., T], *arguments: str) -> T:
        if self._inside >= _AT_ONCE + _WAITING:
            raise Overloaded("Too many passwords are being checked.", retry_after=1)
        self._inside += 1
        try:
            result: T = self._pool.apply(work, arguments)
            return result
        finally:
            self._inside -= 1


def _hash_of_nothing() -> str:
    """Has today's parameters and takes as long to check, but its tag is random: no password leads to it."""
    salt, tag = (b64encode(os.urandom(length)).rstrip(b"=").decode() for length in (_SALT, _TAG))
    return f"$argon2id$v={argon2.low_level.ARGON2_VERSION}$m={_MEMORY_KIB},t={_PASSES},p={_LANES}${salt}${tag}"

"""flask-limiter's storage, built on our own counters, so that it shares their exactness, breaker and fallback."""

import time
from typing import Any

from limits.storage import Storage

from application.ports import Counters

URI = "parley://"
"""flask-limiter takes a storage by the scheme of an address only; the class below registers itself for it."""


class CountersStorage(Storage):
    """What flask-limiter's fixed window needs; nothing here resets a counter."""

    STORAGE_SCHEME = ["parley"]  # noqa: RUF012 - the base class declares it this way

    def __init__(self, uri: str | None = None, *, counters: Counters, **options: Any) -> None:
        super().__init__(uri, **options)
        self._counters = counters

    @property
    def base_exceptions(self) -> type[Exception]:
        return Exception

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return self._counters.hit(key, expiry, amount)[0]

    def get(self, key: str) -> int:
        return self._counters.peek(key)[0]

    def get_expiry(self, key: str) -> float:
        """Unix time of the end of the window."""
        return time.time() + self._counters.peek(key)[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        raise NotImplementedError

    def clear(self, key: str) -> None:
        raise NotImplementedError

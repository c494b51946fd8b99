"""Label values from closed sets: what a client makes up must never make a new time series."""

from collections.abc import Iterable

OTHER = "other"


class Bounded:
    """Keeps the first `limit` distinct values of those that are `allowed` (any, when None); the rest is `other`."""

    def __init__(self, limit: int, allowed: Iterable[str] | None = None) -> None:
        self._limit = limit
        self._allowed = None if allowed is None else set(allowed)
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._seen:
            return value
        if len(self._seen) >= self._limit or (self._allowed is not None and value not in self._allowed):
            return OTHER
        self._seen.add(value)
        return value

    def allow(self, values: Iterable[str]) -> None:
        if self._allowed is not None:
            self._allowed.update(values)

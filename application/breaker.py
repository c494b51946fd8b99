"""A circuit breaker for a resource that many requests share."""

from collections.abc import Callable

from application.facts import BreakerChanged
from application.ports import Clock, Record


class Breaker:
    """Closed until `failures` calls in a row have failed; then open for `seconds`; then one probe decides.

    While it is open nobody waits for the resource: `allows()` answers at once.
    """

    def __init__(self, resource: str, clock: Clock, record: Record, failures: int = 5, seconds: float = 2.0) -> None:
        self._resource = resource
        self._now: Callable[[], float] = clock.monotonic
        self._record = record
        self._failures = failures
        self._seconds = seconds
        self._failed = 0
        self._opened_at: float | None = None
        self.reason = ""

    @property
    def is_open(self) -> bool:
        return self._opened_at is not None

    def allows(self) -> bool:
        """Whether to try. While open, one caller per `seconds` is let through as the probe."""
        if self._opened_at is None:
            return True
        if self._now() - self._opened_at < self._seconds:
            return False
        self._opened_at = self._now()
        return True

    def succeeded(self) -> None:
        self._failed = 0
        if self._opened_at is not None:
            self._opened_at = None
            self._record(BreakerChanged(self._resource, open=False, reason=""))

    def failed(self, reason: str) -> None:
        self._failed += 1
        if self._opened_at is not None:
            self._opened_at = self._now()
        elif self._failed >= self._failures:
            self._opened_at = self._now()
            self.reason = reason
            self._record(BreakerChanged(self._resource, open=True, reason=reason))

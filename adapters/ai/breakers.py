"""When something that failed is tried again: by the next real call, and by one at a time."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Breaking:
    """After `failures` in a row it rests for `first` seconds; each failed probe doubles that, up to `longest`."""

    failures: int = 5
    first: float = 10.0
    longest: float = 30.0


REFUSED = Breaking(failures=1, first=60.0, longest=600.0)
"""For a credential that a provider does not accept."""

_PROBED = 1.0
"""Seconds after which it is worth asking again how a probe went."""


class Circuit:
    """Closed, open, or half open: then one caller is let through, and how that goes decides.

    `reason` is the code of the error that opened it.
    """

    __slots__ = ("_failed", "_now", "_probing", "_rule", "_seconds", "_until", "reason")

    def __init__(self, rule: Breaking, now: Callable[[], float]) -> None:
        self._rule = rule
        self._now = now
        self._failed = 0
        self._seconds = 0.0
        self._until: float | None = None
        self._probing = False
        self.reason = ""

    @property
    def is_open(self) -> bool:
        """Also while it is probed."""
        return self._until is not None

    @property
    def is_probed(self) -> bool:
        return self._probing

    @property
    def is_clean(self) -> bool:
        """Nothing is known that would be missed."""
        return self._failed == 0 and self._until is None

    def wait(self) -> float:
        """Seconds until it is worth asking again; 0 when a call may be made now."""
        if self._until is None:
            return 0.0
        if self._probing:
            return _PROBED
        return max(0.0, self._until - self._now())

    def enter(self) -> bool:
        """A call is made, which `wait` allowed. Whether it is the probe: then `leave` must follow."""
        if self._until is None:
            return False
        self._probing = True
        return True

    def leave(self) -> None:
        """The probe is over; without a word from it the next call is one."""
        self._probing = False

    def answered(self) -> None:
        """It answers again. What it failed at before is not forgotten until something went well to its end."""
        self._until = None

    def succeeded(self) -> None:
        self._failed = 0
        self._seconds = 0.0
        self._until = None

    def failed(self, reason: str) -> bool:
        """Whether this opened it. Calls that had begun before it opened have no say any more."""
        if self._until is not None and self._now() < self._until:
            return False
        self._failed += 1
        if self._until is None and self._failed < self._rule.failures:
            return False
        self._seconds = min(self._rule.longest, 2 * self._seconds or self._rule.first)
        self._until = self._now() + self._seconds
        self.reason = reason
        return True

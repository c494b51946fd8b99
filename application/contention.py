"""Calls that meet at the same rows, and may have to take turns."""

from collections.abc import Callable
from typing import TypeVar

from domain.errors import DatabaseBusy

Result = TypeVar("Result")

_RETRIES = 3


def at_once() -> None:
    """No pause."""


def patiently(action: Callable[[], Result], pause: Callable[[], object] = at_once, retries: int = _RETRIES) -> Result:
    """What `action` returns, which is done again after DatabaseBusy, `retries` times at most and after a `pause` each.

    Raises the last DatabaseBusy, and at once whatever else `action` raises.
    """
    for _ in range(retries):
        try:
            return action()
        except DatabaseBusy:
            pause()
    return action()

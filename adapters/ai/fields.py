"""Counts in answers that a provider wrote, whatever it wrote."""

from collections.abc import Mapping
from typing import Any

_MOST = 1_000_000_000


def count_of(holder: Mapping[str, Any], name: str) -> int | None:
    """None unless it is a plausible number of tokens."""
    value = holder.get(name)
    return value if type(value) is int and 0 <= value <= _MOST else None

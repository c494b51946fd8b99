"""Keyset pages: one item more than asked tells whether there is another page."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

Item = TypeVar("Item")


def page(read: Callable[[int], Sequence[Item]], limit: int, key: Callable[[Item], object]) -> dict[str, Any]:
    """`read` takes the number of items to fetch; `key` makes the cursor of the last one that is shown."""
    items = read(limit + 1)
    shown = items[:limit]
    more = len(items) > limit
    return {"data": shown, "next_cursor": str(key(shown[-1])) if more else None}


def page_of(items: Sequence[Any], limit: int, cursor: str | None, *, ascending: bool = False) -> dict[str, Any]:
    """Of items that storage gives at once, because they are few; their order is that of their ids."""
    rest = [it for it in items if cursor is None or (it.id > cursor if ascending else it.id < cursor)]
    return page(lambda most: rest[:most], limit, attrgetter("id"))

"""Walks over what storage gives in pages."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

PAGE = 100


class _Row(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=_Row)


def each(read: Callable[[int, str | None], Sequence[Row]], before: str | None = None) -> Iterator[Row]:
    """Every row, newest first. `read` takes how many are wanted and the id that they come before."""
    while rows := read(PAGE, before):
        yield from rows
        before = rows[-1].id

"""What a stream is written as, and what becomes of it where that fails."""

from collections.abc import Callable, Generator
from typing import TypeVar

from api.v1.streams import Pieces
from application.stream import Stream
from domain.completion import Delta

Answer = TypeVar("Answer")


def relayed(stream: Stream[Answer], written: Callable[[list[Delta] | Answer], bytes]) -> Pieces:
    """`written` of each item, as far as it is anything.

    What `written` raises ends the stream as if the stream itself had raised it, so that it is booked for that reason
    and not as a client that left.
    """
    items = iter(stream)
    for item in items:
        try:
            piece = written(item)
        except Exception as error:
            if isinstance(items, Generator):
                items.throw(error)
            raise
        if piece:
            yield piece

"""Reasoning that a provider tells in pieces of its own, beside the text of it."""

from collections.abc import Sequence
from typing import Any

from domain.completion import JsonObject
from domain.members import text_of
from domain.provider_errors import MaxOutputExceeded
from domain.texts import unsigned

_TEXTS = ("text", "summary", "thinking")
_MOST = 4_000_000
"""Characters that are kept."""


class Thoughts:
    """Pieces with texts, put together until the reasoning is over: a match may be split over them."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, int], JsonObject] = {}
        self._room = _MOST

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def take(self, pieces: Any) -> bool:
        """Whether they are kept until the end: what has no text and continues nothing need not be.

        Raises MaxOutputExceeded.
        """
        listed = [piece for piece in pieces if isinstance(piece, dict)] if isinstance(pieces, list) else []
        if not (self or any(map(_says_something, listed))):
            return False
        for piece in listed:
            self._add(piece)
        return True

    def end(self) -> list[JsonObject]:
        blocks, self._blocks = [*self._blocks.values()], {}
        return blocks

    def _add(self, piece: JsonObject) -> None:
        """Pieces with the same type and index are one, and so are texts without an index."""
        self._room -= sum(len(value) for value in piece.values() if isinstance(value, str))
        if self._room < 0:
            raise MaxOutputExceeded
        index = piece.get("index")
        other = -1 if _says_something(piece) else -2 - len(self._blocks)
        block = self._blocks.setdefault((text_of(piece, "type"), index if type(index) is int else other), {})
        for name, value in piece.items():
            before = block.get(name)
            if name in _TEXTS and isinstance(before, str) and isinstance(value, str):
                block[name] = before + value
            elif value is not None or name not in block:
                block[name] = value


def unproven(details: Sequence[Any]) -> list[Any]:
    """Without what proves whose thoughts they are: that is true of the very words only."""
    return [unsigned(it) if isinstance(it, dict) and it.get("type") == "thinking" else it for it in details]


def _says_something(piece: JsonObject) -> bool:
    return any(text_of(piece, name) for name in _TEXTS)

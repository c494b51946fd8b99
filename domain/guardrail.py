"""Rules of the operator about what may be said to a model and by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MASK = "[removed]"
"""Stands where a rule took something out; it changes nothing in JSON text."""


class Action(StrEnum):
    BLOCK = "block"
    MASK = "mask"
    NOTE = "note"
    """It is counted and let through."""


class Side(StrEnum):
    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text, `end` excluded; never empty."""

    start: int
    end: int


def merged(spans: Sequence[Span]) -> list[Span]:
    """In order, and overlapping ones as one."""
    whole: list[Span] = []
    for span in sorted(spans, key=lambda it: (it.start, it.end)):
        if whole and span.start < whole[-1].end:
            whole[-1] = Span(whole[-1].start, max(whole[-1].end, span.end))
        else:
            whole.append(span)
    return whole


def masked(text: str, spans: Sequence[Span]) -> str:
    pieces, at = [], 0
    for span in merged(spans):
        pieces += [text[at : span.start], MASK]
        at = span.end
    return "".join([*pieces, text[at:]])

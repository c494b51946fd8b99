"""JSON as it is written, and as the texts in it read."""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

_HIGH, _LOW = r"u[dD][89abAB][0-9a-fA-F]{2}", r"u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf'\\(?:{_HIGH}\\{_LOW}|u[0-9a-fA-F]{{4}}|["\\/bfnrt]|(?:u[0-9a-fA-F]{{0,3}})?\Z)')
_UNKNOWN = "\ufffd"
"""Half a character, of which the other half is missing."""


class Reading(NamedTuple):
    """A text as it reads; `places` are where its characters begin as it is written, and at last where it ends."""

    text: str
    places: Sequence[int]


def plain(text: str) -> Reading:
    return Reading(text, range(len(text) + 1))


def unescaped(text: str) -> Reading:
    """Of any part of a JSON text, also where it ends amid an escape."""
    if "\\" not in text:
        return plain(text)
    read: list[str] = []
    places: list[int] = []
    at = 0
    for escape in _ESCAPE.finditer(text):
        read += text[at : escape.start()], _character(escape.group())
        places += range(at, escape.start() + 1)
        at = escape.end()
    return Reading("".join([*read, text[at:]]), [*places, *range(at, len(text) + 1)])


def _character(escape: str) -> str:
    try:
        character = str(json.loads(f'"{escape}"'))
    except ValueError:
        return _UNKNOWN
    return _UNKNOWN if "\ud800" <= character <= "\udfff" else character

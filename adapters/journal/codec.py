"""The bytes of a journal: frames of `length | crc32 | json`, both numbers little-endian and 32 bits wide.

The JSON is an object with one key, the kind of the record: `open`, `progress`, `final` or `applied`.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any

import orjson

from application.records import Opened, Progressed, Settled, Turn
from domain.ledger import Kind, LedgerEntry, State
from domain.limits import Hold, Unit, Window
from domain.limits import Kind as Whose
from domain.usage import Source, Usage

_HEADER = struct.Struct("<II")
HEADER_BYTES = _HEADER.size
_LARGEST = 64 << 20
_MARKS = (b'{"open":', b'{"progress":', b'{"final":')


@dataclass(frozen=True, slots=True)
class Applied:
    """All finals of this file that end at or before `offset` are in SQL."""

    offset: int


Entry = Opened | Progressed | Settled | Applied

_TAGS: dict[type, str] = {Opened: "open", Progressed: "progress", Settled: "final", Applied: "applied"}


class Undecodable(ValueError):
    """The bytes are as they were written, but this version of the program cannot read them."""


Unencodable = orjson.JSONEncodeError
"""Text in the record is not valid Unicode: half of a surrogate pair."""


def encode(entry: Entry) -> bytes:
    """One frame. Raises Unencodable; the `cleaned` record is then the one to go on with."""
    return frame(orjson.dumps({_TAGS[type(entry)]: entry}))


def cleaned(entry: Entry) -> Entry:
    """The same with question marks where the text is not valid Unicode."""
    text = json.dumps({_TAGS[type(entry)]: entry}, default=_plain, ensure_ascii=False)
    return decode(text.encode("utf-8", "replace"))


def frame(payload: bytes) -> bytes:
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def decode(payload: bytes) -> Entry:
    """Unknown fields are dropped, so that a journal may be read by a version that no longer has them."""
    try:
        ((tag, value),) = orjson.loads(payload).items()
        return _DECODERS[tag](value)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Undecodable(str(error)) from error


class Frames:
    """The payloads of a journal file with the offset at which each ends, up to the first frame that is not whole.

    When the iteration is over, `end` is where it stopped and `damaged` whether records lie beyond that point:
    a torn last record is what a crash leaves behind, records behind a bad one are not.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.end = 0
        self.damaged = False

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        rest = b""
        for chunk in self._chunks:
            rest += chunk
            start = 0
            while (payload := _payload(rest, start)) is not None:
                start += HEADER_BYTES + len(payload)
                self.end += HEADER_BYTES + len(payload)
                yield self.end, payload
            rest = rest[start:]
        self.damaged = any(rest.find(mark, HEADER_BYTES + 1) >= 0 for mark in _MARKS)


def _payload(buffer: bytes, start: int) -> bytes | None:
    if len(buffer) < start + HEADER_BYTES:
        return None
    length, checksum = _HEADER.unpack_from(buffer, start)
    begin = start + HEADER_BYTES
    if not 0 < length <= _LARGEST or len(buffer) < begin + length:
        return None
    payload = buffer[begin : begin + length]
    return payload if zlib.crc32(payload) == checksum else None


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else asdict(value)


def _known(kind: type) -> Callable[[dict[str, Any]], dict[str, Any]]:
    names = frozenset(field.name for field in fields(kind))
    return lambda value: {name: value[name] for name in names & value.keys()}


_opened, _progressed, _settled = _known(Opened), _known(Progressed), _known(Settled)
_turn, _entry, _usage = _known(Turn), _known(LedgerEntry), _known(Usage)
_hold = _known(Hold)


def _decode_opened(value: dict[str, Any]) -> Opened:
    known = _opened(value)
    known["started_at"] = datetime.fromisoformat(known["started_at"])
    known["turn"] = _decode_turn(known.get("turn"))
    known["holds"] = tuple(map(_decode_hold, known.get("holds", ())))
    return Opened(**known)


def _decode_settled(value: dict[str, Any]) -> Settled:
    known = _settled(value)
    known["entries"] = tuple(map(_decode_entry, known["entries"]))
    known["turn"] = _decode_turn(known.get("turn"))
    known["holds"] = tuple(map(_decode_hold, known.get("holds", ())))
    ended_at = known.get("ended_at")
    known["ended_at"] = None if ended_at is None else datetime.fromisoformat(ended_at)
    return Settled(**known)


def _decode_turn(value: dict[str, Any] | None) -> Turn | None:
    return None if value is None else Turn(**_turn(value))


def _decode_hold(value: dict[str, Any]) -> Hold:
    known = _hold(value)
    known["kind"] = Whose(known["kind"])
    known["unit"] = Unit(known["unit"])
    known["window"] = Window(known["window"])
    known["period"] = date.fromisoformat(known["period"])
    return Hold(**known)


def _decode_entry(value: dict[str, Any]) -> LedgerEntry:
    known = _entry(value)
    usage = _usage(known["usage"])
    usage["source"] = Source(usage["source"])
    known["usage"] = Usage(**usage)
    known["kind"] = Kind(known["kind"])
    known["state"] = State(known["state"])
    known["started_at"] = datetime.fromisoformat(known["started_at"])
    return LedgerEntry(**known)


_DECODERS: dict[str, Callable[[dict[str, Any]], Entry]] = {
    "open": _decode_opened,
    "progress": lambda value: Progressed(**_progressed(value)),
    "final": _decode_settled,
    "applied": lambda value: Applied(int(value["offset"])),
}

"""Bodies packed while they are made, in parts that can be stored, and unpacked piece by piece."""

import zlib
from collections.abc import Iterable, Iterator

import gevent

from domain.errors import RequestAbandoned
from domain.idempotency import PART

MOST = 64 << 20
"""Packed bytes of one body: ten images of 4 MB in base64, and some."""

_LEVEL, _WINDOW, _MEMORY = 1, 12, 5
"""Of the compression: 32 kB for each stream, and a few microseconds per event."""

_AT_ONCE = 256 << 10
"""Bytes that are packed before others have their turn."""


class Packer:
    """Takes a body piece by piece. Of one that is `too_long` nothing is kept."""

    def __init__(self) -> None:
        self.length = 0
        """Of what was added."""
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
        self._size = 0
        self._parts: list[bytes] = []
        self._last = bytearray()

    @property
    def too_long(self) -> bool:
        return self._size > MOST

    def add(self, piece: bytes) -> None:
        """What is too long to be kept is not worth the time that packing it takes."""
        self.length += len(piece)
        rest = memoryview(piece)
        while rest and not self.too_long:
            self._put(self._packer.compress(rest[:_AT_ONCE]))
            rest = rest[_AT_ONCE:]
            if rest:
                gevent.sleep(0)

    def end(self) -> list[bytes]:
        """The body in at least one part, each of PART bytes at most. Given once."""
        self._put(self._packer.flush())
        parts = [*self._parts, bytes(self._last)]
        self._parts.clear()
        return parts

    def _put(self, packed: bytes) -> None:
        self._size += len(packed)
        self._last += packed
        while len(self._last) > PART:
            self._parts.append(bytes(self._last[:PART]))
            del self._last[:PART]
        if self.too_long:
            self._parts.clear()
            self._last.clear()


def unpacked(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The body in pieces of PART bytes at most. Raises RequestAbandoned where parts are missing."""
    unpacker = zlib.decompressobj()
    for part in parts:
        rest = part
        while rest:
            if piece := unpacker.decompress(rest, PART):
                yield piece
            rest = unpacker.unconsumed_tail
        if unpacker.eof:
            return
    raise RequestAbandoned

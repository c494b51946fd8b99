"""Writes PNG images of one colour. Reads none."""

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB_8_BITS = b"\x08\x02\x00\x00\x00"


def png(width: int, height: int, colour: bytes) -> bytes:
    """Of one colour, three bytes: red, green, blue."""
    line = b"\0" + colour * width
    parts = (
        (b"IHDR", struct.pack(">II", width, height) + _RGB_8_BITS),
        (b"IDAT", zlib.compress(line * height)),
        (b"IEND", b""),
    )
    return _SIGNATURE + b"".join(_part(kind, content) for kind, content in parts)


def _part(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

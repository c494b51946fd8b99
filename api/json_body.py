"""Reads a request's JSON body, for every route that has one, and believes nothing about it.

What Python's own parser lets through is refused here: other encodings than UTF-8, duplicate keys, NaN and Infinity,
numbers that no 64-bit type holds, lone surrogates, U+0000, and nesting that would exhaust a recursive reader.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import gevent
from flask import current_app, request
from gunicorn.http.errors import ParseException

from api.answer import BODY_READ
from domain.errors import (
    ClientGone,
    InvalidEncoding,
    InvalidJson,
    InvalidRequest,
    JsonTooDeep,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)

SMALL = 1_000_000
LARGE = 25_000_000
"""For the provider dialects, whose messages carry images as data URLs. Bytes."""

READ_SECONDS = "PARLEY_BODY_SECONDS"
"""The Flask setting with the seconds a whole body may take to arrive."""

_DEPTH = 32
_ELEMENTS = 100_000
_SCANNED = 100_000
_DIGITS = 18
_INT64 = range(-(2**63), 2**64)
_BOM = b"\xef\xbb\xbf"
_SUSPECT = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


def read_json(limit: int = SMALL) -> Any:
    """The parsed body of the current request. `limit` is in bytes."""
    environ = request.environ
    _require_json(environ.get("CONTENT_TYPE", ""))
    return parse(_read(environ, limit))


def parse(raw: bytes) -> Any:
    """Raises InvalidEncoding, InvalidJson and JsonTooDeep."""
    if raw.startswith(_BOM):
        raise InvalidEncoding
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidEncoding from None
    if len(raw) > _SCANNED or raw.count(b"[") + raw.count(b"{") > _DEPTH:
        _check_structure(text)
    try:
        value = _decode(text)
    except RecursionError:
        raise JsonTooDeep from None
    except ValueError as error:
        raise _refusal(text, error) from None
    if _SUSPECT.search(text):
        _check_text(value)
    return value


def _require_json(content_type: str) -> None:
    if content_type == "application/json":
        return
    kind, _, parameters = content_type.lower().partition(";")
    charset = parameters.partition("charset=")[2].strip(' "') or "utf-8"
    if kind.strip() != "application/json" or charset not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType


def _read(environ: dict[str, Any], limit: int) -> bytes:
    declared = environ.get("CONTENT_LENGTH") or ""
    length = int(declared) if declared.isascii() and declared.isdecimal() else None
    if length is not None and length > limit:
        raise PayloadTooLarge(f"The body may have {limit:,} bytes.")
    if length is None and not environ.get("wsgi.input_terminated"):
        length = 0
    stream = environ["wsgi.input"]
    wanted = limit + 1 if length is None else length
    raw: bytes = _in_time(environ, lambda: stream.read(wanted))
    if len(raw) > limit:
        raise PayloadTooLarge(f"The body may have {limit:,} bytes.")
    if length is not None and len(raw) < length:
        raise InvalidRequest("The body ended before its declared length.")
    environ[BODY_READ] = True
    return raw


def _in_time(environ: dict[str, Any], read: Callable[[], bytes]) -> bytes:
    """Bound the time that the whole body may take; gunicorn bounds not even that between two bytes."""
    if "gunicorn.socket" not in environ:
        return read()
    timeout = gevent.Timeout.start_new(current_app.config.get(READ_SECONDS))
    try:
        return read()
    except gevent.Timeout as reached:
        if reached is not timeout:
            raise
        raise RequestTimeout from None
    except (ParseException, EOFError):
        raise InvalidRequest("The body is not framed correctly.") from None
    except OSError as error:
        raise _cut(error) from None
    finally:
        timeout.close()


def _cut(error: OSError) -> InvalidRequest | ClientGone:
    """A connection that was closed in the middle of a chunk has no error number; a reset one has."""
    return InvalidRequest("The body ended too early.") if error.errno is None else ClientGone()


def _check_structure(text: str) -> None:
    """Bound the depth and the number of elements without parsing, by operations that all run in C.

    Strings are cut out first: every second part between unescaped quotes. Then each round removes the innermost level
    of brackets: an opener that is left after as many rounds as there may be levels is one too many.
    """
    bare = text.replace("\\\\", "").replace('\\"', "") if "\\" in text else text
    if bare.count('"') > 4 * _ELEMENTS:
        raise InvalidJson("The body has too many elements.")
    outside = "".join(bare.split('"')[::2])
    if outside.count(",") > _ELEMENTS:
        raise InvalidJson("The body has too many elements.")
    brackets = outside.encode().translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if b"[" in brackets:  # closers alone are a syntax error, which the parser names
        raise JsonTooDeep


def _check_text(value: Any) -> None:
    """Refuse what UTF-8 and SQL cannot store. Only bodies with such escapes are searched."""
    if isinstance(value, str):
        if "\0" in value or not _is_encodable(value):
            raise InvalidJson("Text must not contain U+0000 or half a surrogate pair.")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check_text(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_text(inner)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(text: str, error: ValueError) -> InvalidJson:
    if not text.strip():
        return InvalidJson("The body is empty; a JSON object is expected.")
    if isinstance(error, json.JSONDecodeError):
        return InvalidJson(f"The body is not valid JSON: {error.msg} at character {error.pos}.")
    return InvalidJson(f"The body is not valid JSON: {error}.")


def _integer(text: str) -> int:
    if len(text) <= _DIGITS:
        return int(text)
    if len(text) > _DIGITS + 2 or int(text) not in _INT64:
        raise ValueError("an integer does not fit into 64 bits")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if number in _INFINITE:
        raise ValueError("a number is out of range")
    return number


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return members


_INFINITE = (float("inf"), float("-inf"))
_decode: Callable[[str], Any] = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_integer, parse_constant=_constant
).decode

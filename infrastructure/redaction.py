"""Keeps secrets out of whatever is written: by their form, and by their value once it is registered.

It works on the finished line, so that no caller, library or traceback can go around it.
"""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from infrastructure.settings import Settings

SHORTEST = 8
"""Shorter values are not registered: they would be found inside innocent words."""

_TAIL = 4
_LONG_ENOUGH_FOR_TAIL = 20
_MASK = b"[redacted]"
_SECRET_VARIABLE = re.compile(r".*(_API_KEY|_TOKEN|_SECRET|_SECRET_KEY|_PASSWORD)$")

_FIELDS = (
    *("authorization", "proxy-authorization", "x-api-key", "api-key", "api_key", "apikey"),
    *("password", "passwd", "secret", "client_secret", "token", "access_token", "cookie", "set-cookie"),
)
_FIELD_MARKS = (b'ation"', b'key"', b'password"', b'passwd"', b'secret"', b'token"', b'cookie"')
_FIELD_NAMES = frozenset(_FIELDS)
_ANY_FIELD = "|".join(_FIELDS).encode()

_FORMS: tuple[tuple[tuple[bytes, ...], re.Pattern[bytes]], ...] = (
    ((b"parley_",), re.compile(rb"()(parley_[a-z]{1,12}_[0-9A-Za-z]{10}_[0-9A-Za-z]{4,})()", re.IGNORECASE)),
    ((b"sk-",), re.compile(rb"(?<![0-9A-Za-z])()(sk-[0-9A-Za-z_-]{8,})()", re.IGNORECASE)),
    ((b"bearer ", b"basic "), re.compile(rb"(\b(?:Bearer|Basic) +)([0-9A-Za-z._~+/=-]{4,})()", re.IGNORECASE)),
    ((b"eyj",), re.compile(rb"()(\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*)?)()")),
    ((b"://",), re.compile(rb"(://[^\s:/@\"]*:)([^\s/@\"]+)(@)")),
    (_FIELD_MARKS, re.compile(rb"([\"'](?:" + _ANY_FIELD + rb")\\*[\"']: ?\\*[\"'])([^\"'\\]+)()", re.IGNORECASE)),
)
"""Parts of lower-case text without which a pattern cannot match, and the pattern: (kept)(secret)(kept)."""

_PLAIN = frozenset({int, float, bool, type(None)})
_REMEMBERED = 2048
_SHORT = 64


class Redactor:
    """`register` values as they become known; `redact` every line."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}
        self._innocent: set[str] = set()

    def register(self, value: str | None) -> None:
        """The value itself and its hex, base64, URL and JSON forms are masked from now on."""
        if value and len(value) >= SHORTEST:
            raw = value.encode()
            # A new dictionary, because a thread may be going through the old one.
            self._known = {**self._known, **dict.fromkeys(_encodings(value), _MASK), raw: mask(raw)}
            self._innocent.clear()

    def redact(self, text: bytes) -> bytes:
        for secret, masked in self._known.items():
            if secret in text:
                text = text.replace(secret, masked)
        lower = text.lower().replace(b"\\", b"").replace(b"'", b'"')
        for marks, pattern in _FORMS:
            for mark in marks:
                if mark in lower:
                    text = pattern.sub(_mask_match, text)
                    break
        return text

    def is_innocent(self, event: Mapping[str, Any]) -> bool:
        """True when `redact` would find nothing in this event; False for anything but text and numbers.

        Words seen before cost a look-up, so usual lines are several times cheaper than with `redact`.
        """
        fresh: list[str] = []
        for name, value in event.items():
            if name not in self._innocent:
                fresh.append(name)
            if type(value) is str:
                if value not in self._innocent:
                    fresh.append(value)
            elif type(value) not in _PLAIN:
                return False
        return not fresh or self._learn(fresh)

    def _learn(self, fresh: list[str]) -> bool:
        text = "\n".join(fresh).encode(errors="replace")
        if self.redact(text) != text or not _FIELD_NAMES.isdisjoint(map(str.lower, fresh)):
            return False
        if len(self._innocent) > _REMEMBERED:
            self._innocent.clear()
        self._innocent.update(word for word in fresh if len(word) <= _SHORT)
        return True


def mask(secret: bytes) -> bytes:
    """At most the last four characters stay, and only of something long."""
    return _MASK + secret[-_TAIL:] if len(secret) >= _LONG_ENOUGH_FOR_TAIL else _MASK


def secrets_of(settings: Settings) -> Iterator[str]:
    """Every secret that this process was given."""
    yield from filter(None, (*settings.secret_keys, settings.metrics_token))
    for url in filter(None, (settings.database_url, settings.redis_url)):
        yield from _passwords(url)
    yield from _variables(settings)


def _passwords(url: str) -> Iterator[str]:
    """Of an address that cannot be read, all of it is secret."""
    try:
        password = urlsplit(url).password
    except ValueError:
        password = url
    if password:
        yield password


def _variables(settings: Settings) -> Iterator[str]:
    tables = settings.providers.values()
    named = {entry.get("api_key_env") for table in tables for entry in (table, *table.get("credentials", ()))}
    environment: Mapping[str, str] = settings.environment
    for name, value in environment.items():
        if name in named or _SECRET_VARIABLE.fullmatch(name):
            yield value


def _mask_match(match: re.Match[bytes]) -> bytes:
    before, secret, after = match.groups()
    return match.group() if secret.startswith(_MASK) else before + mask(secret) + after


def _encodings(value: str) -> Iterator[bytes]:
    raw = value.encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    yield orjson.dumps(value)[1:-1]
    yield quote(value, safe="").encode()
    for encode in (b64encode, urlsafe_b64encode):
        yield from _base64(raw, encode)


def _base64(raw: bytes, encode: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """What is the same in every base64 text that contains `raw`, for each of the three ways to be aligned in it."""
    for shift in range(3):
        encoded = encode(b"\0" * shift + raw)
        yield encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]

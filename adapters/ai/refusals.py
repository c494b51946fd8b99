"""What the refusals of all wires have in common: statuses, waits, and words that are safe to pass on."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil, isfinite
from typing import Any

import orjson

from adapters.clock import SystemClock
from domain.provider_errors import (
    ContentFiltered,
    ProviderError,
    UpstreamAuth,
    UpstreamBadContent,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRedirect,
    UpstreamRejected,
    UpstreamTimeout,
)
from domain.usage import Usage

MAX_RETRY_AFTER = 120
IN_BAND = 200
"""The status of an answer that tells of its failure inside."""

_MAX_MESSAGE = 500
_MAX_PARAM = 100
_HIDDEN = "***"
_SHORTEST_KEY = 8
"""A shorter one would be found inside innocent words."""
_TELLING = 5
"""So much of the beginning of a key says more than its usual prefix."""
_PART = 10
"""So much from anywhere in a key is a part of it and no word."""
_REDIRECTION = 3
_CLIENT_ERROR = 4
_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: UpstreamAuth,
    402: UpstreamAuth,
    403: UpstreamForbidden,
    408: UpstreamTimeout,
    429: UpstreamRateLimited,
    503: UpstreamOverloaded,
    529: UpstreamOverloaded,
}
_KEY = re.compile(
    r"\b(?:bearer|basic)\s+\S+|\b(?:sk|pk|rk|ak|gsk|xai|key|token)[-_][\w*.-]{4,}|[\w-]{32,}", re.IGNORECASE
)


class PromptBlocked(ContentFiltered):
    """The provider read the prompt, counted it, and gives no answer. `usage` is None where it told no count."""

    def __init__(self, message: str, usage: Usage | None) -> None:
        super().__init__(message)
        self.usage = usage


def by_status(status: int) -> type[ProviderError]:
    """What a status says when nothing says more."""
    if status // 100 == _REDIRECTION:
        return UpstreamRedirect
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return UpstreamRejected if status // 100 == _CLIENT_ERROR else UpstreamFailed


def failure(
    kind: type[ProviderError], message: Any = "", *, param: Any = None, wait: int | None = None
) -> ProviderError:
    """In the provider's own words, except that a refused credential or a redirect is told without any of them.

    What is no text of `message` and `param` tells nothing. `wait` is in seconds and only told where trying again makes
    sense; a rate limit always says when to come back.
    """
    if issubclass(kind, UpstreamAuth | UpstreamRedirect):
        return kind()
    after = wait or (1 if kind is UpstreamRateLimited else None)
    return kind(_worded(message) or None, param=_named(param), retry_after=after if kind.retryable else None)


def _worded(message: Any) -> str:
    """On one line, without anything that looks like a key, and not too long; empty unless it is text."""
    if not isinstance(message, str):
        return ""
    text = masked(" ".join(message.split()))
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def _named(param: Any) -> str | None:
    """The name of a field, None unless it is text."""
    return masked(param)[:_MAX_PARAM] if isinstance(param, str) and param else None


def wrong_content(content_type: str) -> UpstreamBadContent:
    return UpstreamBadContent(f"The provider answered with {masked(content_type)[:80] or 'no content type'}.")


def masked(text: str) -> str:
    """`text` without anything that looks like a key."""
    return _KEY.sub(_HIDDEN, text)


@contextmanager
def discreet(keys: Sequence[str]) -> Iterator[None]:
    """No error gets out with one of these keys in it: some providers quote what they refuse, whatever it looks like."""
    try:
        yield
    except ProviderError as error:
        error.message = _without(error.message, keys)
        error.param = None if error.param is None else _without(error.param, keys)
        error.args = (error.message,)
        raise


def _without(text: str, keys: Sequence[str]) -> str:
    """Also without parts of a key, whose rest may be hidden already, and without its beginning where a text was cut."""
    for key in keys:
        if len(key) < _SHORTEST_KEY:
            continue
        text = _without_parts(text.replace(key, _HIDDEN), key.lower())
        whole = text.rstrip("…")
        for length in range(len(key) - 1, _TELLING - 1, -1):
            if whole.endswith(key[:length]):
                text = whole[:-length] + _HIDDEN
                break
    return text


def _without_parts(text: str, key: str) -> str:
    """`key` in small letters: that it is written otherwise does not help whoever reads it to guess it."""
    kept, end = "", 0
    for at in range(len(text) - _PART + 1):
        if text[at : at + _PART].lower() in key:
            kept += "" if kept and at <= end else text[end:at] + _HIDDEN
            end = at + _PART
    return kept + text[end:]


def seconds_to_wait(header: str | None, default: int | None, now: Callable[[], datetime] | None = None) -> int | None:
    """A Retry-After header as 1 … 120 whole seconds; `default` when it is missing or makes no sense."""
    if not header:
        return default
    seconds: float | None = None
    with suppress(ValueError):
        seconds = float(header)
    if seconds is None:
        with suppress(ValueError, TypeError, OverflowError):
            at = parsedate_to_datetime(header)
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - (now or SystemClock().now)()).total_seconds()
    if seconds is None or not isfinite(seconds):
        return default
    return min(MAX_RETRY_AFTER, max(1, ceil(seconds)))


def json_of(body: bytes) -> Any:
    """None when it is no JSON."""
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(body)
    return None

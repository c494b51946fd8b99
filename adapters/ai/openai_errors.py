"""Refusals of OpenAI's wire, in the domain's words."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil, isfinite
from typing import Any

import orjson

from adapters.clock import SystemClock
from domain.provider_errors import (
    ContentFiltered,
    ContextLengthExceeded,
    ProviderError,
    UpstreamAuth,
    UpstreamBadContent,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRedirect,
    UpstreamRejected,
    UpstreamTimeout,
)

MAX_RETRY_AFTER = 120
IN_BAND = 200
"""The status of an answer that tells of its failure inside."""

_MAX_MESSAGE = 500
_HIDDEN = "***"
_SHORTEST_KEY = 8
"""A shorter one would be found inside innocent words."""
_TELLING = 5
"""So much of a key says more than its usual prefix."""
_REDIRECTION = 3
_CLIENT_ERROR = 4
_BY_STATUS: dict[int, type[ProviderError]] = {
    401: UpstreamAuth,
    402: UpstreamAuth,
    403: UpstreamAuth,
    408: UpstreamTimeout,
    429: UpstreamRateLimited,
    503: UpstreamOverloaded,
    504: UpstreamTimeout,
    529: UpstreamOverloaded,
}
_BY_CODE: dict[str, type[ProviderError]] = {
    "authentication_error": UpstreamAuth,
    "content_filter": ContentFiltered,
    "content_policy_violation": ContentFiltered,
    "context_length_exceeded": ContextLengthExceeded,
    "data_inspection_failed": ContentFiltered,
    "exceed_context_size_error": ContextLengthExceeded,
    "insufficient_quota": UpstreamAuth,
    "invalid_api_key": UpstreamAuth,
    "invalid_request_error": UpstreamRejected,
    "overloaded_error": UpstreamOverloaded,
    "rate_limit_exceeded": UpstreamRateLimited,
    "timeout": UpstreamTimeout,
}
_LENGTH = re.compile(
    r"maximum context length|context (?:window|length|size)|too many tokens|input is too long", re.IGNORECASE
)
_FILTER = re.compile(r"content (?:management )?policy|content[ _]filter", re.IGNORECASE)
_KEY = re.compile(
    r"\b(?:bearer|basic)\s+\S+|\b(?:sk|pk|rk|ak|gsk|xai|key|token)[-_][\w*.-]{4,}|[\w-]{32,}", re.IGNORECASE
)


def refusal(status: int, body: bytes, retry_after: str | None = None) -> ProviderError:
    """The error for an answer that is not 2xx. `retry_after` is the header of that name."""
    if status // 100 == _REDIRECTION:
        return UpstreamRedirect()
    message, codes, param = _told(_parsed(body))
    kind = _kind(status, message, codes)
    if issubclass(kind, UpstreamAuth):
        return UpstreamAuth()
    wait = seconds_to_wait(retry_after, 1 if kind is UpstreamRateLimited else None)
    return kind(message or None, param=param, retry_after=wait if kind.retryable else None)


def in_band(error: Any) -> ProviderError:
    """The error for an `error` member in a body or event that came with status 200."""
    message, codes, param = _told({"error": error})
    status = next((int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)), IN_BAND)
    kind = _kind(status, message, codes)
    return UpstreamAuth() if issubclass(kind, UpstreamAuth) else kind(message or None, param=param)


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
    """Also without the beginning of a key where the text was cut."""
    for key in keys:
        if len(key) < _SHORTEST_KEY:
            continue
        text = text.replace(key, _HIDDEN)
        whole = text.rstrip("…")
        for length in range(len(key) - 1, _TELLING - 1, -1):
            if whole.endswith(key[:length]):
                text = whole[:-length] + _HIDDEN
                break
    return text


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


def _kind(status: int, message: str, codes: list[str]) -> type[ProviderError]:
    """A code says more than a status, except that a 5xx is never the caller's fault for being called that."""
    named = next((_BY_CODE[code] for code in codes if code in _BY_CODE), None)
    if named is not None and (named is not UpstreamRejected or status == IN_BAND):
        return _by_message(message) if named is UpstreamRejected else named
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return _by_message(message) if status // 100 == _CLIENT_ERROR else UpstreamFailed


def _by_message(message: str) -> type[ProviderError]:
    """Providers without a code of their own for it say at least what was wrong."""
    if _LENGTH.search(message):
        return ContextLengthExceeded
    return ContentFiltered if _FILTER.search(message) else UpstreamRejected


def _parsed(body: bytes) -> Any:
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(body)
    return None


def _told(answer: Any) -> tuple[str, list[str], str | None]:
    """Message, codes and parameter, from the shapes that servers of this wire use: an object, a string, no envelope."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(error, str):
        return _trimmed(error), [], None
    if not isinstance(error, dict):
        return "", [], None
    message = error.get("message") or error.get("detail")
    codes = [str(error[name]).lower() for name in ("code", "type") if isinstance(error.get(name), str | int)]
    param = error.get("param")
    return (
        _trimmed(message) if isinstance(message, str) else "",
        codes,
        masked(param)[:100] if isinstance(param, str) else None,
    )


def _trimmed(message: str) -> str:
    text = masked(" ".join(message.split()))
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"

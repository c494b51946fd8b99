"""Refusals of OpenAI's wire, in the domain's words."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapters.ai.refusals import IN_BAND, by_status, failure, json_of, seconds_to_wait
from domain.members import object_of, text_of
from domain.provider_errors import (
    ContentFiltered,
    ContextLengthExceeded,
    ProviderError,
    UpstreamAuth,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRedirect,
    UpstreamRejected,
    UpstreamTimeout,
)

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
    "moderation_blocked": ContentFiltered,
    "overloaded_error": UpstreamOverloaded,
    "rate_limit_exceeded": UpstreamRateLimited,
    "timeout": UpstreamTimeout,
}
_LENGTH = re.compile(
    r"maximum context length|context (?:window|length|size)|too many tokens|input is too long|max_seq_len"
    r"|token length too long|exceeded model token limit|range of input length|must have less than \d+ tokens",
    re.IGNORECASE,
)
_FILTER = re.compile(r"content (?:management )?policy|content[ _]filter|content exists risk", re.IGNORECASE)


Own = Mapping[str, type[ProviderError]]
"""`Quirks.errors`."""
_NONE: Own = MappingProxyType({})


def refusal(status: int, body: bytes, retry_after: str | None = None, own: Own = _NONE) -> ProviderError:
    """The error for an answer that is not 2xx. `retry_after` is the header of that name."""
    if by_status(status) is UpstreamRedirect:
        return UpstreamRedirect()
    answer = json_of(body)
    if status == IN_BAND:
        return in_band(answer.get("error") if isinstance(answer, dict) else None, own)
    message, codes, param = _told(answer)
    kind = _kind(status, message, codes, own)
    return failure(kind, message, param=param, wait=seconds_to_wait(retry_after, None))


def in_band(error: Any, own: Own = _NONE) -> ProviderError:
    """The error for an `error` member in a body or event that came with status 200."""
    message, codes, param = _told({"error": error})
    status = next((int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)), IN_BAND)
    return failure(_kind(status, message, codes, own), message, param=param)


def _kind(status: int, message: str, codes: list[str], own: Own) -> type[ProviderError]:
    """A code says more than a status, except that a 5xx is never the caller's fault for being called that."""
    special = next((own[code] for code in (*codes, str(status)) if code in own), None)
    if special is not None:
        return special
    kind = next((_BY_CODE[code] for code in codes if code in _BY_CODE), None)
    if kind is None or (kind is UpstreamRejected and status != IN_BAND):
        kind = by_status(status)
    return _by_message(message) if kind is UpstreamRejected else kind


def _by_message(message: str) -> type[ProviderError]:
    """Providers without a code of their own for it say at least what was wrong."""
    if _LENGTH.search(message):
        return ContextLengthExceeded
    return ContentFiltered if _FILTER.search(message) else UpstreamRejected


def _told(answer: Any) -> tuple[str, list[str], Any]:
    """Message, codes and parameter, from the shapes that servers of this wire use: an object, a string, no envelope."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(error, str):
        return error, [], None
    if not isinstance(error, dict):
        return "", [], None
    codes = [str(error[name]).lower() for name in ("code", "type") if isinstance(error.get(name), str | int)]
    if "flagged_input" in object_of(error, "metadata"):
        codes = ["content_filter"]
    message, param = _worded(error.get("message") or error.get("detail"))
    return message, codes, error.get("param") or param


def _worded(message: Any) -> tuple[str, str | None]:
    """A message and the field that it is about: a text, or the list of a validator of which the first is told."""
    if isinstance(message, dict):
        message = message.get("detail")
    if isinstance(message, list) and message and isinstance(message[0], dict):
        where = message[0].get("loc")
        path = [str(step) for step in where[1:]] if isinstance(where, list) else []
        return text_of(message[0], "msg"), ".".join(path) or None
    return (message if isinstance(message, str) else ""), None

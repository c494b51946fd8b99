"""Refusals of Dify's wire, in the domain's words: https://docs.dify.ai/en/api-reference/chat-messages/send-chat-message."""

import re
from collections.abc import Mapping
from typing import Any

from adapters.ai.refusals import IN_BAND, by_status, failure, json_of, seconds_to_wait
from domain.members import text_of
from domain.provider_errors import (
    ContentFiltered,
    ContextLengthExceeded,
    ProviderError,
    UpstreamAuth,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
)


class ConversationLost(UpstreamRejected):
    """Dify does not know the conversation any more, or goes on with it no further."""


class StreamsOnly(UpstreamRejected):
    """The app answers nothing but streams, as those of agents do."""


class FileTooLarge(UpstreamRejected):
    """For this installation of Dify."""


class FileTypeRefused(UpstreamRejected):
    """By this installation of Dify."""


_BY_CODE: Mapping[str, type[ProviderError]] = {
    # The app is set up wrongly, which neither another request nor another try makes right.
    "agent_not_published": ProviderError,
    "app_unavailable": ProviderError,
    "not_chat_app": ProviderError,
    "provider_not_initialize": UpstreamAuth,
    "provider_quota_exceeded": UpstreamAuth,
    "model_currently_not_support": UpstreamForbidden,
    "completion_request_error": UpstreamFailed,
    "conversation_completed": ConversationLost,
    "conversation_not_exists": ConversationLost,
    "file_too_large": FileTooLarge,
    "unsupported_file_type": FileTypeRefused,
    "rate_limit_error": UpstreamRateLimited,
    "too_many_requests": UpstreamRateLimited,
    "unauthorized": UpstreamAuth,
}
_VAGUE = frozenset({"bad_request", "invalid_param", "not_found"})
_NOT_FOUND = 404
_LOST = re.compile(r"conversation (?:does )?not exist", re.IGNORECASE)
_STREAMS_ONLY = re.compile(r"not support blocking mode|only supports streaming", re.IGNORECASE)
_OF_THE_MODEL = (
    ("context[ _](?:length|window|size)|maximum context|prompt is too long|too many tokens", ContextLengthExceeded),
    ("content[ _](?:filter|policy|management)|data_inspection_failed", ContentFiltered),
    ("rate limit|too many requests", UpstreamRateLimited),
    ("incorrect model credentials|authorization error", UpstreamAuth),
    ("server unavailable|overloaded", UpstreamOverloaded),
    ("bad request error", UpstreamRejected),
)
"""How Dify tells of the model behind an app: always with the same code, and mostly in the words of its provider."""


def refusal(status: int, body: bytes, retry_after: str | None = None) -> ProviderError:
    """The error for an answer that is not 2xx. `retry_after` is the header of that name."""
    answer = json_of(body)
    told = answer if isinstance(answer, dict) else {}
    return in_band(told) if status == IN_BAND else _failure(status, told, seconds_to_wait(retry_after, None))


def in_band(told: Mapping[str, Any]) -> ProviderError:
    """The error for an event or a body that came with status 200 and tells its own."""
    status = told.get("status")
    return _failure(status if type(status) is int and status > IN_BAND else IN_BAND, told, None)


def _failure(status: int, told: Mapping[str, Any], wait: int | None) -> ProviderError:
    message = text_of(told, "message")
    return failure(_kind(status, text_of(told, "code"), message), message, wait=wait)


def _kind(status: int, code: str, message: str) -> type[ProviderError]:
    """A code says more than a status, and the words of the model's provider more than Dify's code for it."""
    if status == _NOT_FOUND and _LOST.search(message):
        return ConversationLost
    if code in _VAGUE and _STREAMS_ONLY.search(message):
        return StreamsOnly
    kind = _BY_CODE.get(code) or (UpstreamRejected if code in _VAGUE and status == IN_BAND else by_status(status))
    if code not in ("completion_request_error", *_VAGUE):
        return kind
    return next((named for words, named in _OF_THE_MODEL if re.search(words, message, re.IGNORECASE)), kind)

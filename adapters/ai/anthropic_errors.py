"""Refusals of Anthropic's wire, in the domain's words: https://platform.claude.com/docs/en/api/errors."""

import re
from collections.abc import Mapping
from typing import Any

from adapters.ai.refusals import IN_BAND, by_status, failure, json_of, seconds_to_wait
from domain.completion import JsonObject
from domain.members import object_of, text_of
from domain.provider_errors import (
    ContextLengthExceeded,
    ProviderError,
    UpstreamAuth,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
)

_BY_TYPE: Mapping[str, type[ProviderError]] = {
    "api_error": UpstreamFailed,
    "authentication_error": UpstreamAuth,
    "billing_error": UpstreamAuth,
    "conflict_error": UpstreamRejected,
    "invalid_request_error": UpstreamRejected,
    "not_found_error": UpstreamRejected,
    "overloaded_error": UpstreamOverloaded,
    "permission_error": UpstreamForbidden,
    "rate_limit_error": UpstreamRateLimited,
    "request_too_large": UpstreamRejected,
}
_VAGUE = frozenset({UpstreamFailed, UpstreamRejected})
_SPENT = frozenset(
    {
        "contract_spend_limit_reached",
        "enforced_spend_limit_reached",
        "linked_organization_spend_limit_reached",
    }
)
"""Rate limits that no waiting lifts."""
_LENGTH = re.compile(r"prompt is too long|exceeds? (?:the )?(?:model'?s? )?context (?:limit|window)", re.IGNORECASE)
_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)
_FIELD = re.compile(r"([a-z_]+(?:\.\w+)*): ")
"""What a message about a field begins with."""


def refusal(status: int, body: bytes, retry_after: str | None = None) -> ProviderError:
    """The error for an answer that is not 2xx. `retry_after` is the header of that name."""
    answer = json_of(body)
    error = object_of(answer, "error") if isinstance(answer, dict) else {}
    return _failure(status, error, seconds_to_wait(retry_after, None))


def in_band(event: JsonObject) -> ProviderError:
    """The error for an event or a body of the type `error` that came with status 200."""
    return _failure(IN_BAND, object_of(event, "error"), None)


def _failure(status: int, error: JsonObject, wait: int | None) -> ProviderError:
    message = text_of(error, "message")
    field = _FIELD.match(message)
    return failure(_kind(status, error, message), message, param=field and field[1], wait=wait)


def _kind(status: int, error: Any, message: str) -> type[ProviderError]:
    """A type says more than a status, except where it is the type of what has none."""
    if text_of(object_of(error, "details"), "error_code") in _SPENT:
        return UpstreamAuth
    named = _BY_TYPE.get(text_of(error, "type"))
    kind = by_status(status) if named is None or (named in _VAGUE and status != IN_BAND) else named
    return _by_message(message) if kind is UpstreamRejected else kind


def _by_message(message: str) -> type[ProviderError]:
    """What has no type of its own."""
    if _LENGTH.search(message):
        return ContextLengthExceeded
    return UpstreamAuth if _CREDIT.search(message) else UpstreamRejected

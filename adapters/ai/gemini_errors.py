"""Refusals of Gemini's wire, in the domain's words: https://ai.google.dev/gemini-api/docs/troubleshooting."""

import re
from collections.abc import Mapping
from contextlib import suppress
from math import ceil, isfinite
from typing import Any

from adapters.ai.fields import count_of
from adapters.ai.refusals import IN_BAND, MAX_RETRY_AFTER, by_status, failure, json_of, seconds_to_wait
from domain.completion import JsonObject
from domain.members import object_of, objects_of, text_of
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

_BY_STATUS: Mapping[str, type[ProviderError]] = {
    "FAILED_PRECONDITION": UpstreamAuth,  # the key's project must enable billing
    "INTERNAL": UpstreamFailed,
    "PERMISSION_DENIED": UpstreamForbidden,
    "RESOURCE_EXHAUSTED": UpstreamRateLimited,
    "UNAUTHENTICATED": UpstreamAuth,
    "UNAVAILABLE": UpstreamOverloaded,
}
_KEY_REASONS = frozenset(
    {"API_KEY_EXPIRED", "API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "CONSUMER_SUSPENDED", "SERVICE_DISABLED"}
)
"""What is wrong with the key or its project, whatever is asked of them."""
_KEY_REFUSED = re.compile(r"api key (?:not valid|expired)", re.IGNORECASE)
_LENGTH = re.compile(
    r"input token count .*exceeds|exceeds the maximum (?:number of )?(?:input )?tokens?|input context is too long",
    re.IGNORECASE,
)
_DAY = re.compile(r"PerDay", re.IGNORECASE)


def refusal(status: int, body: bytes, retry_after: str | None = None) -> ProviderError:
    """The error for an answer that is not 2xx. `retry_after` is the header of that name."""
    answer = json_of(body)
    if isinstance(answer, list):
        answer = next(iter(answer), None)
    error = object_of(answer, "error") if isinstance(answer, dict) else {}
    if status == IN_BAND:
        return in_band(error)
    return _failure(status, error, seconds_to_wait(retry_after, None))


def in_band(error: Any) -> ProviderError:
    """The error for an `error` member that came with status 200."""
    told = error if isinstance(error, dict) else {"message": error}
    return _failure(count_of(told, "code") or IN_BAND, told, None)


def _failure(status: int, error: JsonObject, wait: int | None) -> ProviderError:
    message, details = text_of(error, "message"), objects_of(error, "details")
    fields = [text_of(violation, "field") for detail in details for violation in objects_of(detail, "fieldViolations")]
    kind = _kind(status, text_of(error, "status"), message, details)
    return failure(kind, message, param=next(iter(fields), None), wait=_wait(details) or wait)


def _kind(status: int, name: str, message: str, details: list[JsonObject]) -> type[ProviderError]:
    """A key that nobody knows is a 400 like any other, but for its reason."""
    reasons = {text_of(detail, "reason") for detail in details}
    if reasons & _KEY_REASONS or _KEY_REFUSED.search(message):
        return UpstreamAuth
    kind = _BY_STATUS.get(name) or by_status(status)
    return ContextLengthExceeded if kind is UpstreamRejected and _LENGTH.search(message) else kind


def _wait(details: list[JsonObject]) -> int | None:
    """Whole seconds. What is used up for the day comes back tomorrow, whatever delay is told beside it."""
    violations = [violation for detail in details for violation in objects_of(detail, "violations")]
    if any(_DAY.search(text_of(violation, "quotaId")) for violation in violations):
        return MAX_RETRY_AFTER
    delays = [text_of(detail, "retryDelay") for detail in details]
    seconds = 0.0
    with suppress(ValueError):
        seconds = float(next((delay for delay in delays if delay), "").removesuffix("s"))
    return min(MAX_RETRY_AFTER, max(1, ceil(seconds))) if seconds > 0 and isfinite(seconds) else None

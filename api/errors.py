"""One table from what went wrong to what a client is told; every error of every route has the body of its dialect."""

import logging
from typing import Any

import orjson
from flask import Flask
from werkzeug.exceptions import HTTPException

from api.answer import Answer, json_answer
from api.dialect import Dialect, current_dialect
from api.trace import current_trace
from domain import errors, provider_errors
from domain.errors import ParleyError

STATUS: dict[type[ParleyError], int] = {
    errors.ParleyError: 500,
    errors.InvalidRequest: 400,
    errors.IdempotencyKeyReused: 422,
    errors.PayloadTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.RequestTimeout: 408,
    errors.Unauthenticated: 401,
    errors.BudgetExceeded: 402,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.RateLimited: 429,
    errors.RequestAbandoned: 502,
    errors.Unavailable: 503,
    errors.Cancelled: 499,  # nginx's convention: the caller ended it
    provider_errors.ProviderError: 502,
    provider_errors.UpstreamConnectTimeout: 504,
    provider_errors.UpstreamTimeout: 504,
    provider_errors.UpstreamIdleTimeout: 504,
    provider_errors.UpstreamTotalTimeout: 504,
    provider_errors.UpstreamRateLimited: 429,
    provider_errors.UpstreamOverloaded: 503,
    provider_errors.UpstreamRejected: 400,
}
"""The nearest ancestor that is in the table decides."""

_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
    499: "cancelled_error",
}
"""OpenAI's names where it has one; of the rest, 4xx is `invalid_request_error` and 5xx `api_error`."""

_MESSAGES_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    499: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
"""Anthropic's names, the rest likewise."""

_TOO_LONG = "prompt is too long"
"""What Claude Code looks for in Anthropic's message before it compacts a conversation."""

_HTTP = {
    404: ("not_found", "There is no such route: those of the API begin with /api/v1."),
    405: ("method_not_allowed", "This route does not have that method; `Allow` names those it has."),
    413: ("request_too_large", "The request is too large."),
    415: ("unsupported_media_type", "The body has a type that is not accepted here."),
}
_RETRIED_BY_SDKS = frozenset({401, 408, 409, 422, 429})
"""Beside all 5xx, by one or the other; where a retry is useless, `x-should-retry: false` stops them."""

_RETRY_AFTER = {429: 1, 503: 2}
"""Seconds, where whoever raised the error knew no better."""

_INTERNAL = "Something went wrong in the gateway. It has been logged with this request id."
_BACKSTOP = 500
_log = logging.getLogger(__name__)


def init_errors(app: Flask) -> None:
    app.register_error_handler(ParleyError, answer_error)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_unexpected)


def status_of(error: ParleyError) -> int:
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return _BACKSTOP  # pragma: no cover - the root is in the table


def envelope(error: ParleyError, request_id: str) -> dict[str, Any]:
    """What goes under `error`, in a body as well as in a stream."""
    return {
        "message": error.message,
        "type": type_of(status_of(error)),
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
        "retryable": error.retryable,
        "provider": error.provider,
    }


def type_of(status: int) -> str:
    return _named(_TYPES, status)


def error_body(error: ParleyError, request_id: str, dialect: Dialect) -> dict[str, Any]:
    """The whole body; of a stream in Anthropic's dialect, what its `error` event holds."""
    return _BODIES[dialect](envelope(error, request_id), status_of(error))


def answer_error(error: ParleyError) -> Answer:
    status = status_of(error)
    body = orjson.dumps(error_body(error, current_trace().request_id, current_dialect()))
    answer = json_answer(body, status)
    wait = error.retry_after or (_RETRY_AFTER.get(status) if error.retryable else None)
    if wait:
        answer.headers["Retry-After"] = str(wait)
    if not error.retryable and (status >= _BACKSTOP or status in _RETRIED_BY_SDKS):
        answer.headers["x-should-retry"] = "false"
    if isinstance(error, errors.Unauthenticated):
        answer.headers["WWW-Authenticate"] = "Bearer"
    if error.provider:
        answer.headers["X-Parley-Provider"] = error.provider
    return answer


def unexpected(error: BaseException, request_id: str) -> ParleyError:
    """For the log everything, for the client nothing but the request id."""
    _log.error("unexpected error in request %s", request_id, exc_info=error)
    return ParleyError(_INTERNAL)


def _answer_unexpected(error: Exception) -> Answer:
    return answer_error(unexpected(error, current_trace().request_id))


def _answer_http(error: HTTPException) -> Answer:
    """Werkzeug's own refusals: no such route, wrong method, a header it cannot accept."""
    status = error.code or _BACKSTOP
    if status >= _BACKSTOP:
        return answer_error(unexpected(error, current_trace().request_id))
    code, message = _HTTP.get(status, ("invalid_request", "The request is not valid."))
    body = {
        "message": message,
        "type": type_of(status),
        "code": code,
        "param": None,
        "request_id": current_trace().request_id,
        "retryable": False,
        "provider": None,
    }
    answer = json_answer(orjson.dumps(_BODIES[current_dialect()](body, status)), status)
    for name, value in error.get_headers():
        if name == "Allow":
            answer.headers[name] = value
    return answer


def _plain(told: dict[str, Any], status: int) -> dict[str, Any]:  # noqa: ARG001 - as those of other dialects
    return {"error": told}


def _of_messages(told: dict[str, Any], status: int) -> dict[str, Any]:
    error = {
        "type": _named(_MESSAGES_TYPES, status),
        "message": told["message"],
        "code": told["code"],
        "param": told["param"],
        "retryable": told["retryable"],
        "provider": told["provider"],
    }
    if told["code"] == provider_errors.ContextLengthExceeded.code and _TOO_LONG not in told["message"].lower():
        error["message"] = f"{_TOO_LONG}: {told['message']}"
    if told["param"] == "thread":
        error["details"] = {"error_code": "thread_unsupported_request"}
    return {"type": "error", "error": error, "request_id": told["request_id"]}


def _named(types: dict[int, str], status: int) -> str:
    return types.get(status) or ("api_error" if status >= _BACKSTOP else "invalid_request_error")


_BODIES = {Dialect.COMPLETIONS: _plain, Dialect.MESSAGES: _of_messages}

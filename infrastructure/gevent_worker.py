"""Gunicorn's gevent worker, except that it refuses in the words of the API what it cannot even parse.

The master imports this before anything is patched, so it stays free of Flask.
"""

import json
import signal
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from adapters.clock import new_id

_STATUS = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
}
_MESSAGES = {
    HTTPStatus.BAD_REQUEST: "This is not HTTP as the server accepts it.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The address of the request is too long.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers of the request are too many or too large.",
    HTTPStatus.EXPECTATION_FAILED: "The expectation of the request cannot be met.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong in the gateway. It has been logged with this request id.",
}
_APPLICATION = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName, errors.ConfigurationProblem)
"""Kinds of parse errors that no client can cause."""


class Worker(GeventWorker):  # type: ignore[misc] # gunicorn ships no types
    SIGNALS = tuple(number for number in GeventWorker.SIGNALS if number != signal.SIGHUP)
    """Those that end a worker until it has handlers of its own. A reload that comes too early is made up for later."""

    def init_signals(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        super().init_signals()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:  # noqa: ARG002 - gunicorn's signature
        """Answer for what never reached the application, or left it in a way that it does not answer itself."""
        request_id = new_id("req")
        status = status_of(exc)
        if status is HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("unexpected error in request %s", request_id, exc_info=exc)
        else:  # what was sent may hold a credential, so only the kind of the mistake is told
            self.log.warning("refused request %s: %s", request_id, type(exc).__name__)
        answer = refusal(status, request_id)
        with suppress(OSError):  # the client may be gone
            write_nonblock(client, answer)


def status_of(error: BaseException) -> HTTPStatus:
    if not isinstance(error, errors.ParseException) or isinstance(error, _APPLICATION):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    return _STATUS.get(type(error), HTTPStatus.BAD_REQUEST)


def refusal(status: HTTPStatus, request_id: str) -> bytes:
    """A whole answer after which the connection is closed. It is an error in every dialect: nobody knows the route."""
    ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    body = {
        "message": _MESSAGES[status],
        "type": "api_error" if ours else "invalid_request_error",
        "code": "internal_error" if ours else "invalid_http",
        "param": None,
        "request_id": request_id,
        "retryable": False,
        "provider": None,
    }
    content = json.dumps({"type": "error", "error": body, "request_id": request_id}).encode()
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        f"X-Request-Id: {request_id}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
    ]
    return "\r\n".join([*head, "", ""]).encode() + content

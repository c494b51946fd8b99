"""Around every request: its id, its clock, its headers, and one fact when its last byte is out."""

import re
from functools import partial

from flask import Flask, Response, request

from api.answer import Answer
from api.trace import EXTENSION, Trace, Tracer, current_trace
from application.facts import HttpServed
from application.ports import Clock, NewId, Record

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RETRY = "HTTP_X_STAINLESS_RETRY_COUNT"
"""Sent by the SDKs of OpenAI and Anthropic."""
_COUNT = re.compile(r"[0-9]{1,3}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


def init_middleware(app: Flask, *, clock: Clock, new_id: NewId, record: Record) -> None:
    """Must be the first of all hooks, so that every other one has a trace."""
    tracer = app.extensions[EXTENSION] = Tracer(clock, new_id)

    def begin() -> None:
        trace = tracer.begin()
        environ = request.environ
        method, rule = environ["REQUEST_METHOD"], request.url_rule
        trace.method = method if method in _METHODS else "OTHER"
        if rule is not None:
            trace.route = rule.rule
        claimed = environ.get("HTTP_X_REQUEST_ID")
        if claimed and _CLIENT_ID.fullmatch(claimed):
            trace.client_request_id = claimed
        retry = environ.get(_RETRY)
        if retry and _COUNT.fullmatch(retry):
            trace.client_retry = int(retry)

    def end(response: Response) -> Response:
        trace = current_trace()
        headers = response.headers
        headers.add("X-Request-Id", trace.request_id)
        if trace.upstream_ms is not None:
            elapsed = (clock.monotonic() - trace.started) * 1000
            trace.overhead_ms = max(0.0, elapsed - trace.upstream_ms)
            headers.add("X-Parley-Upstream-Ms", str(trace.upstream_ms))
            headers.add("X-Parley-Overhead-Ms", f"{trace.overhead_ms:.1f}")
        if isinstance(response, Answer):
            response.on_sent = partial(_served, trace, clock, record)
        return response

    app.before_request(begin)
    app.after_request(end)


def _served(trace: Trace, clock: Clock, record: Record, answer: Answer) -> None:
    upstream = trace.upstream_ms
    record(
        HttpServed(
            method=trace.method,
            route=trace.route,
            status=answer.status_code,
            seconds=clock.monotonic() - trace.started,
            request_id=trace.request_id,
            key_id=trace.key_id,
            bytes=answer.sent_bytes or getattr(answer.response, "sent_bytes", 0),
            client_request_id=trace.client_request_id,
            overhead_seconds=None if trace.overhead_ms is None else trace.overhead_ms / 1000,
            upstream_seconds=None if upstream is None else upstream / 1000,
            client_retry=trace.client_retry,
        )
    )

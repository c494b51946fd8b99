"""`Idempotency-Key`: a paid call is made once, and a repeat of its request gets the answer that it had.

Kept is what a provider may have been asked for, errors included. What was refused before that is not, so that the
next request with the key is executed.
"""

import zlib
from collections.abc import Callable, Generator, Iterator
from itertools import chain, islice
from typing import Any, cast

import orjson
from flask import current_app, g, request
from werkzeug.datastructures import Headers

from api.answer import API_HEADERS, JSON, STREAM_HEADERS, Answer
from api.auth import current_principal
from api.dialect import Dialect, current_dialect
from api.errors import answer_error, error_body, status_of, unexpected
from api.packing import Packer, unpacked
from api.paid import KEYED
from api.sending import Sending
from api.trace import current_trace
from application.call import Call
from application.idempotency import IdempotencyService
from domain.errors import ParleyError, RequestAbandoned
from domain.idempotency import KeyedCall, Reply, checked_key, fingerprint_of

EXTENSION = "parley-idempotency"
REPLAYED = "Idempotency-Replayed"

_KEPT_HEADERS = ("Content-Type", "X-Parley-Provider", "X-Parley-Model")
"""Not what a call did cost or how often it was tried: a repeat costs nothing and tries nothing."""

_ERRORS = 400


def once(body: Any, execute: Callable[[], Answer], dialect: str = "") -> Answer:
    """Execute; with an `Idempotency-Key` at most once for the same request, of which `body` and `dialect` are parts."""
    key = request.environ.get(KEYED)
    if key is None:
        return execute()
    service = cast("IdempotencyService", current_app.extensions[EXTENSION])
    try:
        call = service.claim(
            current_principal(), checked_key(key), _fingerprint(body, dialect), current_trace().request_id
        )
    except RequestAbandoned as error:
        answer = answer_error(error)
        answer.headers.add(REPLAYED, "true")
        return answer
    if call.reply is None:
        return _first(Keeper(service, call, current_dialect()), execute)
    return _replayed(call.reply, service.rest(call))


def current_keeper() -> "Keeper | None":
    """Of the request being served, None without a key."""
    return cast("Keeper | None", g.get("keeper"))


class Keeper:
    """Keeps what one call is answered with. Needs no request context, which a stream outlives."""

    def __init__(self, service: IdempotencyService, call: KeyedCall, dialect: Dialect) -> None:
        self.answer: Answer | None = None
        """Whose headers are kept."""
        self._service = service
        self._call = call
        self._dialect = dialect
        self._packer = Packer()

    def add(self, piece: bytes) -> None:
        self._packer.add(piece)

    def keep(self) -> None:
        """All that was added is the body."""
        body, *rest = self._packer.end()
        if self._packer.too_long:
            self.refuse(RequestAbandoned("The answer was too long to be kept for a repeat of its request."))
            return
        headers = Headers() if self.answer is None else self.answer.headers
        kept = [(name, headers[name]) for name in _KEPT_HEADERS if name in headers]
        kept.append(("Content-Length", str(self._packer.length)))
        status = 200 if self.answer is None else self.answer.status_code
        self._service.finish(self._call, Reply(status, tuple(kept), body), rest)

    def refuse(self, error: ParleyError) -> None:
        """Keep the error alone, whatever was sent before it."""
        body = orjson.dumps(error_body(error, self._call.request_id, self._dialect))
        provider = (("X-Parley-Provider", error.provider),) if error.provider else ()
        reply = Reply(status_of(error), (("Content-Type", JSON), *provider), zlib.compress(body))
        self._service.finish(self._call, reply)

    def release(self) -> None:
        self._service.release(self._call)


def _first(keeper: Keeper, execute: Callable[[], Answer]) -> Answer:
    g.keeper = keeper
    try:
        answer = keeper.answer = execute()
    except Exception as error:
        if not _dialled():
            keeper.release()
            raise
        told = error if isinstance(error, ParleyError) else unexpected(error, current_trace().request_id)
        keeper.refuse(told)
        return answer_error(told)
    if isinstance(answer.response, list):  # a stream keeps itself
        keeper.add(b"".join(answer.response))
        keeper.keep()
    return answer


def _dialled() -> bool:
    call: Call | None = g.get("call")
    return call is not None and call.dialled


def _replayed(reply: Reply, rest: Iterator[bytes]) -> Answer:
    pieces = unpacked(chain((reply.body,), rest))
    first = list(islice(pieces, 2))
    body = Sending(_joined(first, pieces)) if len(first) > 1 else first
    answer = Answer(body, reply.status, Headers([*reply.headers, (REPLAYED, "true")]))
    answer.fixed = API_HEADERS if answer.headers["Content-Type"] == JSON else STREAM_HEADERS
    if reply.status >= _ERRORS:  # whatever the error says of itself: with this key it stays as it is
        answer.headers["x-should-retry"] = "false"
    return answer


def _joined(first: list[bytes], more: Iterator[bytes]) -> Generator[bytes, None, None]:
    yield from first
    first.clear()
    yield from more


def _fingerprint(body: Any, dialect: str) -> bytes:
    route = request.url_rule.rule if request.url_rule else ""
    canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return fingerprint_of(request.method.encode(), route.encode(), dialect.encode(), canonical)

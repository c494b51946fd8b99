"""Streams on the wire: Server-Sent Events in two dialects, and JSON lines.

All events of one read of the upstream leave as one piece. Whatever ends a stream early is told inside it, in its own
dialect, and then nothing follows that could be taken for a good end.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import orjson
from werkzeug.datastructures import Headers

from api.answer import STREAM_HEADERS, Answer
from api.auth import current_principal
from api.errors import envelope, unexpected
from api.idempotency import Keeper, current_keeper
from api.paid import PaidCall
from api.trace import current_trace
from api.v1.bodies import chat_body, completion_usage, served_by
from application.chat import ChatAnswer
from application.completions import CompletionAnswer
from application.stream import Stream
from domain.errors import ParleyError

EVENTS = "text/event-stream; charset=utf-8"
LINES = "application/x-ndjson"

PING = b": ping\n\n"
PING_EVENT = b'event: ping\ndata: {"type":"ping"}\n\n'
DONE = b"data: [DONE]\n\n"
_NO_TEXT = b'{"text":""}\n'
"""A heartbeat that a reader of JSON lines takes for what it is."""
_HEARTBEATS = frozenset({PING, PING_EVENT, _NO_TEXT})

Pieces = Iterator[bytes]
Ended = TypeVar("Ended", CompletionAnswer, ChatAnswer)
_dumps = orjson.dumps


class StreamBody:
    """What the server iterates over. `close` settles the call, even when nothing was ever asked of the iterator."""

    def __init__(
        self, stream: Stream[Any], paid: PaidCall, pieces: Pieces, refusal: Callable[[ParleyError], bytes]
    ) -> None:
        self.sent_bytes = 0
        self._stream = stream
        self._paid = paid
        self._keeper = current_keeper()
        heard = pieces if current_principal().heartbeats else _quiet(pieces)
        self._pieces = heard if self._keeper is None else _kept(heard, stream, self._keeper)
        self._refusal = refusal

    def __iter__(self) -> Pieces:
        try:
            for piece in self._pieces:
                self.sent_bytes += len(piece)
                yield piece
        except ParleyError as error:
            yield self._refusal(error)  # also to a client that seems to be gone: it may only have stopped sending
        except Exception as error:  # noqa: BLE001 - the outermost frame of a stream: the client must learn that it was cut
            yield self._refusal(unexpected(error, self._stream.request_id))

    def close(self) -> None:
        try:
            if self._keeper is not None:
                _run_on(self._pieces)
            self._stream.close()
        finally:
            self._paid.end()


def _quiet(pieces: Pieces) -> Pieces:
    return (piece for piece in pieces if piece not in _HEARTBEATS)


def _kept(pieces: Pieces, stream: Stream[Any], keeper: Keeper) -> Pieces:
    """The same, kept for repeats: as a whole, or as the error, before the last piece is out."""
    try:
        for piece in pieces:
            if piece not in _HEARTBEATS:
                keeper.add(piece)
            if stream.finished:
                keeper.keep()
            yield piece
    except Exception as error:
        told = error if isinstance(error, ParleyError) else unexpected(error, stream.request_id)
        keeper.refuse(told)
        raise told from error


def _run_on(pieces: Pieces) -> None:
    """Without a reader: what went wrong is kept already."""
    with suppress(ParleyError):
        for _ in pieces:
            continue


def stream_answer(
    stream: Stream[Ended], paid: PaidCall, pieces: Pieces, refusal: Callable[[ParleyError], bytes], kind: str = EVENTS
) -> Answer:
    """The response takes over the stream and the call that pays for it."""
    body = StreamBody(stream, paid, pieces, refusal)
    try:
        paid.hand_over()
    except BaseException:
        body.close()
        raise
    answer = Answer(body, 200, Headers([("Content-Type", kind)]))
    answer.fixed = STREAM_HEADERS
    if stream.begun:
        served_by(answer, stream.model)
        answer.headers.add("X-Parley-Attempts", str(stream.attempts))
    if stream.cache_hit:
        answer.headers.add("X-Parley-Cache", "hit")
    current_trace().upstream_ms = stream.first_event_ms
    return answer


# ── OpenAI's dialect ─────────────────────────────────────────────────────────────────────────────────────────────


class CompletionChunks:
    """`usage` as the client asked: True puts `"usage": null` into every chunk, as OpenAI does; False leaves it out."""

    def __init__(self, stream: Stream[CompletionAnswer], created: int, *, usage: bool | None) -> None:
        self._stream = stream
        self._created = created
        self._tail = b',"usage":null}\n\n' if usage else b"}\n\n"
        self._usage = usage

    def pieces(self) -> Pieces:
        head, tail = b"", self._tail
        for item in self._stream:
            if isinstance(item, CompletionAnswer):
                yield self._closing(item)
            elif item:
                head = head or self._head()
                yield b"".join([head + _dumps(delta.choices) + tail for delta in item])
            else:
                yield PING

    def refusal(self, error: ParleyError) -> bytes:
        """Twice: some clients see no error in what looks like a chunk, and others none in what does not."""
        choice = {"index": 0, "delta": {}, "finish_reason": "error"}
        told = b'"error":' + _dumps(envelope(error, self._stream.request_id)) + b"}\n\n"
        return self._head() + _dumps([choice]) + b"," + told + b"data: {" + told

    def _closing(self, answer: CompletionAnswer) -> bytes:
        if self._usage is False:
            return DONE
        rest = {"usage": completion_usage(answer.usage, answer.cost), **answer.completion.extra}
        return self._head() + b"[]," + _dumps(rest)[1:] + b"\n\n" + DONE

    def _head(self) -> bytes:
        """Who answers is certain once the first delta is in."""
        stream = self._stream
        fields = {"object": "chat.completion.chunk", "created": self._created, "model": stream.model}
        return b"data: " + _dumps({"id": stream.request_id, **fields})[:-1] + b',"choices":'


# ── our own dialects ─────────────────────────────────────────────────────────────────────────────────────────────


def chat_events(stream: Stream[ChatAnswer], session_id: str) -> Pieces:
    """`start`, then `delta` …, then `end`; an `error` instead of the end."""
    start = {
        "id": stream.answer_id,
        "request_id": stream.request_id,
        "session_id": session_id,
        "model": stream.model,
    }
    yield b"event: start\ndata: " + _dumps(start) + b"\n\n"
    for item in stream:
        if isinstance(item, ChatAnswer):
            yield b"event: end\ndata: " + _dumps(chat_body(item)) + b"\n\n"
        elif item:
            texts = [b'event: delta\ndata: {"text":' + _dumps(delta.text) + b"}\n\n" for delta in item if delta.text]
            if texts:
                yield b"".join(texts)
        else:
            yield PING


def refused_event(stream: Stream[ChatAnswer]) -> Callable[[ParleyError], bytes]:
    def refusal(error: ParleyError) -> bytes:
        return b"event: error\ndata: " + _dumps({"error": envelope(error, stream.request_id)}) + b"\n\n"

    return refusal


def chat_lines(stream: Stream[ChatAnswer]) -> Pieces:
    """`{"text": …}` …, then the end object; `{"error": …}` instead of it. While waiting, empty texts."""
    for item in stream:
        if isinstance(item, ChatAnswer):
            yield _dumps(chat_body(item)) + b"\n"
        elif item:
            texts = [b'{"text":' + _dumps(delta.text) + b"}\n" for delta in item if delta.text]
            if texts:
                yield b"".join(texts)
        else:
            yield _NO_TEXT


def refused_line(stream: Stream[ChatAnswer]) -> Callable[[ParleyError], bytes]:
    def refusal(error: ParleyError) -> bytes:
        return _dumps({"error": envelope(error, stream.request_id)}) + b"\n"

    return refusal

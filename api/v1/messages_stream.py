"""Streams in Anthropic's dialect: `message_start`, content blocks, `message_delta`, `message_stop`.

A stream that was cut ends with an `error` and has no `message_stop`.
"""

import orjson

from api.dialect import Dialect
from api.errors import error_body
from api.v1.messages_answer import message_head, message_usage, stop_reason
from api.v1.messages_blocks import BlockWriter
from api.v1.relayed import relayed
from api.v1.streams import PING_EVENT, Pieces
from application.completions import CompletionAnswer
from application.stream import Stream
from domain.completion import Delta, JsonObject
from domain.errors import ParleyError
from domain.members import objects_of, text_of

_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_UNCOUNTED = dict.fromkeys(
    ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"), 0
)
"""Nobody has counted yet when a message begins, and SDKs need numbers there. The true ones are in `message_delta`."""
_dumps = orjson.dumps


class MessageEvents:
    """The events of one read of the upstream leave as one piece."""

    def __init__(self, stream: Stream[CompletionAnswer]) -> None:
        self._stream = stream
        self._blocks = BlockWriter(stream.request_id)
        self._marker: object = None
        self._refused = False
        self._begun = False

    def pieces(self) -> Pieces:
        return relayed(self._stream, self._piece)

    def refusal(self, error: ParleyError) -> bytes:
        told = error_body(error, self._stream.request_id, Dialect.MESSAGES)
        return b"event: error\ndata: " + _dumps(told) + b"\n\n"

    def _piece(self, item: list[Delta] | CompletionAnswer) -> bytes:
        if not item:
            return PING_EVENT
        start = b"" if self._begun else self._start()
        self._begun = True
        return start + (self._closing(item) if isinstance(item, CompletionAnswer) else self._written(item))

    def _start(self) -> bytes:
        """Only now it is certain who answers."""
        message = {
            **message_head(self._stream.request_id, self._stream.model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _UNCOUNTED,
        }
        return b"event: message_start\ndata: " + _dumps({"type": "message_start", "message": message}) + b"\n\n"

    def _written(self, deltas: list[Delta]) -> bytes:
        blocks = self._blocks
        for delta in deltas:
            if delta.reasoning:
                blocks.thinking(delta.reasoning)
            choice = next((choice for choice in delta.choices if choice.get("index", 0) == 0), None)
            inner = choice.get("delta") if choice else None
            if inner and ("reasoning_details" in inner):
                self._reasoning_details(inner)
            if delta.text:
                blocks.text(delta.text)
            if choice and isinstance(inner, dict):
                self._rest(choice, inner)
        return blocks.take()

    def _reasoning_details(self, inner: JsonObject) -> None:
        for detail in objects_of(inner, "reasoning_details"):
            self._blocks.reasoning_detail(detail)

    def _rest(self, choice: JsonObject, inner: JsonObject) -> None:
        if "refusal" in inner:
            refusal = text_of(inner, "refusal")
            if refusal:
                self._refused = True
                self._blocks.text(refusal)
        if "tool_calls" in inner:
            for fragment in objects_of(inner, "tool_calls"):
                self._blocks.call(fragment)
        if choice.get("stop_sequence") is not None:
            self._marker = choice["stop_sequence"]

    def _closing(self, answer: CompletionAnswer) -> bytes:
        self._blocks.finish()
        reason = stop_reason(answer.completion.finish, self._marker, called=self._blocks.called, refused=self._refused)
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": self._marker},
            "usage": message_usage(answer.usage, answer.cost),
        }
        return self._blocks.take() + b"event: message_delta\ndata: " + _dumps(delta) + b"\n\n" + _STOP

"""A response as OpenAI streams it: events that build up its output item by item, in the documented order."""

from typing import Any

from api.errors import envelope
from api.v1.relayed import relayed
from api.v1.responses_answer import Ids, end_of, ended, response_object
from api.v1.responses_growth import (
    ITEMS,
    OUTPUT_TEXT,
    REFUSAL,
    EventWriter,
    GrowingCall,
    GrowingItem,
    GrowingMessage,
    GrowingReasoning,
    Kind,
)
from api.v1.responses_output import COMPLETED, annotations_of, call_prefix, logprobs_of
from api.v1.responses_request import ResponseRequest
from api.v1.streams import PING, Pieces
from application.completions import CompletionAnswer
from application.stream import Stream
from domain.completion import Delta, JsonObject
from domain.errors import ParleyError
from domain.provider_errors import MaxOutputExceeded

_APART = b"\n\n"
"""Ends whatever was half written, so that what follows is an event of its own."""


class ResponseEvents:
    """The model is known when the first event is in, so nothing is told before that but heartbeats."""

    def __init__(self, stream: Stream[CompletionAnswer], created: int, asked: ResponseRequest) -> None:
        self._stream = stream
        self._created = created
        self._asked = asked
        self._ids = Ids(stream.request_id)
        self._writer = EventWriter()
        self._response: JsonObject | None = None
        self._items: list[GrowingItem] = []
        self._message: GrowingMessage | None = None
        self._reasoning: GrowingReasoning | None = None
        self._calls: dict[Any, GrowingCall] = {}

    def pieces(self) -> Pieces:
        return relayed(self._stream, self._piece)

    def refusal(self, error: ParleyError) -> bytes:
        """The error alone comes first: OpenAI's SDKs raise it, and not everybody looks at `response.failed`."""
        told = self._begun()
        reason = envelope(error, self._stream.request_id)
        failed = {**self._known(), "status": "failed", "error": reason}
        events = [self._writer.fail(reason), self._writer.write("failed", response=failed)]
        return _APART + b"".join([*told, *events])

    def _piece(self, item: list[Delta] | CompletionAnswer) -> bytes:
        if isinstance(item, CompletionAnswer):
            return b"".join(self._closing(item))
        return b"".join(self._relayed(item)) if item else PING

    def _known(self) -> JsonObject:
        if self._response is None:
            self._response = response_object(self._ids.response, self._stream.model, self._created, self._asked)
        return self._response

    def _begun(self) -> list[bytes]:
        """The events before all others, once."""
        if self._response is not None:
            return []
        response = self._known()
        return [self._writer.write(kind, response=response) for kind in ("created", "in_progress")]

    def _relayed(self, deltas: list[Delta]) -> list[bytes]:
        told = self._begun()
        for delta in deltas:
            for choice in delta.choices:
                if choice.get("index", 0) == 0 and isinstance(choice.get("delta"), dict):
                    told += self._heard(choice, choice["delta"])
        return told

    def _heard(self, choice: JsonObject, delta: JsonObject) -> list[bytes]:
        told: list[bytes] = []
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought or delta.get("reasoning_details"):
            told += self._thought(thought, delta.get("reasoning_details"))
        content, refusal = delta.get("content"), delta.get("refusal")
        if content and isinstance(content, str):
            told += self._said(OUTPUT_TEXT, content, logprobs_of(choice) if self._asked.logprobs else ())
        if refusal and isinstance(refusal, str):
            told += self._said(REFUSAL, refusal)
        if delta.get("annotations") and self._message:
            told += self._message.annotate(annotations_of(delta))
        for piece in delta.get("tool_calls") or ():
            told += self._called(piece)
        return told

    def _thought(self, text: Any, details: Any) -> list[bytes]:
        told: list[bytes] = []
        if self._reasoning is None:
            told += self._end_message()
            self._reasoning = GrowingReasoning(*self._next("rs"), self._asked)
            told += self._add(self._reasoning)
        if text and isinstance(text, str):
            told += self._reasoning.grow(text)
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict):
                self._reasoning.add(detail)
        return told

    def _said(self, kind: Kind, text: str, logprobs: Any = ()) -> list[bytes]:
        if self._message is not None:
            return self._message.grow(kind, text, logprobs)
        told = self._end_reasoning()
        self._message = GrowingMessage(*self._next("msg"))
        return [*told, *self._add(self._message), *self._message.grow(kind, text, logprobs)]

    def _called(self, piece: JsonObject) -> list[bytes]:
        """Pieces of several calls may alternate, so none of them ends before the stream does."""
        told: list[bytes] = []
        function = piece.get("function") or {}
        index = piece.get("index", 0)
        if index not in self._calls:
            told += [*self._end_reasoning(), *self._end_message()]
            name = str(function.get("name") or "")
            call = {"id": self._ids.call(piece.get("id")), "name": name}
            place = self._next(call_prefix(self._asked.tools, name))
            self._calls[index] = GrowingCall(*place, call, self._asked.tools)
            told += self._add(self._calls[index])
        arguments = function.get("arguments")
        return [*told, *self._calls[index].grow(arguments)] if arguments else told

    def _next(self, prefix: str) -> tuple[EventWriter, str, int]:
        index = len(self._items)
        if index >= ITEMS:
            raise MaxOutputExceeded
        return self._writer, self._ids.item(prefix, index), index

    def _add(self, item: GrowingItem) -> list[bytes]:
        self._items.append(item)
        return item.begin()

    def _end_message(self) -> list[bytes]:
        message, self._message = self._message, None
        return message.end(COMPLETED) if message else []

    def _end_reasoning(self) -> list[bytes]:
        reasoning, self._reasoning = self._reasoning, None
        return reasoning.end(COMPLETED) if reasoning else []

    def _closing(self, answer: CompletionAnswer) -> list[bytes]:
        told = self._begun()
        status = end_of(answer.completion.finish)[0]
        for item in self._items:
            if not item.ended:
                told += item.end(status if item is self._items[-1] else COMPLETED)
        response = ended(self._known(), answer, [item.item for item in self._items])
        return [*told, self._writer.write(status, response=response)]

"""Items of a response while they are streamed: each knows the events of its beginning, its growth and its end.

This dialect repeats at the end of every item, and once more at the end of the stream, what was streamed before. So the
state of one stream grows with its answer, up to `ROOM` characters; the other dialects keep none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from api.v1.responses_output import (
    IN_PROGRESS,
    call_item,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)
from api.v1.responses_reasoning import DetailsInPieces, Reasoning
from api.v1.responses_request import ResponseRequest
from api.v1.responses_tools import Toolbox, custom_input
from domain.completion import JsonObject
from domain.provider_errors import MaxOutputExceeded

ROOM = 16_000_000
"""Characters of one answer, many times what a model writes."""

ITEMS = 1_000
"""Of one answer; each is remembered."""
_PER_DETAIL = 100
"""Characters that a provider's own piece of reasoning counts for beside its texts."""
_OF_NUMBERS = 8
"""Probabilities of words are that much longer than the words, also in an honest answer."""
_dumps = orjson.dumps


class EventWriter:
    """Numbers the events of one stream, and counts what has to be kept for its end."""

    def __init__(self) -> None:
        self._number = 0
        self._room = ROOM

    def write(self, kind: str, **fields: Any) -> bytes:
        return self.finish(head(kind, fields), b"")

    def fail(self, error: JsonObject) -> bytes:
        """As OpenAI documents this event, and as it sends it."""
        flat = {name: error[name] for name in ("code", "message", "param")}
        return self.finish(b"event: error\ndata: " + _dumps({"type": "error", **flat, "error": error})[:-1], b"")

    def finish(self, begun: bytes, rest: bytes) -> bytes:
        """`begun` by `head`, and as much of JSON as is missing."""
        number = self._number
        self._number = number + 1
        return b'%b%b,"sequence_number":%d}\n\n' % (begun, rest, number)

    def keep(self, characters: int) -> None:
        """Raises MaxOutputExceeded."""
        self._room -= characters
        if self._room < 0:
            raise MaxOutputExceeded


def head(kind: str, fields: JsonObject) -> bytes:
    return b"event: response.%b\ndata: %b" % (kind.encode(), _dumps({"type": f"response.{kind}", **fields})[:-1])


@dataclass(frozen=True, slots=True)
class Kind:
    """The events of one kind of text; `member` is what the last of them calls the whole of it."""

    text: str
    member: str
    part: str = ""
    part_of: Callable[[str], JsonObject] = text_part
    position: str = ""


_CONTENT = "content_index"
OUTPUT_TEXT = Kind("output_text", "text", "content_part", text_part, _CONTENT)
REFUSAL = Kind("refusal", "refusal", "content_part", refusal_part, _CONTENT)
ARGUMENTS = Kind("function_call_arguments", "arguments")
SUMMARY = Kind(
    "reasoning_summary_text",
    "text",
    "reasoning_summary_part",
    lambda text: {"type": "summary_text", "text": text},
    "summary_index",
)
THOUGHT = Kind(
    "reasoning_text", "text", "content_part", lambda text: {"type": "reasoning_text", "text": text}, _CONTENT
)


class Growing:
    """A text within an item."""

    def __init__(self, writer: EventWriter, kind: Kind, where: JsonObject, position: int = 0) -> None:
        self.kind = kind
        self.annotations: list[JsonObject] = []
        self._writer = writer
        self._where = {**where, kind.position: position} if kind.position else where
        self._pieces: list[str] = []
        self._logprobs: list[JsonObject] = []
        self._delta = head(f"{kind.text}.delta", self._where) + b',"delta":'

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def part(self) -> JsonObject:
        if self.kind is OUTPUT_TEXT:
            return text_part(self.text, self.annotations, self._logprobs)
        return self.kind.part_of(self.text)

    def begin(self) -> list[bytes]:
        return [self._writer.write(f"{self.kind.part}.added", **self._where, part=self.part)] if self.kind.part else []

    def grow(self, text: str, logprobs: Sequence[JsonObject] = ()) -> bytes:
        self._writer.keep(len(text))
        self._pieces.append(text)
        if self.kind is not OUTPUT_TEXT:
            return self._writer.finish(self._delta, _dumps(text))
        self._logprobs += logprobs
        told = _dumps(list(logprobs))
        self._writer.keep(len(told) // _OF_NUMBERS)
        return self._writer.finish(self._delta, b'%b,"logprobs":%b' % (_dumps(text), told))

    def annotate(self, annotation: JsonObject) -> bytes:
        self._writer.keep(len(_dumps(annotation)))
        self.annotations.append(annotation)
        where = {**self._where, "annotation_index": len(self.annotations) - 1, "annotation": annotation}
        return self._writer.write("output_text.annotation.added", **where)

    def end(self) -> list[bytes]:
        whole: JsonObject = {self.kind.member: self.text}
        if self.kind is OUTPUT_TEXT:
            whole["logprobs"] = self._logprobs
        told = [self._writer.write(f"{self.kind.text}.done", **self._where, **whole)]
        if self.kind.part:
            told.append(self._writer.write(f"{self.kind.part}.done", **self._where, part=self.part))
        return told


class GrowingItem:
    """An item of the output; `item` is the whole of it as far as it is known."""

    def __init__(self, writer: EventWriter, item_id: str, index: int) -> None:
        self.item_id = item_id
        self.ended = False
        self.status = IN_PROGRESS
        self.writer = writer
        self.index = index
        self.where: JsonObject = {"item_id": item_id, "output_index": index}

    @property
    def item(self) -> JsonObject:
        raise NotImplementedError

    def begin(self) -> list[bytes]:
        return [self.writer.write("output_item.added", output_index=self.index, item=self.item)]

    def end(self, status: str) -> list[bytes]:
        told = self.last_words()
        self.ended, self.status = True, status
        return [*told, self.writer.write("output_item.done", output_index=self.index, item=self.item)]

    def last_words(self) -> list[bytes]:
        raise NotImplementedError


class GrowingMessage(GrowingItem):
    """Its text, and its refusal, are parts of their own; one ends where the other begins."""

    def __init__(self, writer: EventWriter, item_id: str, index: int) -> None:
        super().__init__(writer, item_id, index)
        self._parts: list[Growing] = []

    @property
    def item(self) -> JsonObject:
        return message_item(self.item_id, [part.part for part in self._parts], self.status)

    def grow(self, kind: Kind, text: str, logprobs: Sequence[JsonObject] = ()) -> list[bytes]:
        if self._parts and self._parts[-1].kind is kind:
            return [self._parts[-1].grow(text, logprobs)]
        told = self.last_words()
        part = Growing(self.writer, kind, self.where, len(self._parts))
        told += part.begin()
        self._parts.append(part)
        return [*told, part.grow(text, logprobs)]

    def annotate(self, annotations: list[JsonObject]) -> list[bytes]:
        part = self._parts[-1]
        return [part.annotate(annotation) for annotation in annotations] if part.kind is OUTPUT_TEXT else []

    def last_words(self) -> list[bytes]:
        return self._parts[-1].end() if self._parts else []


class GrowingReasoning(GrowingItem):
    def __init__(self, writer: EventWriter, item_id: str, index: int, asked: ResponseRequest) -> None:
        super().__init__(writer, item_id, index)
        self._asked = asked
        self._details = DetailsInPieces()
        self._text: Growing | None = None

    @property
    def item(self) -> JsonObject:
        text = self._text.text if self._text else ""
        return reasoning_item(self.item_id, Reasoning(text, self._details.blocks), self._asked, self.status)

    def grow(self, text: str) -> list[bytes]:
        told: list[bytes] = []
        if self._text is None:
            self._text = Growing(self.writer, SUMMARY if self._asked.summarised else THOUGHT, self.where)
            told = self._text.begin()
        self._details.hear(text)
        return [*told, self._text.grow(text)]

    def add(self, detail: JsonObject) -> None:
        self.writer.keep(_PER_DETAIL + sum(len(value) for value in detail.values() if isinstance(value, str)))
        self._details.add(detail)

    def last_words(self) -> list[bytes]:
        return self._text.end() if self._text else []


class GrowingCall(GrowingItem):
    """A custom tool's input is only known once all of the arguments around it are there."""

    def __init__(self, writer: EventWriter, item_id: str, index: int, call: JsonObject, tools: Toolbox) -> None:
        super().__init__(writer, item_id, index)
        self._call = call
        self._tools = tools
        self._custom = tools.called(call["name"]).custom
        self._arguments = Growing(writer, ARGUMENTS, self.where)
        self._written: list[str] = []

    @property
    def item(self) -> JsonObject:
        call = {**self._call, "arguments": "".join(self._written)}
        return call_item(self.item_id, call, self._tools, self.status)

    def grow(self, piece: str) -> list[bytes]:
        self._written.append(piece)
        if self._custom:
            self.writer.keep(len(piece))
            return []
        return [self._arguments.grow(piece)]

    def last_words(self) -> list[bytes]:
        if not self._custom:
            return self._arguments.end()
        written = custom_input("".join(self._written))
        return [
            self.writer.write("custom_tool_call_input.delta", **self.where, delta=written),
            self.writer.write("custom_tool_call_input.done", **self.where, input=written),
        ]

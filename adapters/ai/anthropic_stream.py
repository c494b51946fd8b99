"""Anthropic's streamed wire: event payloads into `Delta`s.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from adapters.ai.anthropic_errors import in_band
from adapters.ai.anthropic_usage import counts_of, usage_of
from adapters.ai.anthropic_wire import finish_of, stop_of
from adapters.ai.call_ids import CallIds
from adapters.ai.conversation import room_for
from adapters.ai.decoder import Decoder
from adapters.ai.profile import Profile
from domain.completion import Completion, Delta, JsonObject, Prompt
from domain.members import object_of, text_of
from domain.usage import Usage

EVENTS = frozenset(
    {
        b"",
        b"message",
        b"message_start",
        b"content_block_start",
        b"content_block_delta",
        b"content_block_stop",
        b"message_delta",
        b"message_stop",
        b"ping",
        b"error",
    }
)
Take = Callable[[JsonObject, list[Delta]], None]


class StreamDecoder(Decoder):
    """An answer is whole when `message_stop` came after the reason for its end; only then is that reason passed on."""

    def __init__(self, prompt: Prompt, profile: Profile) -> None:
        super().__init__(room_for(prompt, profile))
        self._takes: Mapping[str, Take] = {
            "message_start": self._begin,
            "content_block_start": self._open,
            "content_block_delta": self._grow,
            "content_block_stop": self._shut,
            "message_delta": self._note,
            "message_stop": self._end,
            "ping": _nothing,
            "error": _fail,
        }
        self._model = ""
        self._finish = ""
        self._stop: JsonObject = {}
        self._tokens: JsonObject = {}
        self._asked: Usage | None = None
        """The count of the prompt, which comes first; the output's is true at the end only."""
        self._role: JsonObject = {"role": "assistant"}
        self._ids = CallIds(prompt.request_id)
        self._places: dict[int | None, int] = {}
        """Of calls, by the index of their block."""
        self._thoughts = 0
        self._bare: set[int] = set()
        """The calls of whose arguments nothing has come so far."""

    @property
    def whole(self) -> bool:
        return self.done and bool(self._finish)

    def closing(self) -> Completion:
        return Completion("", self._finish, usage_of(self._tokens), self._model, [])

    def take(self, event: JsonObject, deltas: list[Delta]) -> None:
        take = self._takes.get(text_of(event, "type"))
        if take is None:
            self.unknown += 1
        else:
            take(event, deltas)

    def _begin(self, event: JsonObject, _deltas: list[Delta]) -> None:
        """No delta: the answer has not begun, and what fails from here to its first block can be asked for again."""
        message = object_of(event, "message")
        self._model = text_of(message, "model")
        self._tokens = counts_of(object_of(message, "usage"))
        self._tokens.pop("output_tokens", None)
        self.counted = self._asked = usage_of({**self._tokens, "output_tokens": 0})

    def _open(self, event: JsonObject, deltas: list[Delta]) -> None:
        block = object_of(event, "content_block")
        kind = text_of(block, "type")
        if kind == "tool_use":
            self._call(_index_of(event), block, deltas)
        elif kind == "redacted_thinking":
            self._detail(deltas, {"type": kind}, {"data": text_of(block, "data")})
        elif kind in ("text", "thinking"):
            self._begun(text_of(block, "text"), text_of(block, "thinking"), deltas)
        else:
            self.unknown += 1

    def _begun(self, text: str, reasoning: str, deltas: list[Delta]) -> None:
        if text:
            self._text(text, deltas)
        elif reasoning:
            self._reasoning(reasoning, deltas)
        elif self._role:
            self._say({"content": ""}, deltas)

    def _call(self, index: int | None, block: JsonObject, deltas: list[Delta]) -> None:
        """Some servers of this wire give the arguments at once, in place of an empty object."""
        arguments = orjson.dumps(block["input"]).decode() if object_of(block, "input") else ""
        function = {"name": text_of(block, "name"), "arguments": arguments}
        place = self._places[index] = len(self._ids)
        call = {"index": place, "id": self._ids.give(text_of(block, "id")), "type": "function", "function": function}
        if not arguments:
            self._bare.add(place)
        self.spend(len(arguments))
        self._say({"tool_calls": [call]}, deltas)

    def _grow(self, event: JsonObject, deltas: list[Delta]) -> None:
        delta = object_of(event, "delta")
        match delta.get("type"):
            case "text_delta":
                self._text(text_of(delta, "text"), deltas)
            case "thinking_delta":
                self._reasoning(text_of(delta, "thinking"), deltas)
            case "input_json_delta":
                self._arguments(_index_of(event), text_of(delta, "partial_json"), deltas)
            case "signature_delta":
                self._detail(deltas, {"type": "thinking"}, {"signature": text_of(delta, "signature")})
            case _:
                self.unknown += 1

    def _text(self, text: str, deltas: list[Delta]) -> None:
        if text:
            self.spend(len(text))
            self._say({"content": text}, deltas, text=text)

    def _reasoning(self, text: str, deltas: list[Delta]) -> None:
        if text:
            self.spend(len(text))
            self._say({"reasoning_content": text}, deltas, reasoning=text)

    def _arguments(self, index: int | None, piece: str, deltas: list[Delta]) -> None:
        place = self._places.get(index)
        if piece and place is not None:
            self._bare.discard(place)
            self.spend(len(piece))
            self._say({"tool_calls": [{"index": place, "function": {"arguments": piece}}]}, deltas)

    def _detail(self, deltas: list[Delta], kind: JsonObject, content: JsonObject) -> None:
        self._say({"reasoning_details": [{**kind, "index": self._thoughts, **content}]}, deltas)
        self._thoughts += 1

    def _shut(self, event: JsonObject, deltas: list[Delta]) -> None:
        index = _index_of(event)
        if self._places.get(index) in self._bare:
            self._arguments(index, "{}", deltas)

    def _note(self, event: JsonObject, _deltas: list[Delta]) -> None:
        delta = object_of(event, "delta")
        reason = text_of(delta, "stop_reason")
        if reason:
            self._finish, self._stop = finish_of(reason), stop_of(delta)
        self._count(object_of(event, "usage"))

    def _count(self, usage: JsonObject) -> None:
        """Counts are cumulative, and those that are not repeated still hold."""
        self._tokens |= counts_of(usage)
        self.counted = usage_of(self._tokens) or self._asked

    def _end(self, _event: JsonObject, deltas: list[Delta]) -> None:
        counted = self.counted
        if self._finish:
            self._say({}, deltas, finish=self._finish)
        self.counted = counted
        self.done = True

    def _say(
        self, delta: JsonObject, deltas: list[Delta], *, text: str = "", reasoning: str = "", finish: str | None = None
    ) -> None:
        choice: dict[str, Any] = {"index": 0, "delta": {**self._role, **delta}, "finish_reason": finish}
        if finish is not None:
            choice |= self._stop
        deltas.append(Delta([choice], text, reasoning))
        self._role = {}
        self.counted = self._asked


def _index_of(event: JsonObject) -> int | None:
    index = event.get("index")
    return index if type(index) is int else None


def _nothing(_event: JsonObject, _deltas: list[Delta]) -> None:
    pass


def _fail(event: JsonObject, _deltas: list[Delta]) -> None:
    raise in_band(event)

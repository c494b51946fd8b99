"""What providers of OpenAI's wire send, in the shapes that they document. Written by us, with invented contents."""

import json
from dataclasses import dataclass, field
from typing import Any

from domain.provider_errors import ProviderError
from domain.usage import Usage

Body = dict[str, Any]
Refusal = tuple[int, Body | str, type[ProviderError]]
"""Status, body, and what the gateway makes of it."""

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}


@dataclass(frozen=True)
class Recorded:
    """One answer, whole and as a stream, with what is to be read from either; a call of a tool; the refusals."""

    answer: Body
    stream: list[Body]
    usage: Usage
    text: str = "Grüße aus Köln."
    reasoning: str = ""
    finish: str = "stop"
    tools: Body = field(default_factory=dict)
    errors: tuple[Refusal, ...] = ()
    in_stream: tuple[tuple[Body, type[ProviderError]], ...] = ()
    """Events that end a stream, and what they are."""
    done: bool = True

    def events(self) -> bytes:
        return events(*self.stream, done=self.done)


def events(*chunks: Body, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def whole(message: Body, usage: Body | None, finish: str = "stop", **more: Any) -> Body:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **more}
    return body if usage is None else {**body, "usage": usage}


def chunk(delta: Body, finish: str | None = None, **more: Any) -> Body:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def last(usage: Body) -> Body:
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}


def called() -> Body:
    return whole({"content": None, "tool_calls": [CALL]}, None, "tool_calls")


def error(message: str, **more: Any) -> Body:
    return {"error": {"message": message, **more}}

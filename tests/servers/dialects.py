"""What a client of each dialect asks, and what it makes of an answer: its text, and whether it is told a good end."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.servers.caller import Reply

Body = dict[str, Any]
QUESTION = "Say five words."


@dataclass
class Told:
    """`whole` needs the dialect's own good end, `code` its own error. Whatever follows either is a lie."""

    text: str = ""
    whole: bool = False
    code: str | None = None
    usage: Body = field(default_factory=dict)
    message: str = ""

    def add(self, text: str | None) -> None:
        assert not self.ended, "text after the end"
        self.text += text or ""

    def end(self, usage: Body | None) -> None:
        assert not self.ended, "two ends"
        self.whole, self.usage = True, usage or {}

    def fail(self, error: Body) -> None:
        assert not self.ended, "two ends"
        self.code, self.message = error["code"], error["message"]

    @property
    def ended(self) -> bool:
        return self.whole or self.code is not None


@dataclass(frozen=True)
class Dialect:
    """`ask` makes a body from a model and a question; of a session, its id comes with `also`."""

    name: str
    path: str
    ask: Callable[[str, str], Body]
    whole: Callable[[Told, Body], None]
    event: Callable[[Told, str, str], None]
    streamed_path: str = ""

    def request(self, model: str, *, streamed: bool, question: str = QUESTION, **also: Any) -> tuple[str, Body]:
        path = self.streamed_path if streamed and self.streamed_path else self.path
        return path, {**self.ask(model, question), "stream": streamed, **also}

    def told(self, reply: Reply) -> Told:
        """Of a reply that is whole on the wire."""
        if reply.status == 200 and reply.headers["Content-Type"].startswith("text/event-stream"):
            return self.heard(reply.raw)
        told = Told()
        if reply.status == 200:
            self.whole(told, reply.json)
        else:
            told.fail(reply.json["error"])
        return told

    def heard(self, raw: bytes) -> Told:
        """Of as much of a stream as came."""
        told = Told()
        for event, text in events(raw):
            self.event(told, event, text)
        return told


def events(raw: bytes) -> Iterator[tuple[str, str]]:
    """The whole events of a stream, comments left out: name and data."""
    *blocks, _ = raw.decode().split("\n\n")
    for block in blocks:
        fields = [line.partition(": ") for line in block.split("\n") if not line.startswith(":")]
        named = {name: value for name, _, value in fields}
        if "data" in named:
            yield named.get("event", ""), named["data"]


def _messages(model: str, question: str) -> Body:
    return {"model": model, "messages": [{"role": "user", "content": question}]}


def _completion(told: Told, body: Body) -> None:
    told.add(body["choices"][0]["message"]["content"])
    told.end(body["usage"])


def _chunk(told: Told, _event: str, text: str) -> None:
    if text == "[DONE]":
        told.end(told.usage)
        return
    chunk = json.loads(text)
    if chunk.keys() == {"error"}:
        assert chunk["error"]["code"] == told.code, "it is said twice"
        return
    told.usage = chunk.get("usage") or told.usage
    for choice in chunk["choices"]:
        told.add(choice["delta"].get("content"))
    if "error" in chunk:
        told.fail(chunk["error"])


def _message(told: Told, body: Body) -> None:
    told.add("".join(block.get("text", "") for block in body["content"]))
    told.end(body["usage"])


def _message_event(told: Told, event: str, text: str) -> None:
    body = json.loads(text)
    assert body["type"] == event
    match event:
        case "content_block_delta":
            told.add(body["delta"].get("text"))
        case "message_delta":
            told.usage = body["usage"]
        case "message_stop":
            told.end(told.usage)
        case "error":
            told.fail(body["error"])


def _response(told: Told, body: Body) -> None:
    parts = [part for item in body["output"] for part in item.get("content", ())]
    told.add("".join(part.get("text", "") for part in parts))
    told.end(body["usage"])


def _response_event(told: Told, event: str, text: str) -> None:
    body = json.loads(text)
    assert body["type"] == event
    match event:
        case "response.output_text.delta":
            told.add(body["delta"])
        case "response.completed" | "response.incomplete":
            told.end(body["response"]["usage"])
        case "response.failed":
            told.fail(body["response"]["error"])


def _chat(told: Told, body: Body) -> None:
    told.add(body["content"])
    told.end(body["usage"])


def _chat_event(told: Told, event: str, text: str) -> None:
    body = json.loads(text)
    match event:
        case "delta":
            told.add(body["text"])
        case "end":
            assert body["content"] == told.text
            told.end(body["usage"])
        case "error":
            told.fail(body["error"])


COMPLETIONS = Dialect("completions", "/chat/completions", _messages, _completion, _chunk)
MESSAGES = Dialect(
    "messages", "/messages", lambda *asked: {**_messages(*asked), "max_tokens": 100}, _message, _message_event
)
RESPONSES = Dialect(
    "responses",
    "/responses",
    lambda model, question: {"model": model, "input": question, "store": False},
    _response,
    _response_event,
)
CHAT = Dialect(
    "chat",
    "/chat",
    lambda model, question: {"model": model, "message": question},
    _chat,
    _chat_event,
    streamed_path="/chat/stream",
)
"""Needs a `session_id`."""

DIALECTS = (COMPLETIONS, MESSAGES, RESPONSES, CHAT)

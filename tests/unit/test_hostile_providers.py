"""Providers that lie: whatever they send, a client hears documented words of documented types, or an error's name."""

import json
import re
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.ai.anthropic_compatible import AnthropicChat
from adapters.ai.gemini_compatible import GeminiChat
from adapters.ai.openai_compatible import OpenAIChat
from adapters.ai.profile import ChatFormat, Profile
from adapters.ai.sse import EventParser
from api.v1.bodies import completion_body
from api.v1.messages_answer import message_body
from api.v1.messages_stream import MessageEvents
from api.v1.responses_answer import response_body
from api.v1.responses_request import response_request
from api.v1.responses_stream import ResponseEvents
from api.v1.streams import CompletionChunks
from application.completions import CompletionAnswer
from domain.completion import Completion, Delta, JsonObject, Prompt
from domain.errors import ParleyError
from domain.provider_errors import ProviderError
from domain.usage import Usage
from tests import dialect_answers as told
from tests.builders import NOW
from tests.dialect_answers import answers
from tests.examples import examples
from tests.message_events import Played

PLAIN = Profile("acme", "http://acme.example/v1")
WIRES: dict[str, tuple[ChatFormat, Any, Any]] = {
    "openai": (OpenAIChat(PLAIN.quirks), told.openai_whole, told.openai_events),
    "anthropic": (AnthropicChat(), told.anthropic_whole, told.anthropic_events),
    "gemini": (GeminiChat(), told.gemini_whole, told.gemini_events),
}
PROMPT = Prompt("m", [], {}, "req_7")
ASKED = response_request({"model": "acme/large", "input": "Hello"})
TYPES: dict[str, type | tuple[type, ...]] = {
    "annotations": list,
    "audio": dict,
    "content": str,
    "function_call": dict,
    "images": list,
    "reasoning_content": str,
    "reasoning_details": list,
    "refusal": str,
    "role": str,
    "tool_calls": list,
}
EXAMPLES = examples(80)
FINISHES = {None, "stop", "length", "tool_calls", "content_filter", "function_call"}
FRAME = re.compile(rb"(?:(?:event: [a-z_.]+\n)?data: [^\r\n]+|: ping)\n\n")

INJECTION = "a\r\nevent: execute\r\ndata: {}\r\n\r\n"

_lies = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**30)
    | st.floats()
    | st.sampled_from(
        ["", "execute", "a\r\nevent: execute\r\ndata: {}\r\n\r\n", "\0\x1b[2J\u2028", "tool_calls", "x" * 300]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "function", "name", "index", "error", "a"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All that can be replaced in it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def lied(value: Any, path: tuple[Any, ...], lie: Any, name: str | None) -> Any:
    """With `lie` at that place, or beside it as one more member."""
    if not path:
        return {**value, name: lie} if name is not None and isinstance(value, dict) else lie
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = lied(value[path[0]], path[1:], lie, name)
    return copy


def tampered(data: st.DataObject, bodies: list[Any]) -> list[Any]:
    bodies = list(bodies)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(bodies) - 1))
        name = data.draw(st.sampled_from([None, "execute", "reasoning", "tool_calls", "thinking"]))
        bodies[at] = lied(bodies[at], data.draw(st.sampled_from(places(bodies[at]))), data.draw(_lies), name)
    for _ in range(data.draw(st.integers(0, 3))):
        bodies.insert(data.draw(st.integers(0, len(bodies))), data.draw(st.sampled_from(bodies)))
    return bodies


def check_choices(choices: list[JsonObject], member: str) -> None:
    for choice in choices:
        assert choice.keys() <= {"index", member, "finish_reason", "logprobs", "stop_sequence"}
        assert type(choice["index"] if member == "message" else choice.get("index", 0)) is int
        assert choice.get("finish_reason") in FINISHES
        for name, value in choice[member].items():
            assert value is None or isinstance(value, TYPES[name])
        for call in choice[member].get("tool_calls") or ():
            assert call.keys() <= {"index", "id", "type", "function", "custom"}
            assert all(isinstance(text, str) for text in (call.get("function") or call["custom"]).values())


def delivered(completion: Completion) -> CompletionAnswer:
    return CompletionAnswer("req_7", "acme/large", completion, completion.usage or Usage(), None, NOW, 1, 20)


def written(dialect: str, items: list[list[Delta] | CompletionAnswer]) -> bytes:
    stream: Any = Played(*items)
    writers: dict[str, Any] = {
        "completions": lambda: CompletionChunks(stream, 1, usage=None),
        "messages": lambda: MessageEvents(stream),
        "responses": lambda: ResponseEvents(stream, 1, ASKED),
    }
    writer = writers[dialect]()
    pieces = []
    try:
        pieces += list(writer.pieces())
    except ParleyError as error:
        pieces.append(writer.refusal(error))
    return b"".join(pieces)


@pytest.mark.parametrize("wire", WIRES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(answer=answers, data=st.data())
def test_a_stream_of_lies_is_told_in_documented_words_or_ends_with_an_error(wire, answer, data):
    chat, _, events = WIRES[wire]
    parser, decoder = EventParser(names=chat.events), chat.decoder(PROMPT, PLAIN)
    honest = [json.loads(it) for it in parser.feed(b"".join(events(answer))) if it != b"[DONE]"]

    deltas = decoder.feed([orjson.dumps(_sayable(body)) for body in tampered(data, honest)])
    items: list[Any] = [[delta] for delta in deltas]
    with suppress(ProviderError):
        items.append(delivered(decoder.close()))
    for delta in deltas:
        check_choices(delta.choices, "delta")
    for dialect in ("completions", "messages", "responses"):
        out = written(dialect, items)
        assert FRAME.sub(b"", out) == b""
        assert b'"execute":' not in out


@pytest.mark.parametrize("wire", WIRES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(answer=answers, data=st.data())
def test_a_whole_answer_of_lies_is_told_in_documented_words_or_is_an_error(wire, answer, data):
    chat, say, _ = WIRES[wire]
    (body, *_) = tampered(data, [say(answer)])
    try:
        completion = chat.decode(orjson.dumps(_sayable(body)), PROMPT, PLAIN)
    except ProviderError:
        return

    check_choices(completion.choices, "message")
    assert isinstance(completion.text, str)
    assert completion.finish in FINISHES - {None}
    for told_back in (completion_body, message_body, lambda it: response_body(it, ASKED)):
        assert orjson.dumps(told_back(delivered(completion)))


def _sayable(value: Any) -> Any:
    """JSON has no numbers beyond 64 bits here."""
    if isinstance(value, dict):
        return {key: _sayable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_sayable(item) for item in value]
    return float(value) if type(value) is int and abs(value) > 2**63 else value

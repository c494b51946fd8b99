"""Every dialect over every wire: what both can say arrives, on the way there, on the way back, and sent back again.

Requests are read and answers written as the routes do it; the wires are asked as a provider's connection asks them.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ai.anthropic_compatible import AnthropicChat
from adapters.ai.gemini_compatible import GeminiChat
from adapters.ai.openai_compatible import OpenAIChat
from adapters.ai.profile import ChatFormat, Profile
from adapters.ai.providers import anthropic, gemini
from adapters.ai.sse import EventParser
from api.v1.bodies import completion_body
from api.v1.completion_request import completion_request
from api.v1.messages_answer import message_body
from api.v1.messages_request import message_request
from api.v1.messages_stream import MessageEvents
from api.v1.responses_answer import response_body
from api.v1.responses_request import response_request
from api.v1.responses_stream import ResponseEvents
from api.v1.streams import CompletionChunks
from application.completions import CompletionAnswer, CompletionOrder
from domain.completion import Completion, Delta, JsonObject, Prompt
from tests import dialect_answers as heard
from tests.builders import NOW
from tests.dialect_answers import Answer, answers, anthropic_stream
from tests.dialect_requests import (
    Conversation,
    conversations,
    from_anthropic,
    from_gemini,
    from_openai,
    in_completions,
    in_messages,
    in_responses,
    texts,
)
from tests.examples import examples
from tests.message_events import Played

PLAIN = Profile("acme", "http://acme.example/v1")
WIRES: dict[str, tuple[ChatFormat, Profile, str, Callable[[Any], Any]]] = {
    "openai": (OpenAIChat(PLAIN.quirks), PLAIN, "large", from_openai),
    "anthropic": (AnthropicChat(), anthropic.PROFILE, "claude-sonnet-5-5", from_anthropic),
    "gemini": (GeminiChat(), gemini.PROFILE, "gemini-3.8-flash", from_gemini),
}
DIALECTS: dict[str, tuple[Callable[[Conversation], Any], Callable[[Any], Any]]] = {
    "completions": (in_completions, completion_request),
    "messages": (in_messages, message_request),
    "responses": (in_responses, response_request),
}


def asked(dialect: str, body: Any) -> CompletionOrder:
    """What the route makes of a request."""
    _, read = DIALECTS[dialect]
    order: CompletionOrder = read(json.loads(json.dumps(body))).order
    return order


def sent(wire: str, order: CompletionOrder) -> Any:
    chat, profile, model, _ = WIRES[wire]
    options = {name: value for name, value in order.options.items() if name in profile.options}
    return orjson.loads(chat.encode(Prompt(model, order.messages, options, "req_7"), profile, stream=True))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=examples(40), deadline=None)
@given(conversation=conversations)
def test_a_request_arrives_with_all_that_both_can_say(dialect, wire, conversation):
    say, _ = DIALECTS[dialect]
    *_, read = WIRES[wire]

    failures = dialect == "messages" and wire != "openai"
    assert read(sent(wire, asked(dialect, say(conversation)))) == conversation.facts(failures=failures)


MARK = {"type": "ephemeral", "ttl": "1h"}
CLAUDE_CODE = {
    "model": "acme/large",
    "max_tokens": 32_000,
    "stream": True,
    "system": [
        {"type": "text", "text": "You are a CLI."},
        {"type": "text", "text": "Rules.", "cache_control": {**MARK, "scope": "global"}},
    ],
    "tools": [
        {"name": "Bash", "input_schema": {"type": "object"}, "eager_input_streaming": True},
        {"name": "Read", "description": "Reads.", "input_schema": {"type": "object"}, "cache_control": MARK},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": MARK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "c2ln"},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}, "caller": {"type": "direct"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok", "cache_control": MARK}],
        },
    ],
    "thinking": {"type": "adaptive", "display": "omitted"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "metadata": {"user_id": "user_1"},
}


def test_a_request_of_claude_code_keeps_its_marks_its_proofs_and_its_wish_to_think():
    body = sent("anthropic", asked("messages", CLAUDE_CODE))

    assert body["system"][1] == {"type": "text", "text": "Rules.", "cache_control": MARK}
    assert [tool.get("cache_control") for tool in body["tools"]] == [None, MARK]
    assert body["messages"][0]["content"][0]["cache_control"] == MARK
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}},
    ]
    (result,) = body["messages"][2]["content"]
    assert MARK in (result.get("cache_control"), result["content"][-1].get("cache_control"))
    assert (body["thinking"], body["output_config"]) == (CLAUDE_CODE["thinking"], CLAUDE_CODE["output_config"])
    assert (body["max_tokens"], body["metadata"]) == (32_000, {"user_id": "user_1"})


def test_a_request_of_claude_code_has_nothing_of_anthropics_on_another_wire():
    for wire in ("openai", "gemini"):
        assert b"cache_control" not in orjson.dumps(sent(wire, asked("messages", CLAUDE_CODE)))
    body = sent("openai", asked("messages", CLAUDE_CODE))
    assert body.keys() - {"model", "messages", "stream", "stream_options"} == {
        "max_tokens",
        "reasoning_effort",
        "tools",
        "user",
    }


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────

PROMPT = Prompt("m", [], {}, "req_7")
USAGE = {"prompt_tokens": 12, "completion_tokens": 5}
ASKED = response_request({"model": "acme/large", "input": "Hello"})
CLIENTS = {
    "completions": (heard.message_of, heard.heard_in_completions, heard.back_in_completions),
    "messages": (heard.whole_message_of, heard.heard_in_messages, heard.back_in_messages),
    "responses": (heard.response_of, heard.heard_in_responses, heard.back_in_responses),
}
PROVIDERS = {
    "openai": (heard.openai_whole, heard.openai_events),
    "anthropic": (heard.anthropic_whole, heard.anthropic_events),
    "gemini": (heard.gemini_whole, heard.gemini_events),
}
cuts = st.lists(st.floats(0, 1), max_size=8)


def delivered(completion: Completion) -> CompletionAnswer:
    assert completion.usage is not None
    return CompletionAnswer("req_7", "acme/large", completion, completion.usage, 1_500, NOW, 1, 20)


def whole(dialect: str, wire: str, answer: Answer) -> JsonObject:
    chat, profile, *_ = WIRES[wire]
    return as_told(dialect, chat.decode(json.dumps(PROVIDERS[wire][0](answer)).encode(), PROMPT, profile))


def as_told(dialect: str, completion: Completion) -> JsonObject:
    told = delivered(completion)
    bodies = {"completions": completion_body, "messages": message_body}
    body = response_body(told, ASKED) if dialect == "responses" else bodies[dialect](told)
    read: JsonObject = json.loads(orjson.dumps(body))
    return read


def read_in_pieces(wire: str, raw: bytes, at: list[float]) -> list[list[Delta] | Completion]:
    """As they arrive, the closing at the end."""
    chat, profile, *_ = WIRES[wire]
    parser, decoder = EventParser(names=chat.events), chat.decoder(PROMPT, profile)
    places = sorted({0, len(raw), *(int(cut * len(raw)) for cut in at)})
    reads = [decoder.feed(parser.feed(raw[start:end])) for start, end in pairwise(places)]
    rest = decoder.feed(parser.flush())
    assert (decoder.unknown, decoder.malformed, parser.dropped) == (0, 0, 0)
    return [*filter(None, [*reads, rest]), decoder.close()]


def written(dialect: str, items: list[list[Delta] | Completion]) -> JsonObject:
    """What a client puts together of the stream."""
    stream: Any = Played(*[delivered(it) if isinstance(it, Completion) else it for it in items])
    if dialect == "completions":
        pieces = CompletionChunks(stream, 1, usage=None).pieces()
    else:
        pieces = (MessageEvents(stream) if dialect == "messages" else ResponseEvents(stream, 1, ASKED)).pieces()
    return CLIENTS[dialect][0](list(pieces))


def streamed(dialect: str, wire: str, answer: Answer, at: list[float]) -> JsonObject:
    return written(dialect, read_in_pieces(wire, b"".join(PROVIDERS[wire][1](answer)), at))


def own_ids(wire: str, answer: Answer) -> list[str]:
    made = "call_7_0_1" if wire == "gemini" else "own_1"
    return [made if at == 1 else f"own_{at}" for at in range(len(answer.calls))]


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=examples(40), deadline=None)
@given(answer=answers, at=cuts)
def test_an_answer_arrives_with_all_that_both_can_say_whole_and_split_anywhere(dialect, wire, answer, at):
    hear = CLIENTS[dialect][1]

    assert hear(whole(dialect, wire, answer)) == answer.facts(own_ids(wire, answer))
    assert hear(streamed(dialect, wire, answer, at)) == answer.facts(own_ids(wire, answer))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_refusal_is_one_in_every_dialect(dialect):
    chat, profile, *_ = WIRES["openai"]
    message = {"role": "assistant", "content": None, "refusal": "No."}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE}).encode()
    chunk = {"choices": [{"index": 0, "delta": {"refusal": "No."}, "finish_reason": "stop"}], "usage": USAGE}
    items = read_in_pieces("openai", f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), [])

    for told in (written(dialect, items), as_told(dialect, chat.decode(body, PROMPT, profile))):
        if dialect == "messages":
            assert (told["content"], told["stop_reason"]) == ([{"type": "text", "text": "No."}], "refusal")
        elif dialect == "responses":
            assert told["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
        else:
            assert told["choices"][0]["message"]["refusal"] == "No."


def remembered(wire: str, answer: Answer) -> list[JsonObject]:
    """What a provider has to hear again of its own answer."""
    if wire == "anthropic":
        return heard.anthropic_blocks(answer)
    if wire == "gemini":
        parts = [part for part in heard.gemini_parts(answer) if not part.get("thought")]
        for part in parts:
            if "functionCall" in part:
                part["functionCall"].setdefault("id", "call_7_0_1")
        return parts
    message = {name: it for name, it in heard.openai_whole(answer)["choices"][0]["message"].items() if it is not None}
    return [{"content": None, **message}]


SAID = {"openai": heard.said_to_openai, "anthropic": heard.said_to_anthropic, "gemini": heard.said_to_gemini}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=examples(40), deadline=None)
@given(answer=answers, at=cuts)
def test_an_answer_that_is_sent_back_arrives_at_its_provider_as_it_left_it(dialect, wire, answer, at):
    *_, back = CLIENTS[dialect]
    for body in (whole(dialect, wire, answer), streamed(dialect, wire, answer, at)):
        assert SAID[wire](sent(wire, asked(dialect, back(body)))) == remembered(wire, answer)


def block(kind: str, **members: Any) -> st.SearchStrategy[JsonObject]:
    return st.fixed_dictionaries({"type": st.just(kind), **members})


thoughts = st.lists(
    block("thinking", thinking=texts | st.just(""), signature=texts) | block("redacted_thinking", data=texts),
    max_size=2,
)
runs = st.lists(
    st.tuples(thoughts, block("text", text=texts)).map(lambda run: [*run[0], run[1]]), min_size=1, max_size=3
)


@pytest.mark.parametrize("dialect", ["messages", "responses"])
@settings(max_examples=examples(40), deadline=None)
@given(runs=runs, before=thoughts, called=st.booleans(), at=cuts)
def test_what_was_thought_between_texts_and_calls_is_sent_back_in_its_place(dialect, runs, before, called, at):
    call = {"type": "tool_use", "id": "own_0", "name": "look_up", "input": {"q": 1}}
    blocks = [said for run in runs for said in run] + ([*before, call] if called else [])
    items = read_in_pieces("anthropic", b"".join(anthropic_stream(blocks, "tool_use" if called else "end_turn")), at)
    *_, back = CLIENTS[dialect]
    arrived = SAID["anthropic"](sent("anthropic", asked(dialect, back(written(dialect, items)))))

    assert joined(arrived) == joined(blocks)


def joined(blocks: list[JsonObject]) -> list[JsonObject]:
    """Texts in a row are one: no dialect tells where a provider parted them."""
    told: list[JsonObject] = []
    for it in blocks:
        if told and it["type"] == told[-1]["type"] == "text":
            told[-1] = {**it, "text": told[-1]["text"] + it["text"]}
        else:
            told.append(it)
    return told

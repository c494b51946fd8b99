"""Whole answers in Anthropic's dialect."""

import orjson
import pytest

from api.json_body import parse
from api.v1.messages_answer import message_body
from api.v1.messages_request import message_request
from application.completions import CompletionAnswer
from domain.completion import Completion
from domain.usage import Source, Usage
from tests.builders import NOW

USAGE = Usage(input=10, cached_input=5, cache_write=2, output=4, reasoning=7, source=Source.PROVIDER)


def body(finish="stop", cost=1_500, **message):
    choices = [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}]
    completion = Completion("", finish, USAGE, choices=choices)
    return message_body(CompletionAnswer("req_01ab", "acme/large", completion, USAGE, cost, NOW, 1, 20))


def call(arguments, **more):
    return {"id": "t1", "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


def test_an_answer_is_the_message_object_with_what_it_cost():
    found = body(content="Hi")

    assert found == {
        "id": "msg_01ab",
        "type": "message",
        "role": "assistant",
        "model": "acme/large",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 5,
            "output_tokens": 11,
            "output_tokens_details": {"thinking_tokens": 7},
            "cost": 1.5e-06,
            "source": "provider",
        },
    }
    assert list(found) == ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"]
    assert body(content="Hi", cost=None)["usage"]["cost"] is None


def test_an_input_that_is_too_deep_to_be_sent_back_is_told_as_text():
    def block(levels):
        (found,) = body("tool_calls", content=None, tool_calls=[call('{"a":' * levels + "1" + "}" * levels)])["content"]
        return found

    deepest, used, result = block(26), {"type": "text", "text": "a"}, {"type": "tool_result", "tool_use_id": "t1"}
    turns = [{"role": "user", "content": [used]}, {"role": "assistant", "content": [deepest]}]
    back = {"model": "m", "max_tokens": 1, "messages": [*turns, {"role": "user", "content": [result]}]}

    assert message_request(parse(orjson.dumps(back))).order.messages[1]["tool_calls"]
    assert block(27)["input"].keys() == {"invalid_json"}
    assert orjson.dumps(block(900)), "what has more levels than are written at all"


def test_blocks_come_in_the_order_of_thinking_text_and_calls():
    signed = {"type": "thinking", "thinking": "a", "signature": "s"}
    redacted = {"type": "redacted_thinking", "data": "d"}
    found = body(
        "tool_calls",
        content="Hi",
        tool_calls=[call('{"a": 1}')],
        reasoning_content="a",
        reasoning_details=[signed, redacted, {"type": "reasoning.text"}],
    )

    assert found["content"] == [
        signed,
        redacted,
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
    ]
    assert found["stop_reason"] == "tool_use"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_that_nobody_signed_is_thinking_as_well(name):
    assert body(content="", **{name: "hm"})["content"] == [{"type": "thinking", "thinking": "hm", "signature": ""}]


def test_a_signature_of_geminis_comes_back_as_it_was():
    detail = {"type": "thought_signature", "signature": "abc", "tool_call_id": "t1"}
    bare = {"type": "thought_signature", "signature": "def"}
    content = body(content="Hi", reasoning_content="hm", reasoning_details=[detail, bare])["content"]
    turns = [{"role": "assistant", "content": content[1:]}]

    assert content[0] == {"type": "thinking", "thinking": "hm", "signature": ""}
    (message,) = message_request({"model": "a", "max_tokens": 1, "messages": turns}).order.messages
    assert message == {"role": "assistant", "content": "Hi", "reasoning_details": [detail, bare]}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ('{"a": "ü"}', {"a": "ü"}),
        ("", {}),
        (" ", {}),
        (None, {}),
        ({"a": 1}, {"a": 1}),
        ('{"a": 1', {"invalid_json": '{"a": 1'}),
        ("[1]", {"invalid_json": "[1]"}),
        ("null", {"invalid_json": "null"}),
    ],
)
def test_input_that_is_no_object_is_kept_where_the_tool_will_refuse_it(arguments, found):
    (block,) = body("tool_calls", content=None, tool_calls=[call(arguments)])["content"]

    assert block["input"] == found


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"content": None, "tool_calls": None, "refusal": None, "reasoning_content": None, "reasoning_details": None},
        {"content": 1, "tool_calls": "x", "reasoning_details": [1]},
        {"content": [None, {"type": "image"}], "tool_calls": [None]},
    ],
)
def test_an_answer_of_any_shape_does_no_harm(message):
    assert body(**message)["content"] == []


def test_an_answer_in_parts_keeps_them():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]

    assert body(content=parts)["content"] == parts

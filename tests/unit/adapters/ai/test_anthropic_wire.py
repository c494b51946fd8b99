import json
from itertools import pairwise

import pytest
from hypothesis import given

from adapters.ai.anthropic_compatible import AnthropicChat
from adapters.ai.anthropic_wire import MAX_TOKENS, OPTIONS, decode, encode
from adapters.ai.providers.anthropic import PROFILE
from domain.completion import Prompt
from domain.errors import InvalidRequest, UnsupportedParameter
from domain.provider_errors import UpstreamBadJson, UpstreamOverloaded
from domain.usage import Source, Usage
from tests.conversations import conversations, options

PROMPT = Prompt("claude", [], request_id="req_7")
HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"properties": {}}}}
VALUES = {
    "max_completion_tokens": 7,
    "max_tokens": 7,
    "parallel_tool_calls": False,
    "reasoning_effort": "high",
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
    "service_tier": "default",
    "stop": "END",
    "temperature": 0.5,
    "thinking": {"type": "adaptive"},
    "tool_choice": "required",
    "tools": [TOOL],
    "top_k": 5,
    "top_p": 0.5,
    "user": "u",
}


def sent(messages: list = HI, model: str = "claude-opus-5-5", *, stream: bool = False, **given_options: object) -> dict:
    return json.loads(encode(Prompt(model, messages, given_options), PROFILE, stream=stream))


def refused(**given_options: object) -> str | None:
    with pytest.raises(UnsupportedParameter) as caught:
        sent(**given_options)
    return caught.value.param


def answer(*content: dict, reason: str | None = "end_turn", **fields: object) -> bytes:
    body = {"type": "message", "role": "assistant", "model": "claude-x", "content": list(content), **fields}
    return json.dumps({**body, "stop_reason": reason}).encode()


def outcome(messages: list, given_options: dict) -> dict | str | None:
    """The body, or the name of what is refused."""
    try:
        return sent(messages, **given_options)
    except InvalidRequest as error:
        return error.param


@given(conversations, options)
def test_a_conversation_is_encoded_or_refused_by_name(messages, given_options):
    body = outcome(messages, given_options)

    assert body
    if isinstance(body, dict):
        assert all(turn["content"] for turn in body["messages"])
        assert all(before["role"] != after["role"] for before, after in pairwise(body["messages"]))


@pytest.mark.parametrize("option", sorted(PROFILE.options))
def test_every_option_of_the_profile_reaches_the_body(option):
    assert sent(**{option: VALUES[option]}) != sent()


def test_nothing_else_is_accepted():
    assert OPTIONS == PROFILE.options == VALUES.keys()
    for name in ("logprobs", "n", "seed", "metadata", "verbosity", "anything"):
        assert refused(**{name: 1}) == name


def test_an_option_without_a_value_is_not_given():
    assert sent(temperature=None, logprobs=None) == sent()


def test_the_output_limit_is_the_callers_or_the_models_or_a_stated_one():
    assert sent()["max_tokens"] == 128_000
    assert sent(model="claude-unheard-of")["max_tokens"] == MAX_TOKENS
    assert sent(max_tokens=9)["max_tokens"] == 9
    assert sent(max_tokens=9, max_completion_tokens=7)["max_tokens"] == 7


def test_the_system_prompt_has_its_place():
    body = sent([{"role": "system", "content": "s"}, *HI])

    assert body["system"] == [{"type": "text", "text": "s"}]
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert "system" not in sent()


def test_a_stream_is_asked_for():
    assert sent(stream=True)["stream"] is True
    assert "stream" not in sent()


@pytest.mark.parametrize("stop", ["END", ["END"]])
def test_a_stop_text_is_a_stop_sequence(stop):
    assert sent(stop=stop)["stop_sequences"] == ["END"]


def test_a_function_is_a_tool_with_its_schema_its_strictness_and_its_marker():
    marker = {"type": "ephemeral", "ttl": "1h"}
    function = {"name": "f", "description": "d", "strict": True, "parameters": {"properties": {"a": {}}}}

    assert sent(tools=[{"type": "function", "function": function, "cache_control": marker}])["tools"] == [
        {
            "name": "f",
            "description": "d",
            "strict": True,
            "input_schema": {"type": "object", "properties": {"a": {}}},
            "cache_control": marker,
        }
    ]
    assert sent(tools=[{"type": "function", "function": {"name": "f"}}])["tools"][0]["input_schema"] == {
        "type": "object"
    }


@pytest.mark.parametrize(
    ("given_options", "choice"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": "required", "parallel_tool_calls": True},
            {"type": "any", "disable_parallel_tool_use": False},
        ),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
    ],
)
def test_the_choice_of_tools_is_told_in_its_words(given_options, choice):
    assert sent(tools=[TOOL], **given_options)["tool_choice"] == choice


def test_a_schema_for_the_answer_goes_beside_the_effort():
    body = sent(response_format=VALUES["response_format"], reasoning_effort="low")

    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert sent(response_format={"type": "text"}) == sent()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature", 1.5),
        ("response_format", {"type": "json_object"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "s"}}),
        ("service_tier", "flex"),
        ("tool_choice", {"type": "custom", "custom": {"name": "c"}}),
    ],
)
def test_what_it_cannot_say_is_refused_by_name(option, value):
    assert refused(**{option: value}) == option


def test_another_kind_of_tool_is_refused_by_its_place():
    assert refused(tools=[TOOL, {"type": "custom", "custom": {"name": "c"}}]) == "tools.1"


def test_an_answer_becomes_a_completion():
    usage = {"input_tokens": 3, "output_tokens": 2}
    completion = decode(answer({"type": "text", "text": "po"}, {"type": "text", "text": "ng"}, usage=usage), PROMPT)

    assert (completion.text, completion.finish, completion.model) == ("pong", "stop", "claude-x")
    assert completion.usage == Usage(input=3, output=2, source=Source.PROVIDER)
    assert completion.choices[0]["message"] == {"role": "assistant", "content": "pong"}


def test_calls_and_reasoning_keep_their_ids_and_proofs():
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    hidden = {"type": "redacted_thinking", "data": "d"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}
    foreign = [{**block, "execute": "alert(1)"} for block in (thought, hidden, call)]
    completion = decode(answer(*foreign, {"type": "server_tool_use"}, reason="tool_use"), PROMPT)

    assert completion.finish == "tool_calls"
    assert completion.choices[0]["message"] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "reasoning_details": [thought, hidden],
        "tool_calls": [{"id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
    }


def test_calls_without_ids_of_their_own_get_some():
    called = {"type": "tool_use", "name": "f", "input": {}}
    completion = decode(answer(called, {**called, "id": "x"}, {**called, "id": "x"}, reason="tool_use"), PROMPT)

    found = completion.choices[0]["message"]["tool_calls"]
    assert [call["id"] for call in found] == ["call_7_0_0", "x", "call_7_0_2"]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("invented_later", "stop"),
    ],
)
def test_the_reason_for_the_end_is_told_in_our_words(reason, finish):
    assert decode(answer(reason=reason), PROMPT).finish == finish


def test_the_stop_text_that_ended_it_is_told():
    assert decode(answer(reason="stop_sequence", stop_sequence="END"), PROMPT).choices[0]["stop_sequence"] == "END"
    assert "stop_sequence" not in decode(answer(stop_sequence=None), PROMPT).choices[0]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"content": []', answer(reason=None), b'{"content": 1}'])
def test_what_is_no_answer_is_bad_json(body):
    with pytest.raises(UpstreamBadJson):
        decode(body, PROMPT)


def test_an_error_inside_a_good_answer_is_raised():
    with pytest.raises(UpstreamOverloaded):
        decode(b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}', PROMPT)


def test_no_credential_is_sent_where_there_is_none():
    assert AnthropicChat().headers("") == {"anthropic-version": "2023-06-01"}

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ai.gemini_compatible import GeminiChat
from adapters.ai.gemini_wire import OPTIONS, decode, encode, path_of
from adapters.ai.providers.gemini import PROFILE
from domain.completion import Prompt
from domain.errors import InvalidRequest, UnsupportedParameter
from domain.provider_errors import (
    ContentFiltered,
    UpstreamAuth,
    UpstreamBadJson,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRejected,
)
from domain.usage import Source, Usage
from tests.conversations import conversations, options

HI = [{"role": "user", "content": "hi"}]
ASKED = Prompt("gemini-3.8-flash", HI, {}, "req_7")
TOOL = {"type": "function", "function": {"name": "weather"}}
VALUES = {
    "frequency_penalty": 0.5,
    "max_completion_tokens": 7,
    "max_tokens": 7,
    "n": 2,
    "presence_penalty": 0.5,
    "reasoning_effort": "high",
    "response_format": {"type": "json_object"},
    "seed": 7,
    "service_tier": "flex",
    "stop": "END",
    "temperature": 0.5,
    "thinking": {"type": "adaptive"},
    "tool_choice": "required",
    "tools": [TOOL],
    "top_k": 5,
    "top_p": 0.5,
}


def sent(messages: list = HI, model: str = "gemini-3.8-flash", **given_options: object) -> dict:
    return json.loads(encode(Prompt(model, messages, given_options), PROFILE))


def refused(**given_options: object) -> str | None:
    with pytest.raises(UnsupportedParameter) as caught:
        sent(**given_options)
    return caught.value.param


def answer(*parts: dict, reason: str | None = "STOP", **fields: object) -> bytes:
    ended = {} if reason is None else {"finishReason": reason}
    candidate = {"content": {"role": "model", "parts": list(parts)}, **ended}
    return json.dumps({"candidates": [candidate], "modelVersion": "gemini-x", **fields}).encode()


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
        assert all(content["parts"] for content in body["contents"])
        assert all(before["role"] != after["role"] for before, after in pairwise(body["contents"]))


@pytest.mark.parametrize("option", sorted(PROFILE.options))
def test_every_option_of_the_profile_reaches_the_body(option):
    assert sent(**{option: VALUES[option]}) != sent()


def test_nothing_else_is_accepted():
    assert OPTIONS == PROFILE.options == VALUES.keys()
    for name in ("logprobs", "parallel_tool_calls", "user", "metadata", "anything"):
        assert refused(**{name: 1}) == name


def test_options_have_its_names():
    assert sent(temperature=0.5, top_p=0.9, top_k=5, max_tokens=9, max_completion_tokens=7, stop="END", n=2, seed=3)[
        "generationConfig"
    ] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 5,
        "maxOutputTokens": 7,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "seed": 3,
    }
    assert sent(stop=["a", "b"])["generationConfig"] == {"stopSequences": ["a", "b"]}


def test_the_system_prompt_has_its_place():
    assert sent([{"role": "system", "content": "a"}, *HI, {"role": "developer", "content": "b"}]) == {
        "systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]},
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
    }


@pytest.mark.parametrize(
    ("wanted", "body"),
    [
        ({"type": "json_object"}, {"responseMimeType": "application/json"}),
        (
            {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
        ),
    ],
)
def test_the_format_of_an_answer(wanted, body):
    assert sent(response_format=wanted)["generationConfig"] == body
    assert sent(response_format={"type": "text"}) == sent()


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_the_choice_of_tools_is_told_in_its_words(choice, config):
    assert sent(tools=[TOOL], tool_choice=choice)["toolConfig"] == {"functionCallingConfig": config}


def test_functions_are_declared():
    schema = {"type": "object", "properties": {"a": {}}}
    function = {"name": "f", "description": "d", "parameters": schema, "strict": True}

    assert sent(tools=[{"type": "function", "function": function}, TOOL])["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": schema},
                {"name": "weather"},
            ]
        }
    ]
    assert "tools" not in sent(tools=[])


@pytest.mark.parametrize(
    ("tier", "word"), [("auto", "unspecified"), ("default", "standard"), ("flex", "flex"), ("priority", "priority")]
)
def test_the_tier_of_service_has_its_name(tier, word):
    assert sent(service_tier=tier)["serviceTier"] == word


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("response_format", {"type": "grammar"}),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "s"}}),
        ("service_tier", "scale"),
        ("tool_choice", {"type": "allowed_tools", "allowed_tools": {}}),
        ("reasoning_effort", "huge"),
    ],
)
def test_what_it_cannot_say_is_refused_by_name(option, value):
    assert refused(**{option: value}) == option


@given(st.text(min_size=1))
def test_a_model_is_one_segment_of_the_path_whatever_its_name(model):
    path = path_of(model, "generateContent")

    assert path.isascii()
    assert path.count("/") == 3
    assert not set(path) & set("?# \\%\r\n") - {"%"}
    assert path.startswith("/v1beta/models/")
    assert path.split("/")[3] not in ("", ".", "..")


def test_a_stream_is_another_path():
    assert GeminiChat().path("gemini-x", stream=True) == "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"
    assert GeminiChat().path("gemini-x", stream=False) == "/v1beta/models/gemini-x:generateContent"
    assert GeminiChat().headers("") == {}


def test_an_answer_becomes_a_completion():
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2}
    completion = decode(answer({"text": "po"}, {"text": "ng"}, usageMetadata=usage), ASKED)

    assert (completion.text, completion.finish, completion.model) == ("pong", "stop", "gemini-x")
    assert completion.usage == Usage(input=3, output=2, source=Source.PROVIDER)
    assert completion.choices == [
        {"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}
    ]


def test_thoughts_are_reasoning_and_signatures_are_kept():
    message = decode(
        answer(
            {"text": "hm", "thought": True},
            {"text": "a", "thoughtSignature": "s1"},
            {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "s2"},
            {"functionCall": {"name": "g"}},
            {"inlineData": {"mimeType": "image/png"}},
        ),
        ASKED,
    ).choices[0]

    assert message["finish_reason"] == "tool_calls"
    assert message["message"] == {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "call_7_0_1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
        "reasoning_details": [
            {"type": "thought_signature", "signature": "s2", "tool_call_id": "c1"},
            {"type": "thought_signature", "signature": "s1"},
        ],
    }


def test_candidates_are_choices():
    candidates = [{"index": at, "content": {"parts": [{"text": str(at)}]}, "finishReason": "STOP"} for at in range(2)]
    completion = decode(json.dumps({"candidates": candidates}).encode(), ASKED)

    assert [(choice["index"], choice["message"]["content"]) for choice in completion.choices] == [(0, "0"), (1, "1")]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        *(
            (reason, "content_filter")
            for reason in (
                "SAFETY",
                "RECITATION",
                "BLOCKLIST",
                "PROHIBITED_CONTENT",
                "SPII",
                "LANGUAGE",
                "OTHER",
                "LATER",
            )
        ),
    ],
)
def test_the_reason_for_the_end_is_told_in_our_words(reason, finish):
    assert decode(answer(reason=reason), ASKED).finish == finish
    expected = "tool_calls" if finish == "stop" else finish
    assert decode(answer({"functionCall": {"name": "f"}}, reason=reason), ASKED).finish == expected


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("MALFORMED_FUNCTION_CALL", UpstreamFailed),
        ("MALFORMED_RESPONSE", UpstreamFailed),
        ("UNEXPECTED_TOOL_CALL", UpstreamFailed),
        ("TOO_MANY_TOOL_CALLS", UpstreamFailed),
        ("MISSING_THOUGHT_SIGNATURE", UpstreamRejected),
        ("PUP_LIMITED_DISABLED", UpstreamAuth),
    ],
)
def test_a_finish_reason_that_tells_of_a_failure_is_one(reason, error):
    with pytest.raises(error):
        decode(answer(reason=reason), ASKED)


def test_a_blocked_prompt_is_filtered():
    with pytest.raises(ContentFiltered, match="SAFETY"):
        decode(b'{"promptFeedback": {"blockReason": "SAFETY"}}', ASKED)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"candidates": []}',
        b'{"candidates": 1}',
        answer(reason=None),
        answer(reason="FINISH_REASON_UNSPECIFIED"),
    ],
)
def test_what_is_no_answer_is_bad_json(body):
    with pytest.raises(UpstreamBadJson):
        decode(body, ASKED)


def test_an_error_inside_a_good_answer_is_raised():
    with pytest.raises(UpstreamOverloaded):
        decode(b'{"error": {"code": 503, "status": "UNAVAILABLE", "message": "Later."}}', ASKED)

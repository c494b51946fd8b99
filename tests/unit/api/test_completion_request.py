import time
from typing import get_type_hints

import pytest
from openai.types.chat import completion_create_params

from adapters.ai.profile import OPENAI_OPTIONS
from api.v1.completion_request import _PARAMETERS, completion_request
from domain.errors import InvalidRequest, TooManyMessages, UnknownField

USER = {"role": "user", "content": "Hello"}
ASKED = {"model": "acme/large", "messages": [USER]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SCHEMA = {"type": "object", "properties": {"url": {"type": "string"}, "api_base": {}}}


def test_every_parameter_that_openai_documents_is_known():
    documented = set(get_type_hints(completion_create_params.CompletionCreateParamsBase))

    assert documented - {"model", "messages"} <= set(_PARAMETERS)
    assert set(_PARAMETERS) >= OPENAI_OPTIONS


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "", "name": "ada"},
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}}],
        },
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "AA", "filename": "a.pdf"}}]},
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA"}}]},
        {"role": "assistant", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": [{**CALL, "index": 0}]},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {
            "role": "assistant",
            "content": "Hi",
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": None,
            "reasoning_content": "…",
        },
        {"role": "tool", "content": "4", "tool_call_id": "call_1"},
        {"role": "function", "content": "4", "name": "f"},
    ],
    ids=lambda message: f"{message['role']} {str(message.get('content'))[:30]}",
)
def test_every_documented_message_is_accepted_and_passed_on_unchanged(message):
    assert completion_request({**ASKED, "messages": [message]}).order.messages == [message]


@pytest.mark.parametrize("parsed", [None, {"a": [1]}, ["x"], "y", 7])
def test_what_openais_sdks_add_to_an_answer_is_taken_when_it_is_sent_back_and_not_passed_on(parsed):
    function = {**CALL["function"], "parsed_arguments": parsed}
    custom = {"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}
    turn = {"role": "assistant", "content": '{"a":1}', "tool_calls": [CALL, custom]}
    called = {**turn, "tool_calls": [{**CALL, "function": function}, custom]}
    said = {"role": "assistant", "content": "Hi", "tool_calls": None}
    given = [USER, {**called, "parsed": parsed}, called, {**said, "parsed": parsed}, {**said, "images": []}]

    assert completion_request({**ASKED, "messages": given}).order.messages == [USER, turn, turn, said, said]
    assert called["tool_calls"][0]["function"] is function, "the body of the request stays as it is"


def test_only_answers_have_what_was_parsed_of_them():
    for message in (
        {**USER, "parsed": {}},
        {"role": "assistant", "function_call": {**CALL["function"], "parsed_arguments": 1}},
    ):
        with pytest.raises(UnknownField):
            completion_request({**ASKED, "messages": [message]})


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"content": "a"}, "role"),
        ({"role": "root", "content": "a"}, "role"),
        ({"role": "user"}, "content"),
        ({"role": "user", "content": None}, "content"),
        ({"role": "user", "content": 1}, "content"),
        ({"role": "user", "content": "x" * 200_001}, "content"),
        ({"role": "user", "content": []}, "content"),
        ({"role": "user", "content": ["a"]}, "content.0"),
        ({"role": "user", "content": [{"type": "text"}]}, "content.0.text"),
        ({"role": "user", "content": [{"type": "execute", "text": "a"}]}, "content.0.type"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": "data:"}]}, "content.0.image_url"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},
            "content.0.image_url.url",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1", "file_data": "A"}}]},
            "content.0.file.file_id",
        ),
        ({"role": "user", "content": "a", "tool_calls": []}, "tool_calls"),
        ({"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}, "content.0.type"),
        ({"role": "assistant", "tool_calls": [{**CALL, "api_key": "x"}]}, "tool_calls.0.api_key"),
        ({"role": "tool", "content": "4"}, "tool_call_id"),
        ("Hello", None),
    ],
    ids=str,
)
def test_any_other_message_is_refused_by_the_path_of_its_field(message, param):
    with pytest.raises(InvalidRequest) as refused:
        completion_request({**ASKED, "messages": [USER, message]})

    assert refused.value.param == ("messages.1" if param is None else f"messages.1.{param}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0),
        ("temperature", 2.0),
        ("n", 8),
        ("stop", "a"),
        ("stop", ["a", "b"]),
        ("logit_bias", {"50256": -100}),
        ("metadata", {"api_base": "free"}),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}),
        ("tools", [{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}]),
        ("tools", [{"type": "custom", "custom": {"name": "f", "format": {"type": "text"}}}]),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}),
        ("response_format", {"type": "json_object"}),
        ("reasoning_effort", "xhigh"),
        ("web_search_options", {"user_location": {"type": "approximate", "approximate": {"city": "Ulm"}}}),
        ("chat_template_kwargs", {"enable_thinking": False}),
        ("top_k", 40),
        ("dry_base", 1.75),
        ("prompt_cache_key", "k"),
    ],
    ids=str,
)
def test_a_documented_parameter_becomes_an_option(name, value):
    assert completion_request({**ASKED, name: value}).order.options == {name: value}


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("temperature", 2.1, "temperature"),
        ("temperature", "0", "temperature"),
        ("temperature", True, "temperature"),
        ("n", 9, "n"),
        ("n", 1.0, "n"),
        ("max_tokens", 0, "max_tokens"),
        ("logit_bias", {"1": "a"}, "logit_bias.1"),
        ("metadata", {"api_base": {"a": "b"}}, "metadata.api_base"),
        ("stop", [1], "stop.0"),
        ("tools", [{"type": "function"}] * 513, "tools"),
        ("tools", [{"type": "mcp", "server_url": "http://x"}], "tools.0.type"),
        ("tools", [{"type": "function", "function": {"parameters": {}}}], "tools.0.function.name"),
        ("tool_choice", "f", "tool_choice"),
        ("tool_choice", {"type": "function", "function": {"name": "f", "x": 1}}, "tool_choice.function.x"),
        ("response_format", {"type": "xml"}, "response_format.type"),
        ("stream", "yes", "stream"),
        ("stream_options", {"include_usage": 1}, "stream_options.include_usage"),
        ("model", "", "model"),
        ("model", None, "model"),
        ("model", "a b", "model"),
        ("messages", None, "messages"),
        ("messages", [], "messages"),
        ("messages", {}, "messages"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_name(name, value, param):
    with pytest.raises(InvalidRequest) as refused:
        completion_request({**ASKED, name: value})

    assert refused.value.param == param


@pytest.mark.parametrize(
    "name",
    [
        "api_base",
        "base_url",
        "BASE_URL",
        "apiBase",
        "api-key",
        "api_keys",
        "api_version",
        "user_config",
        "custom_host",
        "custom_llm_provider",
        "extra_headers",
        "extra_body",
        "extra_query",
        "headers",
        "webhook",
        "webhook_url",
        "callback",
        "success_callback",
        "callbacks",
        "proxy",
        "endpoint",
        "host",
        "organization",
        "access_token",
        "aws_secret_access_key",
        "azure_ad_token",
        "vertex_credentials",
        "litellm_params",
        "model_list",
        "password",
    ],
)
def test_destinations_credentials_and_callbacks_are_refused_by_any_name(name):
    for body in ({name: "x"}, {"chat_template_kwargs": {"a": [{name: "x"}]}}):
        with pytest.raises(UnknownField) as refused:
            completion_request({**ASKED, **body})

        assert refused.value.param.endswith(name)


def test_a_null_is_not_given_at_all():
    asked = completion_request({**ASKED, "temperature": None, "stream": None, "stream_options": None, "top_k": None})

    assert asked.order.options == {}
    assert not asked.streamed
    assert asked.usage is None


def test_more_than_2000_messages_have_an_error_of_their_own():
    assert len(completion_request({**ASKED, "messages": [USER] * 2_000}).order.messages) == 2_000
    with pytest.raises(TooManyMessages):
        completion_request({**ASKED, "messages": [USER] * 2_001})


@pytest.mark.parametrize("body", [None, [], "text", 1, True])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(InvalidRequest):
        completion_request(body)


def test_checking_a_usual_body_is_cheap():
    body = {**ASKED, "messages": [USER] * 10, "temperature": 0.7, "max_tokens": 100, "stream": True}
    best = min(_seconds(body) for _ in range(5))

    assert best < 300e-6  # about 12 µs where it was written; slow and busy machines must pass too


def _seconds(body):
    began = time.process_time()
    for _ in range(200):
        completion_request(body)
    return (time.process_time() - began) / 200

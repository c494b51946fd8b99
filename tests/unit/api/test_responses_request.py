"""What OpenAI's Responses dialect asks for, in the words that every provider understands."""

import time
from typing import get_args, get_type_hints

import pytest
from openai.types.responses import response_create_params, response_includable

from api.v1.responses_reasoning import Reasoning, packed
from api.v1.responses_request import _INCLUDABLE, _PARAMETERS, UNSUPPORTED, response_request, told
from domain.errors import InvalidRequest, TooManyMessages, UnknownField, UnsupportedParameter

ASKED = {"model": "acme/large", "input": "Hello"}
USER = {"role": "user", "content": "Hello"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a":1}'}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "4"}
SCHEMA = {"type": "object", "properties": {"url": {"type": "string"}, "api_base": {}}}
TOOL = {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
FUNCTION = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}}
CALLED = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
PATCH = {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "g: A"}}


def messages(*items, **more):
    return response_request({"model": "acme/large", "input": list(items), **more}).order.messages


def options(**more):
    return response_request({**ASKED, **more}).order.options


def refused(body, kind=InvalidRequest):
    with pytest.raises(kind) as error:
        response_request(body)
    return error.value.param


def test_every_parameter_that_openai_documents_is_known_or_refused_with_what_to_do_instead():
    documented = set(get_type_hints(response_create_params.ResponseCreateParamsBase))

    assert documented - {"model", "input"} <= set(_PARAMETERS) | set(UNSUPPORTED)
    assert set(get_args(response_includable.ResponseIncludable)) == set(_INCLUDABLE["enum"])


# ── input ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_text_is_a_message_of_the_user_after_the_instructions():
    assert response_request({**ASKED, "instructions": "Be brief."}).order.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (USER, USER),
        ({"type": "message", "role": "user", "content": "a", "id": "msg_1", "status": "completed"}, None),
        ({"role": "system", "content": "a"}, None),
        ({"role": "developer", "content": "a"}, {"role": "system", "content": "a"}),
        ({"role": "user", "content": [{"type": "input_text", "text": "a"}]}, {"role": "user", "content": "a"}),
        (
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}],
            },
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://e.org/a", "detail": "low"}]},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "https://e.org/a", "detail": "low"}}],
            },
        ),
        (
            {"role": "user", "content": [{"type": "input_file", "file_data": "AA", "filename": "a.pdf"}]},
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "AA", "filename": "a.pdf"}}]},
        ),
        (
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}],
            },
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]},
        ),
        (
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}],
            },
            {
                "role": "user",
                "content": [{"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}],
            },
        ),
        ({"role": "assistant", "content": "a"}, None),
        (
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "phase": "final_answer",
                "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": None}],
            },
            {"role": "assistant", "content": "a"},
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            {"role": "assistant", "content": None, "refusal": "No."},
        ),
    ],
    ids=str,
)
def test_every_documented_message_is_translated(item, message):
    expected = message or {"role": item["role"], "content": item["content"]}

    assert messages(item) == [expected]


def test_what_the_assistant_thought_said_and_called_in_one_go_is_one_message():
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "h"}]}
    second = {**CALL, "call_id": "call_2", "status": "completed", "id": "fc_2"}
    said = {"role": "assistant", "content": "Let me see."}

    assert messages(USER, reasoning, said, CALL, second, RESULT, {**RESULT, "call_id": "call_2"}, USER) == [
        USER,
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [CALLED, {**CALLED, "id": "call_2"}],
            "reasoning_content": "h",
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "4"},
        {"role": "tool", "tool_call_id": "call_2", "content": "4"},
        USER,
    ]


def packed_item(*details):
    return {"type": "reasoning", "summary": [], "encrypted_content": packed(Reasoning("", list(details)))}


def test_what_was_thought_after_a_message_belongs_to_what_comes_next():
    first, second = ({"type": "thinking", "thinking": "", "signature": text} for text in "ab")
    said = {"role": "assistant", "content": "Let me see."}

    assert messages(packed_item(first), said, packed_item(second), CALL, RESULT)[:2] == [
        {**said, "reasoning_details": [first]},
        {"role": "assistant", "content": None, "tool_calls": [CALLED], "reasoning_details": [second]},
    ]


def test_signatures_of_what_was_said_and_called_stay_with_it():
    proofs = [
        {"type": "thought_signature", "signature": "s"},
        {"type": "thought_signature", "signature": "t", "tool_call_id": "call_1"},
    ]
    said = {"role": "assistant", "content": "Let me see."}

    assert messages(said, packed_item(*proofs), CALL, RESULT)[0] == {
        **said,
        "tool_calls": [CALLED],
        "reasoning_details": proofs,
    }
    assert messages(said, packed_item(proofs[0])) == [{**said, "reasoning_details": proofs[:1]}]


def test_calls_in_a_row_are_messages_of_their_own_when_their_results_stand_between_them():
    again = [{**CALL, "call_id": "call_2"}, {**RESULT, "call_id": "call_2"}]

    assert [message["role"] for message in messages(CALL, RESULT, *again)] == ["assistant", "tool", "assistant", "tool"]


def test_messages_of_the_assistant_in_a_row_stay_apart_but_never_between_a_call_and_its_result():
    said = {"role": "assistant", "content": "a"}

    assert messages(said, said) == [said, said]
    assert messages(said, CALL, said, RESULT)[0] == {
        "role": "assistant",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "a"}],
        "tool_calls": [CALLED],
    }


def test_a_result_may_have_text_and_images():
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:image/png;base64,AA"}]

    assert messages(CALL, {**RESULT, "output": parts})[1]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
    ]
    assert messages(CALL, {**RESULT, "output": parts[:1]})[1]["content"] == "a"


def test_reasoning_comes_back_from_its_summary_its_content_or_what_was_packed():
    block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    said = {"role": "assistant", "content": "a"}
    summary = [{"type": "summary_text", "text": "short"}]
    full = {"type": "reasoning", "summary": summary, "content": [{"type": "reasoning_text", "text": "long"}]}

    def thought(item):
        (message,) = messages({"type": "reasoning", **item}, said)
        return {name: value for name, value in message.items() if name.startswith("reasoning")}

    assert thought({"summary": summary}) == {"reasoning_content": "short"}
    assert thought(full) == {"reasoning_content": "long"}
    assert thought({**full, "encrypted_content": packed(Reasoning("hm", [block]))}) == {
        "reasoning_content": "hm",
        "reasoning_details": [block],
    }
    assert thought({**full, "encrypted_content": "gAAAA-of-another-service"}) == {"reasoning_content": "long"}
    assert thought({"summary": [], "encrypted_content": None, "content": None}) == {}


def test_thoughts_that_led_to_nothing_are_no_message():
    assert messages({"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]}, USER) == [USER]


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ("Hello", "input.0"),
        ({"content": "a"}, "input.0.type"),
        ({"role": "root", "content": "a"}, "input.0.role"),
        ({"role": "user"}, "input.0.content"),
        ({"role": "user", "content": "a", "name": "ada"}, "input.0.name"),
        ({"role": "user", "content": [{"type": "output_text", "text": "a"}]}, "input.0.content.0.type"),
        ({"role": "assistant", "content": [{"type": "input_image", "image_url": "data:"}]}, "input.0.content.0.type"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input.0.content.0.text"),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "file:///etc/passwd"}]},
            "input.0.content.0.image_url",
        ),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": "data:", "file_id": "file-1"}]},
            "input.0.content.0.file_id",
        ),
        (
            {"role": "user", "content": [{"type": "input_file", "file_url": "http://169.254.169.254/"}]},
            "input.0.content.0.file_url",
        ),
        ({"type": "reasoning", "summary": [], "encrypted_content": "parley.1.%"}, "input.0.encrypted_content"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "input.0.call_id"),
        ({**CALL, "arguments": {}}, "input.0.arguments"),
        (RESULT, "input.0.call_id"),
        ({"type": "item_reference", "id": "msg_1"}, "input.0"),
        ({"type": "web_search_call", "id": "ws_1", "status": "completed"}, "input.0.type"),
        ({"type": "compaction", "encrypted_content": "x"}, "input.0.type"),
    ],
    ids=str,
)
def test_any_other_item_is_refused_by_the_path_of_its_field(item, param):
    assert refused({"model": "acme/large", "input": [item]}) == param


def test_more_messages_than_a_completion_may_have_are_refused_and_items_are_no_messages():
    assert len(messages(*[USER] * 2_000)) == 2_000
    assert len(messages(*[CALL, *[{**CALL, "call_id": str(n)} for n in range(3_000)]])) == 1
    assert refused({"model": "acme/large", "input": [USER] * 2_001}, TooManyMessages) == "input"


# ── settings ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"max_output_tokens": 9}, {"max_tokens": 9}),
        ({"temperature": 0, "top_p": 1}, {"temperature": 0, "top_p": 1}),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning_effort": "high"}),
        ({"reasoning": {"effort": None, "context": "all_turns"}}, {}),
        ({"text": {"verbosity": "low", "format": None}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "text"}}}, {}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "a", "schema": SCHEMA, "strict": True},
                }
            },
        ),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True, "top_logprobs": 0}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"user": "u", "safety_identifier": "s"}, {"user": "u", "safety_identifier": "s"}),
        ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
        ({"service_tier": "auto"}, {}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"store": True, "metadata": {"a": "b"}, "truncation": "disabled", "background": False}, {}),
        ({"client_metadata": {"x-codex-installation-id": "1"}, "stream_options": {"include_obfuscation": False}}, {}),
        ({"temperature": None, "tools": None, "previous_response_id": None, "conversation": None}, {}),
    ],
    ids=str,
)
def test_a_setting_becomes_an_option_of_a_completion(given, option):
    assert options(**given) == option


def test_tools_become_functions_and_auto_is_nobodys_choice():
    assert options(tools=[TOOL]) == {"tools": [FUNCTION]}
    assert options(tools=[TOOL], tool_choice="auto", parallel_tool_calls=False) == {
        "tools": [FUNCTION],
        "parallel_tool_calls": False,
    }
    assert options(tools=[{"type": "function", "name": "g", "parameters": None, "strict": None}]) == {
        "tools": [{"type": "function", "function": {"name": "g"}}]
    }


def test_without_tools_nothing_is_said_about_them():
    assert options(tools=[], tool_choice="auto", parallel_tool_calls=True) == {}
    assert options(tool_choice="none") == {}
    assert refused({**ASKED, "tool_choice": "required"}) == "tool_choice"


def test_a_choice_of_tools_is_translated():
    second = {**TOOL, "name": "g"}
    chosen = {"type": "function", "function": {"name": "g"}}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}

    assert options(tools=[TOOL], tool_choice="required")["tool_choice"] == "required"
    assert options(tools=[TOOL], tool_choice="none")["tool_choice"] == "none"
    assert options(tools=[TOOL, second], tool_choice={"type": "function", "name": "g"})["tool_choice"] == chosen
    assert options(tools=[TOOL, second], tool_choice=allowed) == {
        "tools": [{"type": "function", "function": {**FUNCTION["function"], "name": "g"}}],
        "tool_choice": "required",
    }


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("maybe", "tool_choice"),
        ({"type": "function", "name": "nobody"}, "tool_choice.name"),
        ({"type": "file_search"}, "tool_choice.type"),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "x"}]},
            "tool_choice.tools.0.name",
        ),
    ],
    ids=str,
)
def test_a_choice_of_what_is_not_there_is_refused(choice, param):
    assert refused({**ASKED, "tools": [TOOL], "tool_choice": choice}) == param


def test_a_custom_tool_is_a_function_with_one_text_and_its_grammar_is_told():
    (function,) = options(tools=[PATCH])["tools"]

    assert function["function"]["name"] == "apply_patch"
    assert function["function"]["parameters"]["required"] == ["input"]
    assert "g: A" in function["function"]["parameters"]["properties"]["input"]["description"]


def test_a_call_of_a_custom_tool_goes_back_as_one_of_that_function():
    call = {"type": "custom_tool_call", "call_id": "call_1", "name": "apply_patch", "input": 'a "b"'}
    result = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "done"}
    assistant, tool = messages(call, result, tools=[PATCH])

    assert assistant["tool_calls"][0]["function"] == {"name": "apply_patch", "arguments": '{"input":"a \\"b\\""}'}
    assert tool == {"role": "tool", "tool_call_id": "call_1", "content": "done"}


def test_tools_of_a_namespace_have_both_names():
    namespace = {"type": "namespace", "name": "crm", "description": "d", "tools": [TOOL]}
    asked = response_request({**ASKED, "tools": [namespace, TOOL]})
    call = {**CALL, "namespace": "crm"}

    assert [tool["function"]["name"] for tool in asked.order.options["tools"]] == ["crm__f", "f"]
    assert messages(call)[0]["tool_calls"][0]["function"]["name"] == "crm__f"
    assert refused({**ASKED, "tools": [namespace, {**TOOL, "name": "crm__f"}]}) == "tools.1.name"


@pytest.mark.parametrize("live", [False, True])
def test_a_search_that_codex_offers_to_everybody_is_left_out(live):
    asked = response_request({**ASKED, "tools": [{"type": "web_search", "external_web_access": live}, TOOL]})

    assert asked.order.options["tools"] == [FUNCTION]
    assert asked.echo["tools"] == [TOOL]


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search"},
        {"type": "web_search", "external_web_access": None},
        {"type": "file_search", "vector_store_ids": ["a"]},
        {"type": "mcp", "server_label": "a", "server_url": "http://127.0.0.1:9/"},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "local_shell"},
        {"type": "tool_search"},
    ],
    ids=str,
)
def test_a_tool_that_runs_at_openai_is_refused_by_name_with_what_to_do_instead(tool):
    with pytest.raises(UnsupportedParameter) as error:
        response_request({**ASKED, "tools": [TOOL, tool]})

    assert error.value.param == "tools.1.type"
    assert "function" in error.value.message


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_whatever_refers_to_something_kept_is_refused_with_what_to_do_instead(name):
    with pytest.raises(UnsupportedParameter) as error:
        response_request({**ASKED, name: "resp_1"})

    assert error.value.param == name
    assert error.value.message.endswith(UNSUPPORTED[name])


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"truncation": "middle"}, "truncation"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 1.0}, "max_output_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"include": ["everything"]}, "include.0"),
        ({"reasoning": {"effort": 1}}, "reasoning.effort"),
        ({"reasoning": {"depth": 1}}, "reasoning.depth"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"metadata": {"a": {}}}, "metadata.a"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options.include_usage"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tools": [{"type": "magic"}]}, "tools.0.type"),
        ({"messages": []}, "messages"),
        ({"top_k": 1}, "top_k"),
        ({"model": None}, "model"),
        ({"model": "a b"}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": {}}, "input"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_its_path(given, param):
    assert refused({**ASKED, **given}) == param


@pytest.mark.parametrize("body", [None, [], "text", 1, True])
def test_a_body_that_is_no_object_asks_for_no_response(body):
    refused(body)


def test_what_a_provider_does_not_document_has_the_name_of_this_dialect():
    error = told(UnsupportedParameter("acme does not document reasoning_effort.", param="reasoning_effort"))

    assert (error.param, error.message) == ("reasoning.effort", "acme does not document reasoning.effort.")
    assert told(UnsupportedParameter("x", param="tools")).param == "tools"


# ── destinations, credentials and callbacks ──────────────────────────────────────────────────────────────────────

RICH = {
    **ASKED,
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_image", "image_url": "data:image/png;base64,A"}],
        },
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]},
        CALL,
        {**RESULT, "output": [{"type": "input_text", "text": "a"}]},
    ],
    "tools": [
        {"type": "function", "name": "f"},
        PATCH,
        {"type": "namespace", "name": "n", "description": "d", "tools": [TOOL]},
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "a", "schema": {}}},
    "reasoning": {"effort": "low"},
    "stream_options": {"include_obfuscation": True},
    "prompt_cache_options": {"mode": "explicit"},
}
FREE = {("text", "format", "schema"), ("tools", 2, "tools", 0, "parameters")}
"""JSON Schemas belong to whoever wrote them, and name what they like."""
ROUTING = ["api_base", "base_url", "api_key", "server_url", "extra_headers", "webhook", "callback_url", "authorization"]


def planted(value, name, path=()):
    """`value` with a foreign member, one object at a time, plain and up to four levels below a name of its own."""
    if isinstance(value, dict):
        inner = "http://127.0.0.1:9/"
        for wrapper in (name, "user_config", "extra_body", "litellm_params"):
            inner = {name: inner} if wrapper == name else {wrapper: [inner]}
            yield {**value, **inner}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, deeper in pairs:
        if (*path, key) not in FREE:
            for changed in planted(deeper, name, (*path, key)):
                copy = value.copy()
                copy[key] = changed
                yield copy


@pytest.mark.parametrize("name", ROUTING)
def test_no_destination_credential_or_callback_is_taken_at_any_depth(name):
    response_request(RICH)
    bodies = list(planted(RICH, name))

    assert len(bodies) > 60
    for body in bodies:
        param = refused(body, UnknownField)
        assert param.endswith((name, "user_config", "extra_body", "litellm_params"))


def test_what_openais_codex_sends_is_understood():
    codex = {
        "model": "acme/large",
        "instructions": "You are a coding agent.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "fix it"}]},
            {"type": "reasoning", "summary": [], "encrypted_content": None},
            {**CALL, "name": "shell_command"},
            RESULT,
        ],
        "tools": [TOOL, PATCH, {"type": "web_search", "external_web_access": False}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0193",
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-turn-metadata": "x" * 2_000},
    }
    asked = response_request(codex)

    assert asked.streamed
    assert asked.packs
    assert asked.summarised
    assert [message["role"] for message in asked.order.messages] == ["system", "system", "user", "assistant", "tool"]
    assert asked.order.options.keys() == {
        "tools", "parallel_tool_calls", "reasoning_effort", "prompt_cache_key", "verbosity"
    }  # fmt: skip


def test_checking_a_usual_response_is_cheap():
    body = {"model": "acme/large", "input": [USER] * 10, "temperature": 0.7, "stream": True}
    best = min(_seconds(body) for _ in range(5))

    assert best < 600e-6  # about 50 µs where it was written; slow and busy machines must pass too


def _seconds(body):
    began = time.process_time()
    for _ in range(200):
        response_request(body)
    return (time.process_time() - began) / 200

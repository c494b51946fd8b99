"""Requests in Anthropic's dialect: what is taken, what is refused, and what becomes of it."""

import json
import time

import pytest

from api.v1.messages_request import count_request, in_our_words, message_request
from api.v1.messages_schema import ASKED, REQUIRED, UNSUPPORTED
from domain.errors import InvalidRequest, TooManyMessages, UnknownField, UnsupportedParameter

USER = {"role": "user", "content": "Hello"}
ASK = {"model": "acme/large", "max_tokens": 100, "messages": [USER]}
CACHED = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
PNG = {"type": "base64", "media_type": "image/png", "data": "AA=="}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TOOL = {"name": "f", "description": "Does f.", "input_schema": {"type": "object", "properties": {"url": {}}}}

DOCUMENTED = {
    *("model", "messages", "max_tokens", "cache_control", "container", "diagnostics", "inference_geo", "metadata"),
    *("output_config", "service_tier", "speed", "stop_sequences", "system", "thinking", "tool_choice", "tools"),
    *("user_profile_id", "workspace_id", "stream", "temperature", "top_k", "top_p", "billing_policy", "compaction"),
    *("context_management", "fallback_credit_token", "fallbacks", "mcp_servers", "thread", "output_format"),
}
"""The parameters of `messages.create` and `beta.messages.create`."""


def canonical(*turns, **more):
    return message_request({**ASK, "messages": list(turns), **more}).order.messages


def options(**more):
    found = message_request({**ASK, **more}).order.options
    assert found.pop("max_tokens") == 100
    return found


def text(words, **more):
    return {"type": "text", "text": words, **more}


def turn(*blocks, role="user"):
    return {"role": role, "content": list(blocks)}


def test_every_documented_parameter_is_known_and_either_taken_or_refused_as_unsupported():
    assert {*REQUIRED, *ASKED, "max_tokens"} | UNSUPPORTED == DOCUMENTED


# ── turns ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("turns", "messages"),
    [
        ([USER], [USER]),
        ([turn(text("Hello"))], [USER]),
        (
            [turn(text("a", **CACHED), text("b"))],
            [{"role": "user", "content": [text("a", **CACHED), text("b")]}],
        ),
        (
            [turn(text("See"), {"type": "image", "source": PNG, **CACHED})],
            [{"role": "user", "content": [text("See"), {**PNG_PART, **CACHED}]}],
        ),
        (
            [turn({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}})],
            [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
                }
            ],
        ),
        (
            [turn({"type": "document", "source": PDF, "title": "a.pdf", "context": "Ours.", **CACHED})],
            [
                {
                    "role": "user",
                    "content": [
                        text("Ours."),
                        {
                            "type": "file",
                            "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"},
                            **CACHED,
                        },
                    ],
                }
            ],
        ),
        (
            [turn({"type": "document", "source": PDF})],
            [
                {
                    "role": "user",
                    "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}}],
                }
            ],
        ),
        (
            [
                turn(
                    {
                        "type": "document",
                        "title": "T",
                        "context": "C",
                        "source": {"type": "text", "media_type": "text/plain", "data": "D"},
                        "citations": {"enabled": False},
                    }
                )
            ],
            [{"role": "user", "content": "T\n\nC\n\nD"}],
        ),
        (
            [turn({"type": "document", "title": "T", "source": {"type": "content", "content": "D"}})],
            [{"role": "user", "content": [text("T"), text("D")]}],
        ),
        (
            [
                turn(
                    {
                        "type": "document",
                        "source": {"type": "content", "content": [text("D"), {"type": "image", "source": PNG}]},
                    }
                )
            ],
            [{"role": "user", "content": [text("D"), PNG_PART]}],
        ),
        (
            [turn({"type": "search_result", "source": "https://x", "title": "T", "content": [text("a"), text("b")]})],
            [{"role": "user", "content": "T\n\nhttps://x\n\na\n\nb"}],
        ),
        ([turn(text("Hi"), role="assistant")], [{"role": "assistant", "content": "Hi"}]),
        ([turn(role="assistant")], [{"role": "assistant", "content": ""}]),
        (
            [turn(text("Hi", citations=None), text("there", citations=[{"url": "x"}]), role="assistant")],
            [{"role": "assistant", "content": [text("Hi"), text("there")]}],
        ),
        ([turn(text("Later", **CACHED), role="system")], [{"role": "system", "content": [text("Later", **CACHED)]}]),
    ],
    ids=repr,
)
def test_a_turn_becomes_messages(turns, messages):
    assert canonical(*turns) == messages


def test_the_system_prompt_is_the_first_message():
    assert canonical(USER, system="Be brief.") == [{"role": "system", "content": "Be brief."}, USER]
    assert canonical(USER, system=[text("a"), text("b", **CACHED)])[0]["content"] == [text("a"), text("b", **CACHED)]
    assert canonical(USER, system="") == [USER]


def test_calls_of_tools_become_tool_calls():
    used = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1, "ü"]}, "caller": {"type": "direct"}}
    again = {"type": "tool_use", "id": "t2", "name": "g", "input": {}, **CACHED}
    (message,) = canonical(turn(used, again, role="assistant"))

    assert message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":[1,"ü"]}'}},
            {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}, **CACHED},
        ],
    }


def test_results_of_tools_become_messages_before_any_text_of_their_turn():
    found = canonical(
        turn(
            text("And now?"),
            {"type": "tool_result", "tool_use_id": "t1", "content": "4"},
            {"type": "tool_result", "tool_use_id": "t2", "content": [text("no"), {"type": "image", "source": PNG}],
             "is_error": True},
            {"type": "tool_result", "tool_use_id": "t3", "is_error": False},
            {"type": "tool_result", "tool_use_id": "t4", "content": "x", **CACHED},
            {"type": "tool_result", "tool_use_id": "t5", "content": [text("a"), text("b")], **CACHED},
        )
    )  # fmt: skip

    assert found == [
        {"role": "tool", "tool_call_id": "t1", "content": "4"},
        {"role": "tool", "tool_call_id": "t2", "content": [text("no"), PNG_PART], "is_error": True},
        {"role": "tool", "tool_call_id": "t3", "content": ""},
        {"role": "tool", "tool_call_id": "t4", "content": [text("x", **CACHED)]},
        {"role": "tool", "tool_call_id": "t5", "content": [text("a"), text("b", **CACHED)]},
        {"role": "user", "content": "And now?"},
    ]


def thinking(words, signature):
    return {"type": "thinking", "thinking": words, "signature": signature}


def test_signed_reasoning_goes_back_as_it_came_and_unsigned_as_text():
    redacted = {"type": "redacted_thinking", "data": "xyz"}
    (signed,) = canonical(turn(thinking("a", "s"), redacted, thinking("b", ""), text("Hi"), role="assistant"))
    (unsigned,) = canonical(turn(thinking("a", ""), thinking("b", ""), text("Hi"), role="assistant"))

    assert signed == {
        "role": "assistant",
        "content": "Hi",
        "reasoning_details": [thinking("a", "s"), redacted, thinking("b", "")],
    }
    assert unsigned == {"role": "assistant", "content": "Hi", "reasoning_content": "a\n\nb"}


def used(call_id):
    return {"type": "tool_use", "id": call_id, "name": "f", "input": {}}


def test_what_was_thought_between_texts_stays_between_them():
    hidden = {"type": "redacted_thinking", "data": "xyz"}
    blocks = [thinking("a", "s"), text("A"), hidden, thinking("b", "t"), text("B"), used("t1"), thinking("c", "u")]
    first, second = canonical(turn(*blocks, role="assistant"))

    assert (first["content"], first["reasoning_details"]) == ("A", [thinking("a", "s")])
    assert (second["content"], second["reasoning_details"]) == ("B", [hidden, thinking("b", "t"), thinking("c", "u")])
    assert [call["id"] for call in second["tool_calls"]] == ["t1"]


def test_what_nobody_signed_and_signatures_of_what_was_said_split_no_message():
    carried = {"type": "redacted_thinking", "data": 'parley:thought_signature:["s","t1"]'}
    (message,) = canonical(turn(text("A"), thinking("a", ""), text("B"), carried, used("t1"), role="assistant"))

    assert message["content"] == [text("A"), text("B")]
    assert message["reasoning_details"][1] == {"type": "thought_signature", "signature": "s", "tool_call_id": "t1"}


@pytest.mark.parametrize("rest", ["", '["a"]', "[1,2]", '["a",1]', '"ab"', '{"a":1,"b":2}'])
def test_redacted_data_that_only_looks_like_ours_stays_what_it_is(rest):
    block = {"type": "redacted_thinking", "data": f"parley:thought_signature:{rest}"}

    assert canonical(turn(block, role="assistant"))[0]["reasoning_details"] == [block]


@pytest.mark.parametrize(
    ("last", "marked"),
    [
        (USER, {"role": "user", "content": [text("Hello", cache_control={"type": "ephemeral"})]}),
        (
            turn(text("a"), text("b")),
            {"role": "user", "content": [text("a"), text("b", cache_control={"type": "ephemeral"})]},
        ),
        (turn(text("a", **CACHED)), {"role": "user", "content": [text("a", **CACHED)]}),
        ({"role": "assistant", "content": ""}, {"role": "assistant", "content": ""}),
    ],
    ids=repr,
)
def test_the_marker_of_the_request_belongs_to_its_last_block(last, marked):
    assert canonical(last, cache_control={"type": "ephemeral", "scope": "global"}) == [marked]


def test_the_marker_of_the_request_may_belong_to_a_call():
    used = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    (message,) = canonical(turn(text("a"), used, role="assistant"), cache_control={"type": "ephemeral"})

    assert message["tool_calls"][0]["cache_control"] == {"type": "ephemeral"}
    assert message["content"] == "a"


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────

FORMAT = {"type": "json_schema", "schema": {"type": "object", "api_base": {}}}
AS_FORMAT = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "output", "schema": FORMAT["schema"], "strict": True},
    }
}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"temperature": 0, "top_p": 1.0, "top_k": 0}, {"temperature": 0, "top_p": 1.0, "top_k": 0}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop_sequences": []}, {}),
        ({"tools": []}, {}),
        (
            {"tools": [{**TOOL, "type": "custom", "strict": True, **CACHED}]},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "f",
                            "description": "Does f.",
                            "strict": True,
                            "parameters": TOOL["input_schema"],
                        },
                        **CACHED,
                    }
                ]
            },
        ),
        ({"tool_choice": {"type": "auto"}}, {"tool_choice": "auto"}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        (
            {"tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": False},
        ),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": False}}, {"tool_choice": "auto"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1_024, "display": "summarized"}},
            {"thinking": {"type": "enabled", "budget_tokens": 1_024, "display": "summarized"}},
        ),
        (
            {"thinking": {"type": "adaptive", "display": "omitted", "block_binding": None}},
            {"thinking": {"type": "adaptive", "display": "omitted"}},
        ),
        ({"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}),
        ({"thinking": {"type": "adaptive", "display": None}}, {"thinking": {"type": "adaptive"}}),
        ({"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}),
        ({"output_config": {"format": FORMAT, "effort": None}}, AS_FORMAT),
        ({"output_format": FORMAT}, AS_FORMAT),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"metadata": {"user_id": None}}, {}),
        ({"metadata": {}}, {}),
        ({"service_tier": "auto"}, {}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"speed": "standard", "fallbacks": "default", "diagnostics": {"previous_message_id": None}}, {}),
        (
            {
                "context_management": {
                    "edits": [
                        {"type": "clear_thinking_20251015", "keep": "all"},
                        {"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 1}},
                        {
                            "type": "clear_tool_uses_20250919",
                            "trigger": {"type": "input_tokens", "value": 30_000},
                            "keep": {"type": "tool_uses", "value": 3},
                            "clear_at_least": {"type": "input_tokens", "value": 5_000},
                            "exclude_tools": ["f"],
                            "clear_tool_inputs": False,
                        },
                    ]
                }
            },
            {},
        ),
        (dict.fromkeys([*ASKED, *sorted(UNSUPPORTED)]), {}),
    ],
    ids=repr,
)
def test_a_parameter_becomes_an_option_under_the_name_that_all_providers_share(given, wanted):
    assert options(**given) == wanted


def test_the_model_and_the_kind_of_answer_are_read():
    assert message_request(ASK).order.models == ("acme/large",)
    assert not message_request(ASK).streamed
    assert message_request({**ASK, "stream": True}).streamed


def test_a_format_is_given_under_one_of_its_names():
    with pytest.raises(InvalidRequest) as refused:
        options(output_format=FORMAT, output_config={"format": FORMAT})

    assert refused.value.param == "output_format"


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_a_feature_that_a_gateway_cannot_have_is_refused_by_name(name):
    for check, body in ((message_request, ASK), (count_request, {"model": "a", "messages": [USER]})):
        with pytest.raises(UnsupportedParameter) as refused:
            check({**body, name: [{}]})

        assert refused.value.param == name


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("model", None, "model"),
        ("model", "a b", "model"),
        ("max_tokens", None, "max_tokens"),
        ("max_tokens", 0, "max_tokens"),
        ("max_tokens", 1.0, "max_tokens"),
        ("messages", [], "messages"),
        ("messages", None, "messages"),
        ("messages", [{"role": "root", "content": "a"}], "messages.0.role"),
        ("messages", [{"role": "user"}], "messages.0.content"),
        ("messages", [turn()], "messages.0.content"),
        ("messages", [turn({"type": "thinking", "thinking": "", "signature": ""})], "messages.0.content.0.type"),
        ("messages", [turn({"type": "container_upload", "file_id": "f"})], "messages.0.content.0.type"),
        ("messages", [turn({"type": "server_tool_use"}, role="assistant")], "messages.0.content.0.type"),
        (
            "messages",
            [turn({"type": "image", "source": {"type": "file", "file_id": "file_1"}})],
            "messages.0.content.0.source.type",
        ),
        (
            "messages",
            [turn({"type": "image", "source": {"type": "url", "url": "http://10.0.0.1/a.png"}})],
            "messages.0.content.0.source.url",
        ),
        (
            "messages",
            [turn({"type": "image", "source": {**PNG, "media_type": "image/svg+xml"}})],
            "messages.0.content.0.source.media_type",
        ),
        (
            "messages",
            [turn({"type": "document", "source": {"type": "url", "url": "https://x"}})],
            "messages.0.content.0.source.type",
        ),
        (
            "messages",
            [turn({"type": "document", "source": PDF, "citations": {"enabled": True}})],
            "messages.0.content.0.citations.enabled",
        ),
        (
            "messages",
            [
                turn(
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "document", "source": PDF}]},
                )
            ],
            "messages.0.content.0.content.0.source.type",
        ),
        (
            "messages",
            [turn({"type": "tool_use", "id": "t", "name": "f", "input": "{}"}, role="assistant")],
            "messages.0.content.0.input",
        ),
        (
            "messages",
            [
                turn(
                    {
                        "type": "tool_use",
                        "id": "t",
                        "name": "f",
                        "input": {},
                        "caller": {"type": "code_execution_20250825", "tool_id": "x"},
                    },
                    role="assistant",
                )
            ],
            "messages.0.content.0.caller.type",
        ),
        ("system", [{"type": "image", "source": PNG}], "system.0.type"),
        ("temperature", 1.5, "temperature"),
        ("temperature", True, "temperature"),
        ("top_k", 1.5, "top_k"),
        ("stop_sequences", "a", "stop_sequences"),
        ("stop_sequences", [""], "stop_sequences.0"),
        ("stream", 1, "stream"),
        ("thinking", {"type": "enabled", "budget_tokens": 10}, "thinking.budget_tokens"),
        ("thinking", {"type": "between_tools"}, "thinking.type"),
        ("tools", [{"type": "web_search_20250305", "name": "web_search"}], "tools.0.type"),
        ("tools", [{"type": "bash_20250124", "name": "bash"}], "tools.0.type"),
        ("tools", [{"name": "f"}], "tools.0.input_schema"),
        ("tools", [{**TOOL, "defer_loading": True}], "tools.0.defer_loading"),
        ("tools", [{**TOOL, "allowed_callers": ["code_execution_20250825"]}], "tools.0.allowed_callers.0"),
        ("tools", [{**TOOL, "input_examples": [{}]}], "tools.0.input_examples"),
        ("tool_choice", "auto", "tool_choice"),
        ("tool_choice", {"type": "tool"}, "tool_choice.name"),
        ("metadata", {"team": "x"}, "metadata.team"),
        ("service_tier", "priority", "service_tier"),
        ("output_config", {"task_budget": {"type": "tokens", "total": 1}}, "output_config.task_budget"),
        ("context_management", {"edits": [{"type": "compact_20260112"}]}, "context_management.edits.0.type"),
        ("speed", "fast", "speed"),
        ("fallbacks", [{"model": "b"}], "fallbacks"),
        ("cache_control", {"type": "ephemeral", "ttl": "2h"}, "cache_control.ttl"),
        ("n", 2, "n"),
        ("top_logprobs", None, "top_logprobs"),
        ("__proto__", {}, "__proto__"),
    ],
    ids=repr,
)
def test_anything_else_is_refused_by_the_path_of_its_field(field, value, param):
    with pytest.raises(InvalidRequest) as refused:
        message_request({**ASK, field: value})

    assert refused.value.param == param


@pytest.mark.parametrize("field", ["model", "messages", "max_tokens"])
def test_what_is_required_is_missed_by_name(field):
    with pytest.raises(InvalidRequest) as refused:
        message_request({name: value for name, value in ASK.items() if name != field})

    assert refused.value.param == field


@pytest.mark.parametrize("body", [None, [], "text", 1, True])
def test_a_body_that_is_no_object_is_no_request(body):
    with pytest.raises(InvalidRequest):
        message_request(body)


def test_more_than_2000_turns_have_an_error_of_their_own():
    assert len(canonical(*[USER] * 2_000)) == 2_000
    with pytest.raises(TooManyMessages):
        canonical(*[USER] * 2_001)


NAMES = ["api_base", "base_url", "api_key", "custom_host", "extra_headers", "webhook", "callback_url", "authorization"]
EVERYTHING = {
    **ASK,
    "system": [text("s", **CACHED)],
    "messages": [
        turn(
            text("a"),
            {"type": "image", "source": PNG, "transformations": {"oversized_image": "downsize"}},
            {"type": "image", "source": {"type": "url", "url": "https://x/a"}},
            {"type": "document", "source": PDF, "citations": {"enabled": False}},
            {"type": "document", "source": {"type": "content", "content": [text("x")]}},
            {"type": "search_result", "source": "s", "title": "t", "content": [text("x")]},
            {"type": "tool_result", "tool_use_id": "t", "content": [text("4")]},
        ),
        turn(
            thinking("a", "s"),
            {"type": "redacted_thinking", "data": "d"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}},
            role="assistant",
        ),
        turn(text("s"), role="system"),
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "auto"},
    "thinking": {"type": "enabled", "budget_tokens": 1_024, "block_binding": {}},
    "metadata": {},
    "output_config": {"format": FORMAT},
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919", "keep": {"type": "t", "value": 1}}]},
    "diagnostics": {},
}
FREE = {"input_schema", "input", "schema"}
"""Documented as anybody's own."""


def planted(value, foreign, depth=0):
    """`value` with one foreign member more, at every object in it, one place at a time."""
    if isinstance(value, dict):
        yield {**value, **foreign}, depth
        for key, inner in value.items():
            if key not in FREE:
                yield from (({**value, key: changed}, deep) for changed, deep in planted(inner, foreign, depth + 1))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from (
                ([*value[:at], changed, *value[at + 1 :]], deep) for changed, deep in planted(inner, foreign, depth + 1)
            )


@pytest.mark.parametrize("name", NAMES)
def test_no_destination_credential_or_callback_is_taken_at_any_depth(name):
    message_request(EVERYTHING)
    bodies = [*planted(EVERYTHING, {name: "http://127.0.0.1:9/"}), *planted(EVERYTHING, {"x": {name: [{name: 1}]}})]

    assert {depth for _, depth in bodies} >= {0, 1, 2, 3, 4}
    assert len(bodies) > 60
    for body, _ in bodies:
        with pytest.raises(UnknownField) as refused:
            message_request(body)
        assert refused.value.param.rpartition(".")[2] in {name, "x"}


# ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_count_takes_what_the_model_reads_and_nothing_else():
    order = count_request({"model": "a", "messages": [USER], "system": "s", "tools": [TOOL], "thinking": None})

    assert order.models == ("a",)
    assert order.messages == [{"role": "system", "content": "s"}, USER]
    assert list(order.options) == ["tools"]
    for field in ("max_tokens", "stream", "temperature", "metadata"):
        with pytest.raises(UnknownField):
            count_request({"model": "a", "messages": [USER], field: 1})


@pytest.mark.parametrize(
    ("option", "field"), [("stop", "stop_sequences"), ("user", "metadata.user_id"), ("top_k", "top_k")]
)
def test_an_option_that_is_refused_later_is_named_as_the_client_wrote_it(option, field):
    error = in_our_words(UnsupportedParameter(f"acme does not document the parameter {option}.", param=option))

    assert error.param == field
    assert "acme" in error.message
    assert field in error.message


def test_checking_and_converting_a_usual_body_is_cheap():
    body = {**ASK, "messages": [turn(text("Hello"))] * 10, "system": [text("s", **CACHED)], "temperature": 0.7}
    best = min(_seconds(body) for _ in range(5))

    assert best < 600e-6  # about 40 µs where it was written; slow and busy machines must pass too


def _seconds(body):
    body = json.loads(json.dumps(body))
    began = time.process_time()
    for _ in range(200):
        message_request(body)
    return (time.process_time() - began) / 200

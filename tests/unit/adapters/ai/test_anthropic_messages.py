import json

import orjson
import pytest

from adapters.ai.anthropic_messages import system_of, turns_of
from domain.errors import InvalidRequest, UnsupportedParameter
from tests.conversations import PIXEL

MARKER = {"type": "ephemeral", "ttl": "1h"}
HI = {"role": "user", "content": "hi"}
HI_BLOCK = {"type": "text", "text": "hi"}


def turns(*messages: dict) -> list:
    return json.loads(orjson.dumps(turns_of(messages)))


def blocks(*parts: dict) -> list:
    return turns({"role": "user", "content": list(parts)})[0]["content"]


def calls(*ids: str) -> dict:
    made = [{"id": name, "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}} for name in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(call_id: str, content: object = "ok", **fields: object) -> dict:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **fields}


def test_all_system_messages_are_the_system_prompt_in_their_order_with_their_markers():
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": MARKER}]},
        HI,
        {"role": "developer", "content": "b"},
        {"role": "system", "content": "  "},
    ]

    assert system_of(messages) == [
        {"type": "text", "text": "a", "cache_control": MARKER},
        {"type": "text", "text": "b"},
    ]
    assert turns(*messages) == [{"role": "user", "content": [HI_BLOCK]}]


def test_turns_of_the_same_role_are_one():
    assert turns(HI, HI, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}, HI) == [
        {"role": "user", "content": [HI_BLOCK, HI_BLOCK]},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [HI_BLOCK]},
    ]


def test_results_of_parallel_calls_are_one_turn_and_come_before_what_was_said():
    made = turns(HI, calls("a", "b"), HI, result("a"), result("b", "boom", is_error=True))

    assert [turn["role"] for turn in made] == ["user", "assistant", "user"]
    assert made[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "ok"}]},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "boom"}], "is_error": True},
        HI_BLOCK,
    ]


def test_a_result_may_be_empty_or_have_pictures():
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    made = turns(HI, calls("a", "b"), result("a", ""), result("b", [picture]))[2]["content"]

    assert "content" not in made[0]
    assert made[1]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    ]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"n": 12345678901234567890123}', '{"n": 12345678901234567890123}'),
        ("", "{}"),
        (" ", "{}"),
        ("[1]", '{"invalid_json":"[1]"}'),
        ('{"half', '{"invalid_json":"{\\"half"}'),
    ],
)
def test_the_input_of_a_call_is_always_an_object_and_its_numbers_stay_exact(arguments, sent):
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    made = turns_of([{"role": "assistant", "tool_calls": [call]}])[0]["content"][0]

    assert orjson.dumps(made["input"]).decode() == sent


def test_ids_of_other_providers_become_ids_that_are_accepted_and_stay_apart():
    made = turns(HI, calls("functions.f:0", "functions_f:0", "a-b_C"), result("functions.f:0"))
    ids = [block["id"] for block in made[1]["content"]]

    assert ids == ["functions_2e_f_3a_0", "functions_f_3a_0", "a-b_C"]
    assert made[2]["content"][0]["tool_use_id"] == ids[0]


def test_reasoning_goes_back_first_in_order_and_unchanged_but_only_with_its_proof():
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    hidden = {"type": "redacted_thinking", "data": "d"}
    foreign = [{"type": "thought_signature", "signature": "g"}, {"type": "thinking", "thinking": "x", "signature": ""}]
    message = {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "hm",
        "reasoning_details": [hidden, *foreign, thought],
    }

    assert turns(HI, message)[1]["content"] == [hidden, thought, {"type": "text", "text": "a"}]


def test_a_signature_that_a_stream_told_without_its_text_goes_back_with_it():
    signature = {"type": "thinking", "index": 0, "signature": "s"}
    message = {"role": "assistant", "content": "a", "reasoning_content": "hm", "reasoning_details": [signature]}
    other = {**signature, "index": 1, "signature": "s2"}

    assert turns(HI, message)[1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "s"}
    unclear = turns(HI, {**message, "reasoning_details": [signature, other]})[1]["content"]
    assert [block.get("thinking") for block in unclear] == ["", "", None]


def test_a_refusal_is_something_that_was_said():
    assert turns(HI, {"role": "assistant", "content": None, "refusal": "No."})[1]["content"] == [
        {"type": "text", "text": "No."}
    ]
    part = {"type": "refusal", "refusal": "No."}
    assert turns(HI, {"role": "assistant", "content": [part]})[1]["content"] == [{"type": "text", "text": "No."}]


def test_pictures_are_sent_along_or_fetched_by_the_provider():
    inside = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}, "cache_control": MARKER}
    outside = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}

    assert blocks(inside, outside) == [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
            "cache_control": MARKER,
        },
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    ]


def test_files_are_documents():
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}}
    text = {"type": "file", "file": {"file_data": "data:text/csv;charset=utf-8;base64,w7w="}}

    assert blocks(pdf, text) == [
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "ü"}},
    ]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_audio", "input_audio": {}}, "messages.0.content.0"),
        ({"type": "video_url", "video_url": {"url": "https://a"}}, "messages.0.content.0"),
        (
            {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA=="}},
            "messages.0.content.0.image_url.url",
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/zip;base64,AA=="}},
            "messages.0.content.0.file.file_data",
        ),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "messages.0.content.0.file.file_data"),
    ],
)
def test_what_it_cannot_read_is_refused_by_its_place(part, param):
    with pytest.raises(UnsupportedParameter) as caught:
        blocks(part)

    assert caught.value.param == param


@pytest.mark.parametrize("url", ["http://example.org/a.png", "data:image/png,x", "data:image/png;base64,", "x"])
def test_a_picture_without_a_usable_address_is_invalid(url):
    with pytest.raises(InvalidRequest, match=r"messages\.0\.content\.0\.image_url\.url"):
        blocks({"type": "image_url", "image_url": {"url": url}})


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages.0.role"),
        ({"role": "assistant", "function_call": {"name": "f", "arguments": ""}}, "messages.0.function_call"),
        ({"role": "assistant", "audio": {"id": "a"}}, "messages.0.audio"),
        ({"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {}}]}, "messages.0.tool_calls.0"),
    ],
)
def test_messages_that_have_no_place_are_refused_by_theirs(message, param):
    with pytest.raises(UnsupportedParameter) as caught:
        turns(message)

    assert caught.value.param == param


@pytest.mark.parametrize("content", ["", "  ", [{"type": "text", "text": "\n"}]])
def test_a_conversation_of_nothing_is_invalid(content):
    with pytest.raises(InvalidRequest):
        turns({"role": "system", "content": "s"}, {"role": "user", "content": content})


def test_a_turn_of_nothing_is_left_out():
    assert turns({"role": "user", "content": ""}, {"role": "assistant", "content": "a"}, HI)[0]["role"] == "assistant"

import base64
import json
from typing import Any

import pytest

from domain import texts

SECRET, GONE = "tok-12345", "[gone]"


def change(text: str) -> str:
    return text.replace(SECRET, GONE) if SECRET in text else text


def a_file(text: str, head: str = "data:text/plain;base64") -> dict[str, Any]:
    return {
        "type": "file",
        "file": {"filename": "a.txt", "file_data": f"{head},{base64.b64encode(text.encode()).decode()}"},
    }


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": f'{{"key": "{SECRET}"}}'}}


@pytest.mark.parametrize(
    "said",
    [
        {"content": f"It is {SECRET}."},
        {"content": [{"type": "text", "text": SECRET}, 7]},
        {"content": [{"type": "refusal", "refusal": SECRET}]},
        {"content": [{"file": {"filename": SECRET}}]},
        {"content": [{"file": {"file_data": f"data:text/plain,{SECRET}"}}]},
        {"content": [{"image_url": {"url": f"https://a.example/{SECRET}"}}]},
        {"content": None, "refusal": SECRET},
        {"tool_calls": [CALL, {"function": {"arguments": 1}}, "odd"]},
        {"tool_calls": [{"function": {"name": SECRET}}]},
        {"tool_calls": [{"type": "custom", "custom": {"input": SECRET}}]},
        {"function_call": {"name": "f", "arguments": SECRET}},
        {"name": SECRET},
        {"reasoning_content": SECRET},
        {"annotations": [{"url_citation": {"title": SECRET}}]},
        {"audio": {"transcript": SECRET}},
        {"what_is_new": {"deep": [SECRET]}},
    ],
    ids=str,
)
def test_whatever_a_model_reads_of_a_message_is_a_text(said: dict[str, Any]):
    shown = json.loads(json.dumps(said).replace(SECRET, GONE))

    assert texts.message({"role": "user", **said}, change) == {"role": "user", **shown}


@pytest.mark.parametrize("kind", ["text/plain", "TEXT/markdown", " text/plain", "text/plain;charset=utf-8;name=a,b"])
def test_a_document_of_plain_text_is_a_text(kind: str):
    head = f"data:{kind};base64"

    assert texts.message({"content": [a_file(SECRET, head)]}, change) == {"content": [a_file(GONE, head)]}


def test_a_document_of_text_is_looked_at_although_a_letter_of_it_is_broken():
    broken = base64.b64encode(b"\xff" + SECRET.encode()).decode()
    said = {
        "content": [{"type": "file", "file": {"filename": "a.txt", "file_data": f"data:text/plain;base64,{broken}"}}]
    }

    assert texts.message(said, change) == {"content": [a_file(f"\ufffd{GONE}")]}


@pytest.mark.parametrize(
    "sealed",
    [
        {"content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{SECRET}"}}]},
        {"content": [{"type": "input_audio", "input_audio": {"data": SECRET, "format": "wav"}}]},
        {"content": [a_file(SECRET, "data:application/pdf;base64")]},
        {"content": [{"file": {"file_data": f"data:text/plain;base64,{SECRET}"}}]},
        {"content": [{"file": {"file_data": "data:text/plain;base64,/////w=="}}]},
        {"content": [{"file": {"file_data": "data:text/plain;base64,abcde"}}]},
        {"tool_call_id": SECRET, "tool_calls": [{"id": SECRET}]},
        {"reasoning_details": [{"type": "redacted_thinking", "data": SECRET}]},
    ],
)
def test_pictures_sounds_and_what_only_programs_read_are_left_alone(sealed: dict[str, Any]):
    assert texts.message(sealed, change) is sealed


def test_what_stays_as_it_is_is_not_copied():
    said = {"role": "user", "content": [{"type": "text", "text": "fine"}], "tool_calls": [CALL], "n": 1}

    assert texts.message(said, lambda text: text) is said


def test_what_is_escaped_in_the_arguments_of_a_tool_is_found_as_it_reads():
    escaped = json.dumps({"mail": SECRET}).replace("tok", "\\u0074ok")
    said = {"tool_calls": [{"function": {"arguments": escaped}}]}

    arguments = texts.message(said, change)["tool_calls"][0]["function"]["arguments"]

    assert json.loads(arguments) == {"mail": GONE}


def test_what_is_escaped_in_arguments_that_are_no_json_is_found_as_well():
    said = {"function_call": {"arguments": '{"mail": "\\u0074ok-12345'}}

    assert texts.message(said, change) == {"function_call": {"arguments": f'{{"mail": "{GONE}'}}


@pytest.mark.parametrize("arguments", ['{"half": "\\u00', "\\" + "[" * 100_000, '"\\n"'])
def test_arguments_that_are_no_json_or_hide_nothing_stay_as_they_are(arguments: str):
    said = {"function_call": {"arguments": arguments}}

    assert texts.message(said, change) is said


def test_a_thought_that_was_changed_is_not_signed_any_more_and_the_others_are():
    thoughts = [
        {"type": "thinking", "thinking": SECRET, "signature": "s1"},
        {"type": "thinking", "thinking": "fine", "signature": "s2"},
        SECRET,
    ]

    made = texts.message({"content": "fine", "reasoning_details": thoughts}, change)

    assert made["reasoning_details"] == [{"type": "thinking", "thinking": GONE}, thoughts[1], GONE]


def test_a_signature_that_came_without_its_text_goes_with_the_text_beside_it():
    alone = {"type": "thinking", "index": 0, "signature": "s1"}
    details = [alone, {"type": "thinking", "thinking": "fine", "signature": "s2"}, "fine"]

    changed = texts.message({"reasoning_content": SECRET, "reasoning_details": details}, change)
    same = texts.message({"content": SECRET, "reasoning_content": "fine", "reasoning_details": details}, change)

    assert changed["reasoning_details"] == [{"type": "thinking", "index": 0}, *details[1:]]
    assert same["reasoning_details"] == details


def test_names_are_texts_too():
    tool = {
        "type": "function",
        "function": {"name": SECRET, "parameters": {"properties": {SECRET: {"type": "string"}}}},
    }

    made = texts.rewritten([tool], change)

    assert SECRET not in repr(made)
    assert made[0]["function"]["parameters"]["properties"] == {GONE: {"type": "string"}}


def test_outside_of_messages_nothing_is_sealed():
    assert texts.rewritten({"data": SECRET, "id": SECRET}, change) == {"data": GONE, "id": GONE}


def test_the_words_of_the_shape_itself_are_nobodys_text():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "required": []}}}

    assert texts.rewritten(tool, lambda text: text if text == "f" else GONE) == tool

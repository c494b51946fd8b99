import json

import orjson
import pytest

from adapters.ai.gemini_contents import UNSIGNED, contents_of, system_of
from domain.errors import InvalidRequest, UnsupportedParameter
from tests.conversations import PIXEL

HI = {"role": "user", "content": "hi"}
HI_PART = {"text": "hi"}


def contents(*messages: dict, signed: bool = False) -> list:
    return json.loads(orjson.dumps(contents_of(messages, signed=signed)))


def parts(*given: dict) -> list:
    return contents({"role": "user", "content": list(given)})[0]["parts"]


def calls(*ids: str, **fields: object) -> dict:
    made = [{"id": name, "type": "function", "function": {"name": f"f_{name}", "arguments": "{}"}} for name in ids]
    return {"role": "assistant", "content": None, "tool_calls": made, **fields}


def result(call_id: str, content: object = "ok", **fields: object) -> dict:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **fields}


def test_turns_of_the_same_role_are_one_and_the_system_has_no_part_in_them():
    system = {"role": "system", "content": "s"}

    assert contents(system, HI, system, HI, {"role": "assistant", "content": "a"}) == [
        {"role": "user", "parts": [HI_PART, HI_PART]},
        {"role": "model", "parts": [{"text": "a"}]},
    ]
    assert system_of([system, HI]) == [{"text": "s"}]


def test_results_have_the_name_of_their_function_and_tell_of_failures():
    made = contents(HI, calls("a", "b"), result("a"), result("b", "boom", is_error=True))

    assert [content["role"] for content in made] == ["user", "model", "user"]
    assert made[1]["parts"][0] == {"functionCall": {"id": "a", "name": "f_a", "args": {}}}
    assert made[2]["parts"] == [
        {"functionResponse": {"id": "a", "name": "f_a", "response": {"output": "ok"}}},
        {"functionResponse": {"id": "b", "name": "f_b", "response": {"error": "boom"}}},
    ]


def test_a_result_may_have_pictures():
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    made = contents(calls("a"), result("a", [{"type": "text", "text": "see"}, picture]))

    assert made[1]["parts"][0]["functionResponse"] == {
        "id": "a",
        "name": "f_a",
        "response": {"output": "see"},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": PIXEL}}],
    }


def test_a_result_of_no_call_is_invalid():
    with pytest.raises(InvalidRequest) as caught:
        contents(HI, result("x"))

    assert caught.value.param == "messages.1.tool_call_id"


def test_signatures_go_back_to_where_they_came_from():
    details = [
        {"type": "thought_signature", "signature": "s1"},
        {"type": "thought_signature", "signature": "s2", "tool_call_id": "b"},
        {"type": "thinking", "thinking": "foreign", "signature": "x"},
    ]
    made = contents(HI, {**calls("a", "b", reasoning_details=details, reasoning_content="hm"), "content": "t"})

    assert made[1]["parts"] == [
        {"text": "t", "thoughtSignature": "s1"},
        {"functionCall": {"id": "a", "name": "f_a", "args": {}}},
        {"functionCall": {"id": "b", "name": "f_b", "args": {}}, "thoughtSignature": "s2"},
    ]


def test_a_signature_of_no_text_has_a_part_of_its_own():
    details = [{"type": "thought_signature", "signature": "s1"}]

    assert contents(HI, {"role": "assistant", "content": None, "reasoning_details": details})[1]["parts"] == [
        {"text": "", "thoughtSignature": "s1"}
    ]


def test_models_that_insist_on_a_signature_get_one_for_the_first_of_parallel_calls():
    signed, unsigned = contents(calls("a", "b"), signed=True)[0]["parts"]
    own = [{"type": "thought_signature", "signature": "s", "tool_call_id": "a"}]

    assert signed["thoughtSignature"] == UNSIGNED
    assert "thoughtSignature" not in unsigned
    assert contents(calls("a", reasoning_details=own), signed=True)[0]["parts"][0]["thoughtSignature"] == "s"
    assert "thoughtSignature" not in contents(calls("a"))[0]["parts"][0]


def test_what_is_sent_along_is_inline_data():
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}}
    audio = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}}
    video = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA=="}}

    assert parts(picture, pdf, audio, video) == [
        {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AA=="}},
        {"inlineData": {"mimeType": "video/mp4", "data": "AA=="}},
    ]


def test_what_has_an_address_is_fetched_by_the_provider():
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png?x=1"}}
    video = {"type": "video_url", "video_url": {"url": "https://www.youtube.com/watch?v=x"}}

    assert parts(picture, video) == [
        {"fileData": {"fileUri": "https://example.org/a.png?x=1", "mimeType": "image/png"}},
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}},
    ]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://example.org/picture", UnsupportedParameter),
        ("https://[bad", InvalidRequest),
        ("http://example.org/a.png", InvalidRequest),
        ("data:image/png,x", InvalidRequest),
    ],
)
def test_an_address_that_tells_too_little_is_refused_by_its_place(url, error):
    with pytest.raises(error) as caught:
        parts({"type": "image_url", "image_url": {"url": url}})

    assert caught.value.param == "messages.0.content.0.image_url.url"


def test_a_refusal_is_something_that_was_said():
    assert contents({"role": "assistant", "content": None, "refusal": "No."})[0]["parts"] == [{"text": "No."}]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages.0.role"),
        ({"role": "assistant", "audio": {"id": "a"}}, "messages.0.audio"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "messages.0.function_call"),
        ({"role": "user", "content": [{"type": "later"}]}, "messages.0.content.0"),
    ],
)
def test_messages_that_have_no_place_are_refused_by_theirs(message, param):
    with pytest.raises(UnsupportedParameter) as caught:
        contents(message)

    assert caught.value.param == param


def test_the_system_has_no_pictures():
    with pytest.raises(UnsupportedParameter, match=r"messages\.1\.content\.0"):
        system_of([HI, {"role": "system", "content": [{"type": "image_url"}]}])


def test_a_conversation_of_nothing_is_invalid():
    with pytest.raises(InvalidRequest):
        contents({"role": "system", "content": "s"}, {"role": "user", "content": " "})

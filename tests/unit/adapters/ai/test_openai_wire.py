import json

import pytest

from adapters.ai.openai_wire import decode, encode
from adapters.ai.profile import Profile
from adapters.ai.quirks import Quirks
from domain.completion import Prompt
from domain.errors import UnsupportedParameter
from domain.provider_errors import (
    ContentFiltered,
    ProviderError,
    UpstreamBadJson,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamTruncated,
)

PLAIN = Profile("acme", "http://acme.example/v1")
HELLO = Prompt("large", [{"role": "user", "content": "hi"}], {"temperature": 0.5})


def sent(prompt: Prompt, profile: Profile = PLAIN, *, stream: bool = False) -> dict:
    return json.loads(encode(prompt, profile, stream=stream))


def answer(**fields: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}
    return json.dumps({"model": "large-1", "choices": [choice], **fields}).encode()


def test_a_prompt_goes_out_as_it_came_in():
    assert sent(HELLO) == {"model": "large", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}


def test_a_stream_asks_for_its_usage():
    assert sent(HELLO, stream=True).items() >= {"stream": True, "stream_options": {"include_usage": True}}.items()


def test_a_provider_that_refuses_stream_options_gets_none():
    assert "stream_options" not in sent(HELLO, Profile("a", "http://a", refuses_stream_options=True), stream=True)


@pytest.mark.parametrize("given_field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("known", ["max_tokens", "max_completion_tokens"])
def test_the_output_limit_has_the_name_that_the_provider_knows(given_field, known):
    payload = sent(Prompt("m", [], {given_field: 7}), Profile("a", "http://a", max_tokens_field=known))

    assert payload == {"model": "m", "messages": [], known: 7}


def test_the_newer_output_limit_wins_over_the_older_one():
    prompt = Prompt("m", [], {"max_tokens": 9, "max_completion_tokens": 7})

    assert sent(prompt, Profile("a", "http://a", max_tokens_field="max_tokens"))["max_tokens"] == 7


@pytest.mark.parametrize("user", ["ann", "x" * 64])
def test_a_user_goes_out_by_its_name(user):
    assert sent(Prompt("m", [], {"user": user}))["user"] == user


def test_a_user_with_a_name_that_is_too_long_has_a_shorter_one_that_stays_the_same():
    first, again, other = (sent(Prompt("m", [], {"user": letter * 65}))["user"] for letter in "aab")

    assert len(first) == 64
    assert first == again != other


RESULT = {"role": "tool", "tool_call_id": "t1"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
SEEN = {"type": "text", "text": "seen"}
BELOW = {"type": "text", "text": "The user's next message shows the result."}


def test_images_of_tools_are_shown_by_the_user_after_all_results():
    other = {"role": "tool", "tool_call_id": "t2", "content": "none"}
    question = {"role": "user", "content": "and?"}
    sent_on = sent(Prompt("m", [{**RESULT, "content": [SEEN, IMAGE]}, other, question]))["messages"]

    assert sent_on == [{**RESULT, "content": [SEEN, BELOW]}, other, {"role": "user", "content": [IMAGE]}, question]


def test_images_of_the_last_result_are_shown_as_well():
    sent_on = sent(Prompt("m", [{**RESULT, "content": [IMAGE]}]))["messages"]

    assert sent_on == [{**RESULT, "content": [BELOW]}, {"role": "user", "content": [IMAGE]}]


@pytest.mark.parametrize("content", ["seen", [SEEN]])
def test_texts_of_tools_go_out_as_they_came_in(content):
    assert sent(Prompt("m", [{**RESULT, "content": content}]))["messages"] == [{**RESULT, "content": content}]


def test_a_provider_whose_tools_may_show_images_gets_them_where_they_are():
    message = {**RESULT, "content": [SEEN, IMAGE]}
    profile = Profile("a", "http://a", quirks=Quirks(tools_show=True))

    assert sent(Prompt("m", [message]), profile)["messages"] == [message]


def test_an_answer_becomes_a_completion():
    completion = decode(answer(system_fingerprint="fp", service_tier=None, provider_secret="x"), HELLO, PLAIN)

    assert (completion.text, completion.finish, completion.model) == ("pong", "stop", "large-1")
    assert completion.extra == {"system_fingerprint": "fp"}
    assert completion.usage is None


def test_documented_members_of_choices_pass_and_all_others_are_left_out():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    custom = {"id": "d", "type": "custom", "custom": {"name": "g", "input": "x"}}
    choices = [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": [call, custom], "refusal": None},
            "finish_reason": "tool_calls",
        },
        {
            "index": 1,
            "message": {"role": "assistant", "content": "b"},
            "finish_reason": "stop",
            "logprobs": {"content": []},
        },
    ]
    more = {"execute": "alert(1)"}
    foreign = [{**choice, "message": {**choice["message"], **more}, **more} for choice in choices]
    foreign[0]["message"] |= {"tool_calls": [{**call, **more, "index": 0}, {**custom, **more}]}

    completion = decode(answer(choices=foreign), HELLO, PLAIN)

    assert completion.choices == choices
    assert (completion.text, completion.finish) == ("", "tool_calls")


def test_calls_without_ids_of_their_own_get_some():
    calls = [{"function": {"name": "f", "arguments": given}} for given in ({"a": 1}, None, "{}")]
    message = {"content": None, "tool_calls": [*calls, {"id": "x", **calls[2]}, {"id": "x", **calls[2]}, 7]}
    choice = {"message": message, "finish_reason": "stop", "logprobs": 3}
    prompt = Prompt("large", [], request_id="req_9")

    (settled,) = decode(answer(choices=[choice]), prompt, PLAIN).choices
    found = settled["message"]["tool_calls"]
    assert [call["id"] for call in found] == ["call_9_0_0", "call_9_0_1", "call_9_0_2", "x", "call_9_0_4"]
    assert [call["function"]["arguments"] for call in found] == ['{"a":1}', "", "{}", "{}", "{}"]
    assert {call["type"] for call in found} == {"function"}
    assert (settled["index"], settled.keys()) == (0, {"index", "message", "finish_reason"})


def test_choices_that_are_none_are_left_out():
    whole = {"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": 5}
    completion = decode(answer(choices=[{"index": 1, "message": 3}, whole]), HELLO, PLAIN)

    assert completion.choices == [{**whole, "finish_reason": None}]
    assert (completion.text, completion.finish) == ("pong", "stop")


MARK = {"cache_control": {"type": "ephemeral"}}
BREAK = {"prompt_cache_breakpoint": {"mode": "explicit"}}
FUNCTION = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(("keeps", "mark"), [("cache_control", MARK), ("prompt_cache_breakpoint", BREAK)])
@pytest.mark.parametrize("kept", [True, False])
def test_a_mark_of_what_is_to_be_cached_goes_to_those_who_document_it_wherever_it_stands(keeps, mark, kept):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", **mark}]
    messages = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [{**call, **mark}]},
    ]
    profile = Profile("a", "http://a", quirks=Quirks(keeps=frozenset({keeps} if kept else ())))

    body = sent(Prompt("m", messages, {"tools": [{**FUNCTION, **mark}, FUNCTION]}), profile)
    assert (keeps in body["messages"][0]["content"][1]) is kept
    assert (keeps in body["messages"][1]["tool_calls"][0]) is kept
    assert (keeps in body["tools"][0]) is kept
    assert body["tools"][1] == FUNCTION
    assert parts[1].keys() >= mark.keys(), "the caller's own message stays as it is"


def test_an_answer_that_is_sent_back_goes_out_without_what_only_answers_have():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    nulls = dict.fromkeys(("audio", "function_call", "refusal"))
    back = {"role": "assistant", "content": None, **nulls, "annotations": [], "tool_calls": [{**call, "index": 0}]}
    (message,) = sent(Prompt("m", [back]))["messages"]

    assert message == {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.parametrize(
    "told",
    [
        {"reasoning": "hm"},
        {"reasoning": "x", "reasoning_content": "hm"},
        {"reasoning_details": [{"type": "thinking", "thinking": "h"}, {"type": "thinking", "thinking": "m"}]},
        {"reasoning_details": [{"type": "thought_signature", "signature": "s"}], "reasoning_content": "hm"},
    ],
)
def test_reasoning_that_was_told_in_other_words_goes_back_as_text(told):
    (message,) = sent(Prompt("m", [{"role": "assistant", "content": "a", **told}]))["messages"]

    assert message == {"role": "assistant", "content": "a", "reasoning_content": "hm"}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"type": "enabled", "budget_tokens": 2048, "display": "omitted"}, {"type": "enabled"}),
        ({"type": "disabled"}, {"type": "disabled"}),
        ({"type": "adaptive", "display": "summarized"}, None),
    ],
)
def test_a_wish_to_think_is_on_or_off(asked, told):
    assert sent(Prompt("m", [], {"thinking": asked})).get("thinking") == told


def test_a_wish_to_think_that_is_no_object_is_refused_by_name():
    with pytest.raises(UnsupportedParameter) as refused:
        encode(Prompt("m", [], {"thinking": "hard"}), PLAIN, stream=False)
    assert refused.value.param == "thinking"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"choices": []}',
        b'{"choices": [1]}',
        b'{"choices": {"0": 1}}',
        b'{"choices": [{"message": "text"}]}',
        b'{"choices": [{"index": 0, "message": {"content": "half',
        answer(vendor=json.loads("[" * 100 + "]" * 100)),
        b'{"choices": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"a": "' + b"\xff" + b'"}',
    ],
)
def test_what_is_no_answer_is_bad_json(body):
    with pytest.raises(UpstreamBadJson):
        decode(body, HELLO, PLAIN)


def test_brackets_inside_text_are_not_depth():
    choice = {"index": 0, "message": {"role": "assistant", "content": "[" * 500}, "finish_reason": "stop"}

    assert decode(answer(choices=[choice]), HELLO, PLAIN).text == "[" * 500


@pytest.mark.parametrize(
    ("finish", "error"),
    [("error", UpstreamFailed), ("abort", UpstreamTruncated), ("insufficient_system_resource", UpstreamOverloaded)],
)
def test_a_finish_reason_that_tells_of_a_failure_is_one(finish, error):
    choice = {"index": 0, "message": {"role": "assistant", "content": "half"}, "finish_reason": finish}

    with pytest.raises(error):
        decode(answer(choices=[choice]), HELLO, PLAIN)


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"message": "Backend died", "code": 502}, UpstreamFailed),
        ({"message": "No", "code": "content_filter"}, ContentFiltered),
        ("just text", ProviderError),
    ],
)
def test_an_error_inside_an_answer_is_raised(told, error):
    with pytest.raises(error):
        decode(answer(error=told), HELLO, PLAIN)


def test_an_empty_error_member_is_none():
    assert decode(answer(error=None), HELLO, PLAIN).text == "pong"

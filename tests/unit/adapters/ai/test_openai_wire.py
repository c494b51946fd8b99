import json

import pytest

from adapters.ai.openai_wire import decode, encode
from adapters.ai.profile import Profile
from domain.completion import Prompt
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


def test_an_answer_becomes_a_completion():
    completion = decode(answer(system_fingerprint="fp", service_tier=None, provider_secret="x"))

    assert (completion.text, completion.finish, completion.model) == ("pong", "stop", "large-1")
    assert completion.extra == {"system_fingerprint": "fp"}
    assert completion.usage is None


def test_choices_pass_through_unchanged():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    choices = [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "tool_calls": [call]},
            "finish_reason": "tool_calls",
        },
        {
            "index": 1,
            "message": {"role": "assistant", "content": "b"},
            "finish_reason": "stop",
            "logprobs": {"content": []},
        },
    ]

    completion = decode(answer(choices=choices))

    assert completion.choices == choices
    assert (completion.text, completion.finish) == ("", "tool_calls")


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
        decode(body)


def test_brackets_inside_text_are_not_depth():
    choice = {"index": 0, "message": {"role": "assistant", "content": "[" * 500}, "finish_reason": "stop"}

    assert decode(answer(choices=[choice])).text == "[" * 500


@pytest.mark.parametrize(
    ("finish", "error"),
    [("error", UpstreamFailed), ("abort", UpstreamTruncated), ("insufficient_system_resource", UpstreamOverloaded)],
)
def test_a_finish_reason_that_tells_of_a_failure_is_one(finish, error):
    choice = {"index": 0, "message": {"role": "assistant", "content": "half"}, "finish_reason": finish}

    with pytest.raises(error):
        decode(answer(choices=[choice]))


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
        decode(answer(error=told))


def test_an_empty_error_member_is_none():
    assert decode(answer(error=None)).text == "pong"

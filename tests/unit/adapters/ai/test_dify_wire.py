import json

import pytest

from adapters.ai.dify_question import Question
from adapters.ai.dify_wire import decode, encode
from domain import errors, provider_errors
from domain.completion import Prompt
from domain.usage import Source, Usage

PROMPT = Prompt("app", [{"role": "user", "content": "Hello"}], user="usr_1")
ANSWER = {"event": "message", "answer": "Hi", "conversation_id": "c-1", "metadata": {}}


def encoded(prompt=PROMPT, *, stream=False):
    return json.loads(encode(Question("Hello", [], "c-1"), [{"type": "image"}], prompt, stream=stream))


def decoded(**fields):
    return decode(json.dumps({**ANSWER, **fields}).encode(), PROMPT)


def test_a_question_has_everything_that_dify_documents_and_no_title_to_pay_for():
    assert encoded(stream=True) == {
        "inputs": {},
        "query": "Hello",
        "response_mode": "streaming",
        "user": "usr_1",
        "conversation_id": "c-1",
        "files": [{"type": "image"}],
        "auto_generate_name": False,
    }
    assert encoded()["response_mode"] == "blocking"


def test_the_variables_of_an_app_pass_through():
    inputs = {"city": "Köln", "deep": [{"er": 1}]}

    assert encoded(Prompt("app", [], {"inputs": inputs}))["inputs"] == inputs


@pytest.mark.parametrize("options", [{"inputs": []}, {"inputs": "x"}, {"temperature": 1}, {"user": "usr_2"}])
def test_all_other_parameters_are_refused_by_name(options):
    with pytest.raises(errors.UnsupportedParameter) as caught:
        encoded(Prompt("app", [], options))

    assert caught.value.param in options


def test_somebody_asks_where_nobody_is_named():
    assert encoded(Prompt("app", []))["user"] == "parley"


def test_an_answer_has_its_text_and_what_to_remember():
    completion = decoded()

    assert (completion.text, completion.finish, completion.model) == ("Hi", "stop", "app")
    assert completion.choices == [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ]
    assert completion.conversation.startswith("c-1~")


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, Usage(3, output=4, source=Source.PROVIDER)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(source=Source.PROVIDER)),
        ({"total_tokens": 10}, None),
        ({"prompt_tokens": -1, "completion_tokens": 4}, None),
        ({"prompt_tokens": 3, "completion_tokens": 10**12}, None),
        ({"prompt_tokens": "3", "completion_tokens": True}, None),
        (None, None),
        ("many", None),
    ],
)
def test_usage_is_what_dify_counted_or_nothing(usage, counted):
    assert decoded(metadata={"usage": usage}).usage == counted
    assert decoded(metadata=None).usage is None


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"answer": None}, provider_errors.UpstreamBadJson),
        ({"answer": 7}, provider_errors.UpstreamBadJson),
        ({"answer": None, "code": "invalid_param", "status": 400}, provider_errors.UpstreamRejected),
        ({"event": "error", "code": "internal_server_error", "status": 500}, provider_errors.UpstreamFailed),
    ],
)
def test_what_is_no_answer_is_told_apart(fields, error):
    with pytest.raises(error):
        decoded(**fields)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"answer": "Hi'])
def test_what_is_no_json_is_told_apart(body):
    with pytest.raises(provider_errors.UpstreamBadJson):
        decode(body, PROMPT)

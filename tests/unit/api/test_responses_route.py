"""`POST /responses`, as OpenAI's own SDK sees it."""

import json
from dataclasses import replace

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from api.v1 import responses_growth
from domain.completion import Completion, Delta
from domain.ledger import Kind, State
from domain.provider_errors import UpstreamIdleTimeout, UpstreamRejected, UpstreamReset
from tests.builders import a_deployment
from tests.fakes import MemoryModels

URL = "/api/v1/responses"
ASKED = {"model": "acme/large", "input": "Hello"}
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}


@pytest.fixture
def sdk(site):
    transport = httpx2.WSGITransport(app=site.app)
    with OpenAI(
        base_url="http://parley.test/api/v1",
        api_key=site.token,
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
    ) as client:
        yield client


def events(answer):
    """(event, data) of every event; comments are left out."""
    blocks = [block for block in answer.text.split("\n\n") if block and not block.startswith(":")]
    told = [[line.partition(": ")[2] for line in block.split("\n")] for block in blocks]
    return [(name, json.loads(content)) for name, content in told]


def answering(site, **message):
    """From now on whole answers are this message."""
    complete = site.world.model.complete

    def answer(prompt, cancellation):
        made = complete(prompt, cancellation)
        made.choices[0]["message"] |= message
        return made

    site.world.model.complete = answer


def knowing(site, *options):
    """The model's provider documents nothing but these."""
    deployment = replace(a_deployment(site.world.model), options=frozenset(options))
    models = MemoryModels(deployment)
    site.world.models.__dict__.update(models.__dict__)


def test_a_response_has_openais_shape(site):
    answer = site.post(URL, {**ASKED, "instructions": "Be brief.", "metadata": {"a": "b"}, "store": True})
    request_id = answer.headers["X-Request-Id"]
    suffix = request_id.partition("_")[2]

    assert answer.status_code == 200
    assert answer.json == {
        "id": f"resp_{suffix}",
        "object": "response",
        "created_at": 1_795_262_400,
        "status": "completed",
        "completed_at": 1_795_262_400,
        "error": None,
        "incomplete_details": None,
        "model": "acme/large",
        "output": [
            {
                "id": f"msg_{suffix}_0",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
            }
        ],
        "background": False,
        "instructions": "Be brief.",
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {"a": "b"},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "auto",
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": None,
        "truncation": "disabled",
        "user": None,
        "usage": {
            "input_tokens": 12,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 15,
            "cost": 1.8e-08,
            "source": "provider",
        },
    }
    Response.model_validate(answer.json)
    assert answer.headers["X-Parley-Model"] == "large"


def test_the_provider_gets_messages_and_options_in_the_canonical_form(site):
    site.post(URL, {**ASKED, "instructions": "Be brief.", "temperature": 0, "max_output_tokens": 9, "tools": [TOOL]})
    (prompt,) = site.world.model.prompts

    assert prompt.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert prompt.options == {
        "temperature": 0,
        "max_tokens": 9,
        "tools": [
            {"type": "function", "function": {"name": "weather", "parameters": TOOL["parameters"], "strict": False}}
        ],
    }


def test_the_sdk_creates_a_response(sdk):
    response = sdk.responses.create(**ASKED)

    assert response.output_text == "Hello"
    assert response.usage.total_tokens == 15


def test_the_sdk_streams_a_response_and_ends_with_the_same_one(sdk):
    with sdk.responses.stream(**ASKED) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()

    assert deltas == ["Hel", "lo"]
    assert final.output_text == "Hello"
    assert final.usage.total_tokens == 15


def test_the_sdk_reads_raw_events(sdk):
    types = [event.type for event in sdk.responses.create(**ASKED, stream=True)]

    assert types[0] == "response.created"
    assert types[-1] == "response.completed"


def test_the_sdk_parses_a_structured_answer(site, sdk):
    class Weather(BaseModel):
        city: str

    knowing(site, "response_format")
    site.world.script('{"city":', ' "Ulm"}')

    assert sdk.responses.parse(**ASKED, text_format=Weather).output_parsed == Weather(city="Ulm")
    (prompt,) = site.world.model.prompts
    assert prompt.options["response_format"]["json_schema"]["name"] == "Weather"
    with sdk.responses.stream(**ASKED, text_format=Weather) as stream:
        assert stream.get_final_response().output_parsed == Weather(city="Ulm")


def test_a_conversation_with_tools_goes_round_through_the_sdk(site, sdk):
    answering(site, content=None, tool_calls=[CALL], reasoning_content="hm")
    history = [{"role": "user", "content": "Weather?"}]
    first = sdk.responses.create(model="acme/large", input=history, tools=[TOOL])
    call = next(item for item in first.output if item.type == "function_call")
    history += first.output
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
    sdk.responses.create(model="acme/large", input=history, tools=[TOOL])

    assert json.loads(call.arguments) == {"city": "Köln"}
    assert site.world.model.prompts[1].messages == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]


def test_an_error_before_the_stream_is_one_that_the_sdk_knows(site, sdk):
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.responses.create(model="acme/nothing", input="Hello", stream=True)
    with pytest.raises(openai.BadRequestError) as unsupported:
        sdk.responses.create(**ASKED, previous_response_id="resp_1")

    assert unknown.value.code == "model_not_found"
    assert (unsupported.value.code, unsupported.value.param) == ("unsupported_parameter", "previous_response_id")
    assert site.world.model.prompts == []


def test_a_provider_that_fails_before_the_stream_keeps_its_status(site):
    site.world.script(UpstreamIdleTimeout(provider="acme"))
    answer = site.post(URL, {**ASKED, "stream": True})

    assert answer.status_code == 504
    assert answer.json["error"]["provider"] == "acme"


def test_a_stream_that_is_cut_ends_with_the_reason_and_is_never_completed(site):
    site.world.script("Hel", UpstreamReset(provider="acme"))
    answer = site.post(URL, {**ASKED, "stream": True})
    name, last = events(answer)[-1]

    assert answer.status_code == 200
    assert "response.completed" not in answer.text
    assert name == "response.failed"
    assert last["response"]["error"]["code"] == "upstream_reset"
    assert last["response"]["error"]["request_id"] == answer.headers["X-Request-Id"]
    assert site.world.final().state is State.PARTIAL


def test_an_answer_without_end_is_booked_as_what_it_is(site, monkeypatch):
    monkeypatch.setattr(responses_growth, "ROOM", 10)
    site.world.script("Hello, ", "hello", "again")
    answer = site.post(URL, {**ASKED, "stream": True})
    name, last = events(answer)[-1]

    assert (name, last["response"]["error"]["code"]) == ("response.failed", "max_output_exceeded")
    assert (site.world.final().state, site.world.final().error_code) == (State.PARTIAL, "max_output_exceeded")


def test_an_unexpected_error_in_a_stream_is_told_without_its_details(site, caplog):
    site.world.script("Hel", ZeroDivisionError("secret detail"))
    answer = site.post(URL, {**ASKED, "stream": True})

    assert events(answer)[-1][1]["response"]["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text


def test_heartbeats_are_comments_before_and_between_the_events(site):
    site.world.script("a", [], "b")
    answer = site.post(URL, {**ASKED, "stream": True})

    assert answer.text.count(": ping\n\n") == 1
    assert events(answer)[-1][0] == "response.completed"


@pytest.mark.parametrize("text", ['"}\n\nevent: response.completed\n\n', "event: x\r\n", "\u2028\x85", "🌍"])
def test_no_text_of_a_model_can_break_out_of_its_event_of_a_response(site, text):
    site.world.script(text)
    told = events(site.post(URL, {**ASKED, "stream": True}))

    assert [event["delta"] for name, event in told if name.endswith("output_text.delta")] == [text]


def test_all_events_of_one_read_leave_together(site):
    site.world.script(["a", "b"], Delta([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    answer = site.client.post(URL, json={**ASKED, "stream": True}, headers=site.headers, buffered=False)
    pieces = list(answer.iter_encoded())
    answer.close()

    assert [piece.count(b"event: ") for piece in pieces] == [6, 4]


def test_a_length_that_was_reached_is_incomplete(site):
    site.world.script("Hel", Completion("", "length"))

    assert site.post(URL, ASKED).json["incomplete_details"] == {"reason": "max_output_tokens"}
    assert events(site.post(URL, {**ASKED, "stream": True}))[-1][0] == "response.incomplete"


# ── what a provider does not know ────────────────────────────────────────────────────────────────────────────────


def test_a_hint_that_the_provider_does_not_know_is_left_out(site):
    knowing(site, "tools", "user")
    asked = {**ASKED, "tools": [TOOL], "parallel_tool_calls": False, "prompt_cache_key": "k", "user": "u"}
    answers = [site.post(URL, {**asked, "stream": stream}) for stream in (False, True)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [prompt.options.keys() for prompt in site.world.model.prompts] == [{"tools", "user"}] * 2
    assert len([row for row in site.world.begin.rows.ledger.values() if row.kind is Kind.FINAL]) == 2


def test_a_setting_that_the_provider_does_not_know_is_refused_by_its_name_here(site):
    knowing(site, "tools")
    answer = site.post(URL, {**ASKED, "text": {"verbosity": "low"}})

    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "unsupported_parameter"
    assert answer.json["error"]["param"] == "text.verbosity"


def test_what_a_provider_rejects_keeps_its_own_words(site):
    site.world.script(UpstreamRejected("max_output_tokens is too large", param="max_tokens", provider="acme"))
    error = site.post(URL, ASKED).json["error"]

    assert (error["param"], error["provider"]) == ("max_tokens", "acme")


# ── once and only once ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("stream", [False, True])
def test_a_repeat_with_the_same_key_gets_the_same_response(site, stream):
    site.world.script([], "Hel", [], "lo")
    first, repeat = (site.post(URL, {**ASKED, "stream": stream}, headers={"Idempotency-Key": "k-1"}) for _ in range(2))

    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert repeat.data == first.data.replace(b": ping\n\n", b"")
    assert len(site.world.model.prompts) == 1

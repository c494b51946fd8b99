"""`POST /chat/completions`, as OpenAI's SDKs see it."""

import json

import orjson
import pytest

from application.facts import HttpServed
from domain.completion import Completion, Delta
from domain.errors import Overloaded, ServerShuttingDown
from domain.ledger import State
from domain.provider_errors import UpstreamIdleTimeout, UpstreamReset
from domain.usage import PriceBook, Source, Usage

URL = "/api/v1/chat/completions"
ASKED = {"model": "acme/large", "messages": [{"role": "user", "content": "Hello"}]}
USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 3,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
    "cost": 1.8e-08,
    "source": "provider",
}


def events(answer) -> list[str]:
    """The `data` of every event; comments are left out."""
    blocks = answer.text.split("\n\n")
    assert blocks.pop() == ""
    return [block.removeprefix("data: ") for block in blocks if not block.startswith(":")]


def chunks(answer) -> list[dict]:
    return [json.loads(data) for data in events(answer) if data != "[DONE]"]


def test_an_answer_has_openais_shape(site):
    answer = site.post(URL, ASKED)

    assert answer.status_code == 200
    assert answer.json == {
        "id": answer.headers["X-Request-Id"],
        "object": "chat.completion",
        "created": 1_795_262_400,
        "model": "acme/large",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"},
        ],
        "usage": USAGE,
    }
    assert list(answer.json) == ["id", "object", "created", "model", "choices", "usage"]


def test_documented_extras_of_the_provider_come_along(site):
    site.world.script("Hi", Completion("", "stop", Usage(1), extra={"system_fingerprint": "fp_1"}))

    assert site.post(URL, ASKED).json["system_fingerprint"] == "fp_1"


def test_an_unknown_price_is_null_and_not_zero(site):
    site.world.script("Hi", Completion("", "stop", None))
    site.world.prices.book = PriceBook("v2", {})
    answer = site.post(URL, ASKED)

    assert answer.json["usage"]["cost"] is None
    assert answer.json["usage"]["source"] == "estimated"
    assert "X-Parley-Cost" not in answer.headers


def test_token_classes_are_told_apart(site):
    usage = Usage(input=10, cached_input=5, cache_write=2, output=4, reasoning=7, source=Source.PROVIDER)
    site.world.script("Hi", Completion("", "stop", usage))
    told = site.post(URL, ASKED).json["usage"]

    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (17, 11, 28)
    assert told["prompt_tokens_details"] == {"cached_tokens": 5, "cache_write_tokens": 2}
    assert told["completion_tokens_details"] == {"reasoning_tokens": 7}


def test_options_reach_the_provider_as_they_came(site):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "api_base": {}}}}]
    site.post(URL, {**ASKED, "temperature": 0, "stop": ["a"], "tools": tools, "seed": None})
    (prompt,) = site.world.model.prompts

    assert prompt.options == {"temperature": 0, "stop": ["a"], "tools": tools}
    assert prompt.messages == ASKED["messages"]


def test_an_option_that_the_provider_does_not_document_is_refused_by_name(site):
    answer = site.post(URL, {**ASKED, "mirostat": 2})

    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "unsupported_parameter"
    assert answer.json["error"]["param"] == "mirostat"


def test_an_image_address_is_passed_on_and_not_fetched(site):
    parts = [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}]
    site.post(URL, {**ASKED, "messages": [{"role": "user", "content": parts}]})

    assert site.world.model.prompts[0].messages[0]["content"] == parts


def test_an_answer_may_be_sent_back_as_a_message(site):
    message = site.post(URL, ASKED).json["choices"][0]["message"]
    again = {**ASKED, "messages": [*ASKED["messages"], message, {"role": "user", "content": "And?"}]}

    assert site.post(URL, again).status_code == 200


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream_has_openais_chunks_then_the_usage_then_done(site):
    answer = site.post(URL, {**ASKED, "stream": True})
    first, second, last = chunks(answer)

    assert events(answer)[-1] == "[DONE]"
    assert first == {
        "id": answer.headers["X-Request-Id"],
        "object": "chat.completion.chunk",
        "created": 1_795_262_400,
        "model": "acme/large",
        "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}],
    }
    assert second["choices"][0]["delta"] == {"content": "lo"}
    assert {**last, "usage": None} == {**first, "choices": [], "usage": None}
    assert last["usage"] == USAGE


def test_usage_comes_with_every_chunk_as_null_when_it_was_asked_for(site):
    answer = site.post(URL, {**ASKED, "stream": True, "stream_options": {"include_usage": True}})
    *pieces, last = chunks(answer)

    assert [piece["usage"] for piece in pieces] == [None, None]
    assert last["usage"] == USAGE


def test_usage_is_left_out_when_it_was_declined(site):
    answer = site.post(URL, {**ASKED, "stream": True, "stream_options": {"include_usage": False}})

    assert all("usage" not in chunk for chunk in chunks(answer))
    assert events(answer)[-1] == "[DONE]"


def test_all_events_of_one_read_leave_as_one_piece(site):
    site.world.script(["a", "b", "c"])
    answer = site.client.post(URL, json={**ASKED, "stream": True}, headers=site.headers, buffered=False)
    pieces = list(answer.iter_encoded())
    answer.close()

    assert [piece.count(b"data: ") for piece in pieces] == [3, 2]


def test_who_answers_is_in_the_headers_only_when_that_is_certain(site):
    site.world.script("Hello")
    early = site.post(URL, {**ASKED, "stream": True})
    site.world.script(lambda: site.world.clock.advance(60), [], "Hello")
    late = site.post(URL, {**ASKED, "stream": True})

    assert (early.headers["X-Parley-Provider"], early.headers["X-Parley-Attempts"]) == ("acme", "1")
    assert late.text.startswith(": ping")
    assert not {"X-Parley-Provider", "X-Parley-Model", "X-Parley-Attempts"} & set(late.headers.keys())
    assert chunks(late)[0]["model"] == "acme/large"


def test_a_heartbeat_is_a_comment(site):
    site.world.script("a", [], "b")
    answer = site.post(URL, {**ASKED, "stream": True})

    assert answer.text.count(": ping\n\n") == 1
    assert len(chunks(answer)) == 3


def test_a_stream_that_is_cut_ends_with_the_reason_and_without_done(site):
    site.world.script("Hel", UpstreamReset(provider="acme"))
    answer = site.post(URL, {**ASKED, "stream": True})
    *_, last, alone = chunks(answer)

    assert answer.status_code == 200
    assert "[DONE]" not in answer.text
    assert alone == {"error": last["error"]}
    assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "error"}]
    assert last["error"]["code"] == "upstream_reset"
    assert last["error"]["request_id"] == answer.headers["X-Request-Id"]
    assert site.world.final().state is State.PARTIAL


def test_an_unexpected_error_in_a_stream_is_told_as_well(site, caplog):
    site.world.script("Hel", ZeroDivisionError("secret detail"))
    answer = site.post(URL, {**ASKED, "stream": True})

    assert chunks(answer)[-1]["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert "secret detail" in caplog.text
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize("text", ['"}\n\ndata: [DONE]\n\n', "event: execute\r\n", "\u2028\x85", "\\u0000", "🌍"])
def test_no_text_of_a_model_can_break_out_of_its_event(site, text):
    site.world.script(text)
    answer = site.post(URL, {**ASKED, "stream": True})

    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks(answer)[:-1]] == [text]
    assert len(answer.data.splitlines()) == 6


def test_a_delta_goes_out_with_all_its_choices(site):
    choices = [{"index": 1, "delta": {"tool_calls": [{"index": 0}]}, "finish_reason": "tool_calls"}]
    site.world.script(Delta(choices))

    assert chunks(site.post(URL, {**ASKED, "stream": True}))[0]["choices"] == choices


# ── the ends of a call ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_that_ended_is_in_flight_no_longer(site):
    for body in (ASKED, {**ASKED, "stream": True}, {**ASKED, "model": "acme/nothing"}):
        site.post(URL, body)

    assert len(site.world.in_flight) == 0


def test_a_stream_is_in_flight_until_it_is_closed(site):
    answer = site.client.post(URL, json={**ASKED, "stream": True}, headers=site.headers, buffered=False)

    assert len(site.world.in_flight) == 1
    answer.close()
    assert len(site.world.in_flight) == 0


def test_a_client_that_leaves_before_the_first_piece_is_settled_and_told(site):
    answer = site.client.post(URL, json={**ASKED, "stream": True}, headers=site.headers, buffered=False)
    answer.close()

    assert site.world.final().error_code == "client_gone"
    assert site.world.model.closed == 1
    assert len(site.world.record.of(HttpServed)) == 1


def test_a_client_that_leaves_in_the_middle_is_settled(site):
    answer = site.client.post(URL, json={**ASKED, "stream": True}, headers=site.headers, buffered=False)
    next(answer.iter_encoded())
    answer.close()

    assert site.world.final().state is State.PARTIAL
    assert len(site.world.in_flight) == 0


@pytest.mark.parametrize(("error", "status"), [(Overloaded(retry_after=1), 503), (ServerShuttingDown(), 503)])
def test_a_call_that_is_not_admitted_never_reaches_the_provider(site, monkeypatch, error, status):
    def refuse(*_):
        raise error

    monkeypatch.setattr(site.world.in_flight, "enter", refuse)
    answer = site.post(URL, ASKED)

    assert answer.status_code == status
    assert answer.json["error"]["code"] == error.code
    assert site.world.model.prompts == []


def test_a_provider_that_fails_keeps_its_real_status(site):
    site.world.script(UpstreamIdleTimeout(provider="acme"))
    answer = site.post(URL, ASKED)

    assert answer.status_code == 504
    assert answer.json["error"]["provider"] == "acme"


def test_a_body_of_two_megabytes_is_welcome_for_its_images(site):
    url = "data:image/png;base64," + "A" * 2_000_000
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}

    assert site.raw(URL, orjson.dumps({**ASKED, "messages": [message]})).status_code == 200

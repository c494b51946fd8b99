"""The gateway in front of a real model: llama.cpp's server, which differs from OpenAI's in more than its manners."""

import base64
import json
import struct
from typing import Any

import openai
import pytest

from tests.real.conftest import RealModel
from tests.servers.caller import Caller
from tests.servers.llama_server import CONTEXT_TOKENS
from tests.servers.program import wait_until
from tests.servers.scripted_gateway import text_of

COLOURS: list[Any] = [{"role": "user", "content": "Name three colours."}]
DIMENSIONS = 576
ENDLESS = {"max_tokens": CONTEXT_TOKENS - 100, "logit_bias": {"2": -100}}
"""Token 2 ends an answer of this model; without it the answer goes on to its limit, some twenty seconds."""


def ask(real: RealModel, **options: Any) -> Any:
    given = {"messages": COLOURS, "max_tokens": 12, "temperature": 0, **options}
    return real.client.chat.completions.create(model=real.name, **given)


def test_an_answer_has_text_counted_tokens_and_costs_nothing(real: RealModel) -> None:
    completion = ask(real)

    assert completion.model == real.name
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason in {"stop", "length"}
    usage = completion.usage
    assert usage.prompt_tokens > len(COLOURS[0]["content"].split())
    assert 0 < usage.completion_tokens <= 12
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert float(usage.cost) == 0


def test_a_stream_is_the_same_text_and_its_last_chunk_counts_it(real: RealModel) -> None:
    whole = ask(real)

    for _ in range(3):  # the server's first event is missing now and then
        chunks = list(ask(real, stream=True))

        assert text_of(chunks) == whole.choices[0].message.content
        finishes = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
        assert finishes == [whole.choices[0].finish_reason]
        assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
        assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
        assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_sdk_puts_a_stream_together(real: RealModel) -> None:
    options: dict[str, Any] = {"messages": COLOURS, "stop": ["2."], "temperature": 0}
    with real.client.chat.completions.stream(model=real.name, **options) as stream:
        choice = stream.get_final_completion().choices[0]

    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    assert choice.message.content == ask(real, stop=["2."], max_tokens=None).choices[0].message.content


def test_an_answer_keeps_to_the_schema_that_was_asked_for(real: RealModel) -> None:
    properties = {"name": {"type": "string", "maxLength": 20}, "warm": {"type": "boolean"}}
    schema = {"type": "object", "properties": properties, "required": ["name", "warm"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "colour", "schema": schema, "strict": True}}

    answer = json.loads(ask(real, response_format=wanted, max_tokens=200).choices[0].message.content)

    assert set(answer) == {"name", "warm"}
    assert isinstance(answer["name"], str)
    assert isinstance(answer["warm"], bool)


def test_the_model_stops_when_the_reader_of_a_stream_leaves(real: RealModel) -> None:
    with ask(real, stream=True, **ENDLESS) as stream:
        for _ in range(5):
            next(stream)
        assert real.server.generating()

    wait_until(lambda: not real.server.generating(), 5, "the end of the generation")
    wait_until(lambda: newest(real)["state"] == "partial", 5, "the record of the call")
    assert newest(real)["completion_tokens"] > 0


def test_the_model_stops_when_nobody_waits_for_a_whole_answer_any_more(real: RealModel) -> None:
    with pytest.raises(openai.APITimeoutError):
        real.client.with_options(timeout=1).chat.completions.create(model=real.name, messages=COLOURS, **ENDLESS)

    wait_until(lambda: not real.server.generating(), 5, "the end of the generation")


def newest(real: RealModel) -> dict[str, Any]:
    return dict(real.gateway.call("GET", "/usage/records?limit=1")[1]["data"][0])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_prompt_beyond_the_models_context_is_a_bad_request_that_says_so(real: RealModel, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(real, messages=[{"role": "user", "content": "word " * 2 * CONTEXT_TOKENS}], stream=stream)

    assert caught.value.code == "context_length_exceeded"


def test_a_session_sends_what_was_said_before(real: RealModel) -> None:
    config = {"system_prompt": "You are brief.", "max_tokens": 16, "temperature": 0}
    _, session = real.gateway.call("POST", "/sessions", {"model": real.name, "config": config})
    turns = []
    for message in ("My name is Zora and I live in Lima.", "What is my name?"):
        status, turn = real.gateway.call("POST", "/chat", {"session_id": session["id"], "message": message})
        assert status == 200, turn
        turns.append(turn["usage"])

    first, second = turns
    assert second["prompt_tokens"] > first["prompt_tokens"] + first["completion_tokens"]
    _, page = real.gateway.call("GET", f"/sessions/{session['id']}/messages")
    assert [entry["role"] for entry in page["data"]] == ["user", "assistant"] * 2
    assert all(entry["content"] for entry in page["data"])


# ── Embeddings ───────────────────────────────────────────────────────────────────────────────────────────────────


def embedded(real: RealModel, texts: str | list[str], **options: Any) -> list[list[float]]:
    answer = real.client.embeddings.create(model=real.name, input=texts, **options)
    assert [entry.index for entry in answer.data] == list(range(len(answer.data)))
    assert answer.model == real.name
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    return [entry.embedding for entry in answer.data]


def likeness(one: list[float], other: list[float]) -> float:
    lengths = sum(x * x for x in one) * sum(y * y for y in other)
    return float(sum(x * y for x, y in zip(one, other, strict=True)) / lengths**0.5)


def test_texts_that_mean_the_same_have_embeddings_that_are_alike(real: RealModel) -> None:
    cat, kitten, market = embedded(
        real, ["The cat sleeps on the mat.", "A kitten sleeps on the rug.", "Stock markets fell sharply in March."]
    )

    assert len(cat) == len(kitten) == len(market) == DIMENSIONS
    assert likeness(cat, kitten) > likeness(cat, market)


def test_embeddings_as_numbers_and_as_base64_are_the_same(real: RealModel) -> None:
    (numbers,) = embedded(real, "The cat sleeps.", encoding_format="float")
    body = {"model": real.name, "input": "The cat sleeps.", "encoding_format": "base64"}
    status, answer = real.gateway.call("POST", "/embeddings", body)

    assert status == 200, answer
    encoded = base64.b64decode(answer["data"][0]["embedding"])
    assert struct.unpack(f"<{DIMENSIONS}f", encoded) == pytest.approx(numbers, abs=1e-6)


# ── The other dialects ───────────────────────────────────────────────────────────────────────────────────────────


def anthropic(real: RealModel) -> Caller:
    return Caller(real.gateway.port, {"x-api-key": real.gateway.key, "anthropic-version": "2023-06-01"})


def test_a_message_in_anthropics_dialect_has_text_and_counts(real: RealModel) -> None:
    reply = anthropic(real).post("/messages", {"model": real.name, "max_tokens": 24, "messages": COLOURS})

    assert reply.status == 200, reply.raw
    message = reply.json
    assert (message["type"], message["role"], message["model"]) == ("message", "assistant", real.name)
    assert [block["type"] for block in message["content"]] == ["text"]
    assert message["content"][0]["text"]
    assert message["stop_reason"] in {"end_turn", "max_tokens"}
    counts = message["usage"]
    assert counts["input_tokens"] + counts.get("cache_read_input_tokens", 0) > 3
    assert 0 < counts["output_tokens"] <= 24


def test_a_stream_in_anthropics_dialect_has_every_event_in_its_order(real: RealModel) -> None:
    body = {"model": real.name, "max_tokens": 24, "messages": COLOURS, "stream": True}

    for _ in range(3):  # the server's first event is missing now and then
        reply = anthropic(real).post("/messages", body)

        events = [json.loads(line[6:]) for line in reply.raw.decode().splitlines() if line.startswith("data: ")]
        kinds = [event["type"] for event in events if event["type"] != "ping"]
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert set(kinds[2:-3]) == {"content_block_delta"}
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        closing = next(event for event in events if event["type"] == "message_delta")
        assert closing["delta"]["stop_reason"] in {"end_turn", "max_tokens"}
        assert closing["usage"]["output_tokens"] > 0


def test_a_response_has_text_and_counts(real: RealModel) -> None:
    response = real.client.responses.create(model=real.name, input="Name three colours.", max_output_tokens=24)

    assert response.output_text
    assert response.model == real.name
    assert response.usage is not None
    assert response.usage.input_tokens > 3
    assert 0 < response.usage.output_tokens <= 24


def test_a_streamed_response_ends_with_the_whole_of_what_it_sent(real: RealModel) -> None:
    options: dict[str, Any] = {"input": "Name three colours.", "max_output_tokens": 24}
    events = list(real.client.responses.create(model=real.name, stream=True, **options))

    assert events[0].type == "response.created"
    assert events[-1].type in {"response.completed", "response.incomplete"}
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(pieces) == events[-1].response.output_text != ""
    assert [event.sequence_number for event in events] == list(range(len(events)))

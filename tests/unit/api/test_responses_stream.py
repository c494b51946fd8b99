"""Streams of a response: put together again by OpenAI's own SDK, they are the whole answer, however they were cut."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, get_args

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent

from api.v1 import responses_growth
from api.v1.responses_answer import response_body
from api.v1.responses_reasoning import unpacked
from api.v1.responses_request import response_request
from api.v1.responses_stream import ResponseEvents
from application.completions import CompletionAnswer
from domain.completion import Completion, Delta
from domain.provider_errors import MaxOutputExceeded, UpstreamReset
from domain.usage import Source, Usage

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
ASKED = {"model": "acme/large", "input": "Hello"}
PATCH = {"type": "custom", "name": "apply_patch"}
TOOLS = [{"type": "function", "name": "f", "parameters": {}}, PATCH]
USAGE = Usage(input=10, cached_input=5, cache_write=2, output=4, reasoning=7, source=Source.PROVIDER)
EVENTS = {model.model_fields["type"].annotation: model for model in get_args(get_args(ResponseStreamEvent)[0])}
MODELS = {get_args(kind)[0]: model for kind, model in EVENTS.items()}
"""The SDK's own, by the type of the event."""
PARSED = {"parsed", "parsed_arguments"}
"""Members that the SDK adds."""


class Played:
    """A stream that gives its items and then, when there is one, its error."""

    request_id = "req_1"
    model = "acme/large"

    def __init__(self, *items: Any) -> None:
        self._items = items

    def __iter__(self):
        yield from self._items


def an_answer(message: dict[str, Any] | None = None, finish: str = "stop", **choice: Any) -> CompletionAnswer:
    """Whole, or without a message the closing of a stream."""
    choices = [{"index": 0, "message": message, "finish_reason": finish, **choice}] if message is not None else []
    return CompletionAnswer("req_1", "acme/large", Completion("", finish, USAGE, "", choices), USAGE, 9, AT, 1, 2_500)


def a_delta(finish: str | None = None, logprobs: Any = None, **delta: Any) -> Delta:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return Delta([{**choice, "logprobs": logprobs} if logprobs else choice], delta.get("content") or "")


def relayed(*items: Any, asked: dict[str, Any] = ASKED) -> list[dict[str, Any]]:
    """The events of a stream, each checked against the strictest model of it that there is."""
    made = ResponseEvents(Played(*items), int(AT.timestamp()), response_request(asked))
    return events(b"".join(made.pieces()))


def events(raw: bytes) -> list[dict[str, Any]]:
    found = []
    for block in raw.split(b"\n\n"):
        lines = block.split(b"\n")
        if block and not block.startswith(b":"):
            assert [line.partition(b": ")[0] for line in lines] == [b"event", b"data"]
            told = orjson.loads(lines[1].partition(b": ")[2])
            assert lines[0] == b"event: " + told["type"].encode()
            found.append(told)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    for event in found:
        if event["type"] != "response.failed":
            MODELS[event["type"]].model_validate(event)
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]


def without_parsed(told: Any) -> Any:
    if isinstance(told, list):
        return [without_parsed(inner) for inner in told]
    if isinstance(told, dict):
        return {name: without_parsed(inner) for name, inner in told.items() if name not in PARSED}
    return told


def put_together(found: list[dict[str, Any]]) -> tuple[Any, list[dict[str, Any]]]:
    """The SDK's state after these events, and the output as it built it from the deltas alone."""
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in found:
        state.handle_event(MODELS[event["type"]].model_validate(event))
    return state, [item.to_dict() for item in state._ResponseStreamState__current_snapshot.output]


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────

AT_LEISURE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""On a busy machine one example may take as long as it wants."""
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
"""No body may hold U+0000."""
CUTS = st.lists(st.integers(0, 12), max_size=4)


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    """`text` cut at random; the empty pieces that this makes are what providers send as well."""
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[left:right] for left, right in pairwise(edges)]


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], list[Delta], dict[str, Any]]:
    """A whole message, the deltas of a stream that says the same, and what was asked."""
    message: dict[str, Any] = {"role": "assistant", "content": draw(TEXT)}
    deltas = [a_delta(role="assistant", content="")]
    thought, signed = draw(TEXT), draw(st.booleans())
    if thought:
        message["reasoning_content"] = thought
        deltas += [a_delta(reasoning_content=piece) for piece in pieces_of(thought, draw(CUTS))]
    if signed and thought:
        message["reasoning_details"] = [{"type": "thinking", "thinking": thought, "signature": "sig"}]
        deltas.append(a_delta(reasoning_details=[{"type": "thinking", "index": 0, "signature": "sig"}]))
    deltas += [a_delta(content=piece) for piece in pieces_of(message["content"], draw(CUTS))]
    refusal = draw(TEXT)
    if refusal:
        message["refusal"] = refusal
        deltas += [a_delta(refusal=piece) for piece in pieces_of(refusal, draw(CUTS))]
    calls = draw(st.lists(st.tuples(st.sampled_from(["f", "apply_patch", "unknown"]), TEXT, CUTS), max_size=3))
    message["tool_calls"] = [
        {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for index, (name, arguments, _) in enumerate(calls)
    ]
    for call in message["tool_calls"]:
        first = {**call, "index": int(call["id"][-1]), "function": {**call["function"], "arguments": ""}}
        deltas.append(a_delta(tool_calls=[first]))
    queues = [[(index, piece) for piece in pieces_of(text, cuts)] for index, (_, text, cuts) in enumerate(calls)]
    while any(queues):
        index, piece = draw(st.sampled_from([queue for queue in queues if queue])).pop(0)
        deltas.append(a_delta(tool_calls=[{"index": index, "function": {"arguments": piece}}]))
    summary = draw(st.sampled_from([None, "auto"]))
    include = draw(st.sampled_from([[], ["reasoning.encrypted_content"]]))
    return message, deltas, {**ASKED, "tools": TOOLS, "reasoning": {"summary": summary}, "include": include}


@AT_LEISURE
@given(answers(), st.lists(st.integers(1, 5)), st.sampled_from(["stop", "tool_calls", "length", "content_filter"]))
def test_a_stream_put_together_by_the_sdk_is_the_whole_answer(answer, reads, finish):
    message, deltas, asked = answer
    items: list[Any] = []
    left = [*deltas, a_delta(finish)]
    for size in [*reads, len(left)]:
        batch, left = left[:size], left[size:]
        items += [batch, []] if batch else []
    whole = response_body(an_answer(message, finish), response_request(asked))

    found = relayed(*items, an_answer(None, finish), asked=asked)
    state, built = put_together(found)

    assert found[-1]["response"] == orjson.loads(orjson.dumps(whole))
    assert found[-1]["type"] == f"response.{whole['status']}"
    Response.model_validate(whole)
    if whole["status"] == "completed":
        final = state._completed_response
        assert without_parsed(final.to_dict()["output"]) == whole["output"]
        assert final.output_text == message["content"]
    said = [part for item in built if item["type"] == "message" for part in item["content"]]
    assert "".join(part["text"] for part in said if part["type"] == "output_text") == message["content"]
    functions = [item["arguments"] for item in built if item["type"] == "function_call"]
    assert functions == [item["arguments"] for item in whole["output"] if item["type"] == "function_call"]


@AT_LEISURE
@given(answers())
def test_an_answer_sent_back_as_input_is_the_message_that_it_was(answer):
    message, _, asked = answer
    output = response_body(an_answer(message), response_request(asked))["output"]
    expected = {name: value for name, value in message.items() if value and name != "role"}
    led_somewhere = expected.keys() & {"content", "refusal", "tool_calls"}

    back = response_request({**asked, "input": [{"role": "user", "content": "Hi"}, *output]}).order.messages[1:]

    if not led_somewhere:
        assert back == []
        return
    (told,) = back
    for call in expected.get("tool_calls", ()):
        if call["function"]["name"] == "apply_patch":
            text = call["function"]["arguments"]
            call["function"]["arguments"] = orjson.dumps({"input": text}).decode()
    assert {name: value for name, value in told.items() if value and name != "role"} == expected


@AT_LEISURE
@given(answers(), st.randoms())
def test_every_event_belongs_to_an_item_that_has_begun_and_not_ended(answer, random):
    _, deltas, asked = answer
    first, *rest = deltas
    random.shuffle(rest)  # a provider's order is nothing to rely on
    found = relayed([first, *rest], an_answer(), asked=asked)
    open_items: set[int] = set()

    assert names(found)[:2] == ["created", "in_progress"]
    for event in found[2:-1]:
        index = event["output_index"]
        if event["type"] == "response.output_item.added":
            open_items.add(index)
        assert index in open_items
        if event["type"] == "response.output_item.done":
            open_items.remove(index)
            assert found[-1]["response"]["output"][index] == event["item"]
    assert open_items == set()
    put_together(found)


# ── the order of events ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_text_has_the_documented_events_in_their_order():
    found = relayed([a_delta(content="Hel")], [a_delta(content="lo")], an_answer())

    assert names(found) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert (found[0]["response"]["status"], found[0]["response"]["output"]) == ("in_progress", [])
    assert found[2]["item"] == {
        "id": "msg_1_0", "type": "message", "status": "in_progress", "role": "assistant", "content": []
    }  # fmt: skip
    assert found[4] == {
        "type": "response.output_text.delta",
        "item_id": "msg_1_0",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hel",
        "logprobs": [],
        "sequence_number": 4,
    }
    assert found[6]["text"] == "Hello"


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        (
            "auto",
            [
                "reasoning_summary_part.added",
                "reasoning_summary_text.delta",
                "reasoning_summary_text.done",
                "reasoning_summary_part.done",
            ],
        ),
        (None, ["content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"]),
    ],
)
def test_reasoning_is_a_summary_when_one_was_asked_for_and_ends_where_the_text_begins(summary, expected):
    asked = {**ASKED, "reasoning": {"summary": summary}}
    found = relayed([a_delta(reasoning_content="hm"), a_delta(content="Hi")], an_answer(), asked=asked)
    kinds = names(found)

    assert kinds[2:8] == ["output_item.added", *expected, "output_item.done"]
    assert kinds[8:10] == ["output_item.added", "content_part.added"]
    assert [item["type"] for item in found[-1]["response"]["output"]] == ["reasoning", "message"]


def test_a_call_of_a_function_streams_its_arguments_and_parallel_calls_may_alternate():
    calls = [{"index": n, "id": f"c{n}", "function": {"name": "f", "arguments": ""}} for n in (0, 1)]
    more = [{"index": n, "function": {"arguments": piece}} for n, piece in ((0, "{"), (1, "["), (0, "}"), (1, "]"))]
    found = relayed([a_delta(tool_calls=calls), *[a_delta(tool_calls=[piece]) for piece in more]], an_answer())
    deltas = [
        (event["output_index"], event["delta"])
        for event in found
        if event["type"].endswith("function_call_arguments.delta")
    ]

    assert deltas == [(0, "{"), (1, "["), (0, "}"), (1, "]")]
    assert [item["arguments"] for item in found[-1]["response"]["output"]] == ["{}", "[]"]
    assert [item["call_id"] for item in found[-1]["response"]["output"]] == ["c0", "c1"]


def test_an_item_ends_before_the_next_one_begins_but_calls_go_on():
    calls = [{"index": n, "id": f"c{n}", "function": {"name": "f", "arguments": "{}"}} for n in (0, 1)]
    deltas = [a_delta(reasoning_content="h"), a_delta(content="a"), *[a_delta(tool_calls=[call]) for call in calls]]
    found = relayed(deltas, an_answer())
    steps = [
        (event["type"].rpartition(".")[2], event["output_index"])
        for event in found
        if event["type"].startswith("response.output_item")
    ]

    began = [("added", 0), ("done", 0), ("added", 1), ("done", 1), ("added", 2), ("added", 3)]
    assert steps == [*began, ("done", 2), ("done", 3)]


def test_a_call_of_a_custom_tool_tells_its_input_and_not_the_arguments_around_it():
    call = {"index": 0, "id": "c", "function": {"name": "apply_patch", "arguments": '{"input": "*** '}}
    rest = {"index": 0, "function": {"arguments": 'Begin"}'}}
    found = relayed(
        [a_delta(tool_calls=[call]), a_delta(tool_calls=[rest])], an_answer(), asked={**ASKED, "tools": TOOLS}
    )

    assert names(found)[2:-1] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    (item,) = found[-1]["response"]["output"]
    assert (item["type"], item["input"]) == ("custom_tool_call", "*** Begin")


def test_a_call_of_a_tool_in_a_namespace_has_its_two_names_again():
    asked = {**ASKED, "tools": [{"type": "namespace", "name": "crm", "description": "d", "tools": TOOLS[:1]}]}
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "crm__f", "arguments": "{}"}}
    whole = response_body(an_answer({"role": "assistant", "tool_calls": [call]}), response_request(asked))
    found = relayed([a_delta(tool_calls=[call])], an_answer(), asked=asked)

    (item,) = whole["output"]
    assert (item["name"], item["namespace"]) == ("f", "crm")
    assert found[-1]["response"]["output"] == [item]


def test_an_answer_in_parts_is_one_text_and_the_providers_service_tier_wins():
    answer = an_answer({"role": "assistant", "content": [{"type": "text", "text": "a"}, "odd", {"text": "b"}]})
    answer.completion.extra = {"service_tier": "priority"}
    body = response_body(answer, response_request({**ASKED, "service_tier": "fast"}))

    assert body["output"][0]["content"][0]["text"] == "ab"
    assert body["service_tier"] == "priority"


def test_calls_without_an_id_or_with_the_same_one_get_ids_of_their_own():
    calls = [{"index": n, "id": "same", "function": {"name": "f", "arguments": "{}"}} for n in (0, 1)]
    calls.append({"index": 2, "function": {"name": "f", "arguments": "{}"}})
    found = relayed([a_delta(tool_calls=calls)], an_answer())

    assert [item["call_id"] for item in found[-1]["response"]["output"]] == ["same", "call_1_1", "call_1_2"]
    put_together(found)


def test_what_a_provider_wants_back_is_packed_although_nobody_asked():
    redacted = {"type": "redacted_thinking", "data": "AA"}
    deltas = [
        a_delta(reasoning_content="one"),
        a_delta(reasoning_details=[{"type": "thinking", "index": 0, "signature": "s1"}]),
        a_delta(reasoning_details=[{**redacted, "index": 1}]),
        a_delta(reasoning_content="two"),
        a_delta(reasoning_details=[{"type": "thinking", "index": 2, "signature": "s2"}]),
    ]
    (item,) = relayed(deltas, an_answer())[-1]["response"]["output"]
    reasoning = unpacked(item["encrypted_content"], "")

    assert reasoning.text == "onetwo"
    assert reasoning.details == [
        {"type": "thinking", "thinking": "one", "signature": "s1"},
        redacted,
        {"type": "thinking", "thinking": "two", "signature": "s2"},
    ]


def test_a_signature_that_comes_late_is_a_reasoning_item_of_its_own():
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    signature = {"type": "thought_signature", "signature": "s", "tool_call_id": "c"}
    found = relayed([a_delta(tool_calls=[call]), a_delta(reasoning_details=[signature])], an_answer())
    output = found[-1]["response"]["output"]
    (assistant,) = response_request({**ASKED, "input": output}).order.messages

    assert [item["type"] for item in output] == ["function_call", "reasoning"]
    assert assistant["reasoning_details"] == [signature]
    assert assistant["tool_calls"][0]["id"] == "c"


def test_fragments_of_another_services_blocks_are_put_together():
    pieces = [{"type": "reasoning.text", "index": 0, "text": text, "format": "x"} for text in ("a", "b")]
    pieces.append({"type": "reasoning.text", "index": 0, "signature": "s"})
    (item,) = relayed([a_delta(reasoning_details=[piece]) for piece in pieces], an_answer())[-1]["response"]["output"]

    assert unpacked(item["encrypted_content"], "").details == [
        {"type": "reasoning.text", "text": "ab", "format": "x", "signature": "s"}
    ]


def test_log_probabilities_come_with_the_deltas_and_once_more_with_the_whole():
    entry = {"token": "ä", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "a", "logprob": -1.0}]}
    asked = {**ASKED, "top_logprobs": 1}
    message = {"role": "assistant", "content": "ä"}
    whole = response_body(an_answer(message, logprobs={"content": [entry]}), response_request(asked))
    found = relayed([a_delta(content="ä", logprobs={"content": [entry]})], an_answer(), asked=asked)

    (told,) = found[4]["logprobs"]
    assert told == {
        "token": "ä",
        "bytes": [195, 164],
        "logprob": -0.5,
        "top_logprobs": [{"token": "a", "bytes": [97], "logprob": -1.0}],
    }
    assert found[-1]["response"] == orjson.loads(orjson.dumps(whole))
    assert whole["output"][0]["content"][0]["logprobs"] == [told]


def test_what_was_cited_is_told_in_this_dialects_shape():
    cited = {"url": "https://e.org", "title": "E", "start_index": 0, "end_index": 1}
    odd = [{"type": "url_citation", "url_citation": {"url": "x"}}, {"type": "other"}, "odd"]
    annotations = [{"type": "url_citation", "url_citation": cited}, *odd]
    whole = response_body(
        an_answer({"role": "assistant", "content": "a", "annotations": annotations}), response_request(ASKED)
    )
    found = relayed([a_delta(content="a"), a_delta(annotations=annotations)], an_answer())

    assert "output_text.annotation.added" in names(found)
    assert found[-1]["response"] == orjson.loads(orjson.dumps(whole))
    assert whole["output"][0]["content"][0]["annotations"] == [{"type": "url_citation", **cited}]


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_by_its_model_is_incomplete_and_says_why(finish, reason):
    found = relayed([a_delta(reasoning_content="h"), a_delta(content="Hel")], an_answer(None, finish))
    response = found[-1]["response"]

    assert names(found)[-1] == "incomplete"
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert response["completed_at"] is None
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


def test_an_empty_answer_is_an_empty_output():
    found = relayed([a_delta("stop")], an_answer())

    assert names(found) == ["created", "in_progress", "completed"]
    assert found[-1]["response"]["output"] == []


def test_usage_and_cost_come_at_the_end_and_the_end_has_its_time():
    response = relayed([a_delta(content="Hi")], an_answer())[-1]["response"]

    assert response["usage"] == {
        "input_tokens": 17,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
        "output_tokens": 11,
        "output_tokens_details": {"reasoning_tokens": 7},
        "total_tokens": 28,
        "cost": 9e-09,
        "source": "provider",
    }
    assert response["completed_at"] - response["created_at"] == 2


def test_only_the_first_choice_is_told_and_odd_deltas_do_no_harm():
    other = Delta([{"index": 1, "delta": {"content": "no"}}, {"index": 0}, {"index": 0, "delta": {"content": ["x"]}}])
    found = relayed([other, a_delta(content="yes", refusal=None, tool_calls=None)], an_answer())

    assert found[-1]["response"]["output"][0]["content"][0]["text"] == "yes"


def test_a_failure_ends_the_stream_apart_from_whatever_was_half_written():
    made = ResponseEvents(Played([a_delta(content="Hel")]), 0, response_request(ASKED))
    begun = b"".join(made.pieces())
    failed = made.refusal(UpstreamReset(provider="acme"))

    assert failed.startswith(b"\n\nevent: error\n")
    found = events(begun + failed)
    assert names(found)[-2:] == ["error", "failed"]
    assert found[-2]["error"] == found[-1]["response"]["error"]
    assert "completed" not in names(found)
    response = found[-1]["response"]
    assert response["status"] == "failed"
    assert response["error"]["code"] == "upstream_reset"
    assert response["error"]["request_id"] == "req_1"
    assert response["output"] == []


def test_a_failure_before_the_first_event_still_begins_as_every_stream_does():
    made = ResponseEvents(Played([]), 0, response_request(ASKED))

    assert b"".join(made.pieces()) == b": ping\n\n"
    assert names(events(made.refusal(UpstreamReset()))) == ["created", "in_progress", "error", "failed"]


def test_the_model_is_told_when_it_is_known_and_not_before():
    stream = Played([], [a_delta(content="Hi")], an_answer())
    made = ResponseEvents(stream, 0, response_request(ASKED)).pieces()

    assert next(made) == b": ping\n\n"
    stream.model = "acme/fallback"
    assert events(next(made))[0]["response"]["model"] == "acme/fallback"


def test_the_number_of_items_is_bounded():
    pieces = [a_delta(content="a"), a_delta(reasoning_content="b")]

    with pytest.raises(MaxOutputExceeded):
        relayed(pieces * 501, an_answer())


@pytest.mark.parametrize("grown", ["logprobs", "annotations", "reasoning_details"])
def test_what_is_kept_beside_the_texts_is_bounded(grown):
    entry = {"token": "x" * 1_000, "logprob": 0.0, "bytes": [], "top_logprobs": []}
    cited = {"url": "x" * 1_000, "title": "", "start_index": 0, "end_index": 0}
    piece = {
        "logprobs": a_delta(content="a", logprobs={"content": [entry] * 200}),
        "annotations": a_delta(content="a", annotations=[{"type": "url_citation", "url_citation": cited}] * 20),
        "reasoning_details": a_delta(reasoning_details=[{}] * 200),
    }[grown]
    asked = {**ASKED, "include": ["message.output_text.logprobs"]}

    with pytest.raises(MaxOutputExceeded):
        relayed([piece] * 900, an_answer(), asked=asked)


def test_what_has_to_be_kept_for_the_end_is_bounded(monkeypatch):
    monkeypatch.setattr(responses_growth, "ROOM", 10)
    call = {"index": 0, "id": "c", "function": {"name": "apply_patch", "arguments": "x" * 6}}
    asked = {**ASKED, "tools": TOOLS}
    kept = [a_delta(content="xxxxx"), a_delta(reasoning_content="xxxxx")]

    assert relayed(kept, an_answer())
    for piece in (
        a_delta(content="x"),
        a_delta(refusal="x"),
        a_delta(reasoning_details=[{"type": "redacted_thinking", "data": "x"}]),
        a_delta(tool_calls=[call]),
    ):
        with pytest.raises(MaxOutputExceeded):
            relayed([*kept, piece], an_answer(), asked=asked)

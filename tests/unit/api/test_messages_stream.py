"""Streams in Anthropic's dialect: one block at a time, and never a good end for an answer that was cut."""

import time

import pytest

from api.v1 import messages_blocks
from api.v1.messages_answer import message_body
from api.v1.messages_stream import MessageEvents
from application.completions import CompletionAnswer
from domain.completion import Completion, Delta
from domain.provider_errors import MaxOutputExceeded, UpstreamReset
from domain.usage import Source, Usage
from tests.builders import NOW
from tests.message_events import Played, assembled, events_of

USAGE = Usage(input=10, cached_input=5, cache_write=2, output=4, reasoning=7, source=Source.PROVIDER)


def an_answer(finish="stop", message=None, **choice):
    choices = [{"index": 0, "message": message, "finish_reason": finish, **choice}] if message is not None else []
    completion = Completion("", finish, USAGE, choices=choices)
    return CompletionAnswer("req_1", "acme/large", completion, USAGE, 1_500, NOW, 1, 20)


def a_delta(content="", reasoning="", finish=None, **inner):
    given = {"content": content} if content else {}
    thought = {"reasoning_content": reasoning} if reasoning else {}
    choice = {"index": 0, "delta": {**given, **thought, **inner}, "finish_reason": finish}
    return Delta([choice], content, reasoning)


def a_call(index=0, arguments="", **first):
    """The first fragment of a call has `id` and `name`."""
    function = {"name": first["name"], "arguments": arguments} if "name" in first else {"arguments": arguments}
    named = {"id": first["id"], "type": "function"} if "id" in first else {}
    return a_delta(tool_calls=[{"index": index, **named, "function": function}])


def events(*items):
    return events_of(MessageEvents(Played(*items)).pieces())


def content(*deltas):
    found = events(*[[delta] for delta in deltas], an_answer())
    assert found[-1] == {"type": "message_stop"}
    return assembled(found)["content"]


# ── the frame ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stream_of_text_has_anthropics_events_in_their_order():
    found = events([a_delta(role="assistant")], [a_delta("Hel"), a_delta("lo")], [a_delta(finish="stop")], an_answer())

    assert found == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "acme/large",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 0,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 0,
                },
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 2,
                "cache_read_input_tokens": 5,
                "output_tokens": 11,
                "output_tokens_details": {"thinking_tokens": 7},
                "cost": 1.5e-06,
                "source": "provider",
            },
        },
        {"type": "message_stop"},
    ]


def test_an_answer_without_anything_in_it_is_whole_all_the_same():
    found = events(an_answer())

    assert [event["type"] for event in found] == ["message_start", "message_delta", "message_stop"]


def test_all_events_of_one_read_leave_as_one_piece_and_an_empty_read_as_none():
    stream = Played([a_delta("a"), a_delta("b")], [a_delta()], [a_delta("c")], an_answer())

    assert [piece.count(b"event: ") for piece in MessageEvents(stream).pieces()] == [4, 1, 3]


def test_a_heartbeat_is_a_ping_also_before_it_is_certain_who_answers():
    found = events([], [a_delta("a")], [], an_answer())

    assert [event["type"] for event in found[:5]] == [
        "ping",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "ping",
    ]
    assert found[1]["message"]["model"] == "acme/large"


def test_a_stream_that_is_cut_ends_with_an_error_and_not_with_a_stop():
    written = MessageEvents(Played([a_delta("Hel")], UpstreamReset(provider="acme")))
    pieces = []
    with pytest.raises(UpstreamReset) as cut:
        pieces.extend(written.pieces())
    (error,) = events_of([written.refusal(cut.value)])

    assert b"message_stop" not in b"".join(pieces)
    assert error == {
        "type": "error",
        "error": {
            "type": "api_error",
            "message": "The provider cut the connection.",
            "code": "upstream_reset",
            "param": None,
            "retryable": True,
            "provider": "acme",
        },
        "request_id": "req_1",
    }


@pytest.mark.parametrize("text", ['"}\n\nevent: message_stop\n\n', "event: x\r\n", "\u2028\x85", "\\u0000", "🌍"])
def test_no_text_of_a_model_can_break_out_of_its_event(text):
    found = events([a_delta(text, text)], [a_call(0, text, id="t", name=text)], an_answer())

    assert [event["type"] for event in found].count("message_stop") == 1
    assert found[2]["delta"]["thinking"] == text


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("eos", "end_turn"),
    ],
)
def test_the_finish_reason_has_anthropics_name(finish, reason):
    assert assembled(events([a_delta("a")], an_answer(finish)))["stop_reason"] == reason
    assert message_body(an_answer(finish, {"content": "a"}))["stop_reason"] == reason


def test_a_stop_sequence_is_told():
    last = Delta([{"index": 0, "delta": {}, "finish_reason": "stop", "stop_sequence": "END"}])
    whole = message_body(an_answer("stop", {"content": "a"}, stop_sequence="END"))

    for message in (assembled(events([a_delta("a")], [last], an_answer())), whole):
        assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")


def test_an_answer_with_calls_ends_for_them_whatever_the_provider_calls_it():
    message = assembled(events([a_call(id="t", name="f", arguments="{}")], an_answer("stop")))

    assert message["stop_reason"] == "tool_use"


def test_a_refusal_is_text_with_a_reason_of_its_own():
    whole = message_body(an_answer("stop", {"content": None, "refusal": "No."}))

    for message in (assembled(events([a_delta(refusal="No.")], an_answer())), whole):
        assert message["content"] == [{"type": "text", "text": "No."}]
        assert message["stop_reason"] == "refusal"


def test_only_the_first_choice_is_an_answer():
    other = Delta([{"index": 1, "delta": {"content": "x", "tool_calls": [{"index": 0}]}, "finish_reason": None}])

    assert content(a_delta("a"), other, a_delta("b")) == [{"type": "text", "text": "ab"}]


# ── reasoning ────────────────────────────────────────────────────────────────────────────────────────────────────


def thinking(text, signature=""):
    return {"type": "thinking", "thinking": text, "signature": signature}


def signed(signature, index=0):
    return a_delta(reasoning_details=[{"type": "thinking", "index": index, "signature": signature}])


def test_reasoning_comes_as_thinking_with_its_signature_before_the_text():
    found = content(a_delta(reasoning="Let "), a_delta(reasoning="me"), signed("s1"), a_delta("Hi"))

    assert found == [thinking("Let me", "s1"), {"type": "text", "text": "Hi"}]


def test_each_signature_closes_a_block_and_one_without_text_is_a_block():
    redacted = {"type": "redacted_thinking", "index": 2, "data": "xyz"}
    found = content(
        a_delta(reasoning="a"),
        signed("s1"),
        signed("s2", 1),
        a_delta(reasoning_details=[redacted, {"type": "new"}, "odd"]),
        a_delta("x", "b"),
        signed("", 3),
    )

    assert found == [
        thinking("a", "s1"),
        thinking("", "s2"),
        {"type": "redacted_thinking", "data": "xyz"},
        thinking("b"),
        {"type": "text", "text": "x"},
        thinking(""),
    ]


def test_a_signature_of_geminis_travels_as_redacted_data():
    fragment = {"type": "thought_signature", "signature": "abc", "tool_call_id": "t1"}

    assert content(a_delta(reasoning_details=[fragment])) == [
        {"type": "redacted_thinking", "data": 'parley:thought_signature:["abc","t1"]'}
    ]


# ── calls of tools ───────────────────────────────────────────────────────────────────────────────────────────────


def used(call_id, name, **arguments):
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def test_the_input_of_a_call_streams_as_it_arrives():
    events_seen = events(
        [a_call(id="t1", name="f")], [a_call(arguments='{"a"')], [a_call(arguments=": 1}")], an_answer()
    )

    assert [event.get("delta", {}).get("partial_json") for event in events_seen[2:4]] == ['{"a"', ": 1}"]
    assert assembled(events_seen)["content"] == [used("t1", "f", a=1)]


def test_calls_one_after_the_other_all_stream_live():
    stream = MessageEvents(
        Played(
            [a_call(0, '{"a":1}', id="t1", name="f")],
            [a_call(1, '{"b"', id="t2", name="g")],
            [a_call(1, ":2}")],
            an_answer(),
        )
    )
    pieces = list(stream.pieces())

    assert b'"id":"t2"' in pieces[1]
    assert b'"partial_json":":2}"' in pieces[2]


def test_calls_at_once_are_told_apart_and_only_what_must_wait_waits():
    stream = MessageEvents(
        Played(
            [a_call(0, '{"a":', id="t1", name="f")],
            [a_call(1, '{"b":', id="t2", name="g"), a_call(2, "{}", id="t3", name="h")],
            [a_call(0, '"}"'), a_call(1, "2")],
            [a_call(0, "}")],
            [a_call(1, "}")],
            an_answer(),
        )
    )
    pieces = list(stream.pieces())

    assert b"t2" not in b"".join(pieces[:2])
    assert b'"partial_json":"{\\"b\\":2"' in pieces[2], "the first call is complete, so the second goes on"
    assert b"t3" in pieces[3]
    assert assembled(events_of(pieces))["content"] == [
        used("t1", "f", a="}"),
        used("t2", "g", b=2),
        used("t3", "h"),
    ]


def test_a_quote_that_is_escaped_across_pieces_ends_no_input():
    first = [a_call(0, '{"a":"\\', id="t1", name="f"), a_call(1, "{}", id="t2", name="g")]
    found = content(*first, a_call(0, '"}'), a_call(0, '\\\\"}'))

    assert found == [used("t1", "f", a='"}\\'), used("t2", "g")]


def test_text_between_calls_keeps_its_place_and_waits_for_the_input_before_it():
    found = content(
        a_call(0, '{"a":', id="t1", name="f"), a_delta("so"), a_call(0, "1}"), a_delta(" far"), a_delta(reasoning="?")
    )

    assert found == [used("t1", "f", a=1), {"type": "text", "text": "so far"}, thinking("?")]


def test_a_signature_may_wait_as_well():
    found = content(a_call(0, "{", id="t1", name="f"), a_delta(reasoning="hm"), signed("s"), a_call(0, "}"))

    assert found == [used("t1", "f"), thinking("hm", "s")]


def test_a_call_without_input_has_none():
    assert content(a_call(id="t1", name="f"), a_call(1, id="t2", name="g")) == [used("t1", "f"), used("t2", "g")]


def test_calls_without_an_index_or_all_with_the_same_are_told_apart_by_their_ids():
    for index in (0, None):
        found = content(a_call(index, "{}", id="t1", name="f"), a_call(index, '{"b":2}', id="t2", name="g"))

        assert found == [used("t1", "f"), used("t2", "g", b=2)]


def test_a_call_without_an_id_gets_one():
    (block,) = content(a_call(0, "{}", name="f"))

    assert block["id"] == "toolu_1_0"
    assert message_body(an_answer("stop", {"tool_calls": [{"function": {"name": "f"}}]}))["content"] == [block]


def test_what_comes_after_a_complete_input_is_dropped():
    found = content(a_call(0, "{}", id="t1", name="f"), a_delta("a"), a_call(0, " "), a_delta("b"))

    assert found == [used("t1", "f"), {"type": "text", "text": "ab"}]


@pytest.mark.parametrize(
    "fragments", [None, "x", [None], [{}], [{"index": [1], "function": "f"}], [{"function": {"arguments": {"a": 1}}}]]
)
def test_fragments_of_any_shape_do_no_harm(fragments):
    events([a_delta(tool_calls=fragments)], [a_delta(refusal=fragments, reasoning_details=fragments)], an_answer())


def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(messages_blocks, "HELD", 1_100)
    waiting = [[a_call(0, "{", id="t1", name="f")], [a_call(1, "x" * 60, id="t2", name="g")]]

    assert len(events(*waiting, an_answer("length"))) > 4
    with pytest.raises(MaxOutputExceeded):
        events(*waiting, [a_call(1, "x" * 60)])


def test_the_number_of_blocks_that_wait_is_bounded():
    waiting = [delta for _ in range(3_000) for delta in (a_delta("a"), a_delta(reasoning="b"))]

    with pytest.raises(MaxOutputExceeded):
        events([a_call(0, "{", id="t1", name="f")], waiting)
    assert len(content(*waiting)) == 6_000


def test_the_number_of_calls_is_bounded():
    calls = [a_call(at, "{", id=f"t{at}", name="f") for at in range(1_001)]

    assert len(content(*[a_call(at, "{}", id=f"t{at}", name="f") for at in range(1_000)])) == 1_000
    with pytest.raises(MaxOutputExceeded):
        events(calls)


def test_a_piece_of_text_costs_microseconds():
    reads = [[a_delta("Hello ")] for _ in range(2_000)]
    best = min(_seconds(reads) for _ in range(5))

    assert best < 30e-6  # about 2 µs where it was written; slow and busy machines must pass too


def _seconds(reads):
    stream = MessageEvents(Played(*reads, an_answer()))
    began = time.process_time()
    for _ in stream.pieces():
        pass
    return (time.process_time() - began) / len(reads)

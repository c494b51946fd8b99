import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ai.anthropic_stream import EVENTS, StreamDecoder
from adapters.ai.anthropic_wire import decode
from adapters.ai.profile import Profile
from adapters.ai.sse import EventParser
from domain.completion import Delta, Prompt
from domain.provider_errors import MaxOutputExceeded, UpstreamMalformed, UpstreamOverloaded, UpstreamTruncated
from domain.usage import Source, Usage
from tests.conversations import as_put_together, put_together

PROMPT = Prompt("claude", [])
PLAIN = Profile("acme", "http://acme.example", wire="anthropic")
STOP = {"type": "message_stop"}


def decoder(**options: object) -> StreamDecoder:
    return StreamDecoder(Prompt("claude", [], options), PLAIN)


def payloads(*events: dict) -> list[bytes]:
    return [json.dumps(event).encode() for event in events]


def begin(**usage: int) -> dict:
    return {"type": "message_start", "message": {"model": "claude-1", "usage": usage}}


def start(block: dict) -> dict:
    return {"type": "content_block_start", "index": 0, "content_block": block}


def grow(**delta: str) -> dict:
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def text(content: str) -> dict:
    return grow(type="text_delta", text=content)


def end(reason: str | None = "end_turn", stop: str | None = None, **usage: int) -> dict:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": stop}, "usage": usage}


SHUT = {"type": "content_block_stop", "index": 0}


def test_a_whole_stream_closes_with_its_finish_and_usage():
    stream = decoder()
    deltas = stream.feed(
        payloads(
            begin(input_tokens=3, cache_read_input_tokens=2, output_tokens=1),
            start({"type": "text", "text": ""}),
            {"type": "ping"},
            text("po"),
            text("ng"),
            SHUT,
            end(output_tokens=5),
            STOP,
        )
    )
    completion = stream.close()

    assert "".join(delta.text for delta in deltas) == "pong"
    assert deltas[0].choices == [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]
    assert deltas[-1].choices == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert (completion.finish, completion.model, completion.choices) == ("stop", "claude-1", [])
    assert completion.usage == Usage(input=3, cached_input=2, output=5, source=Source.PROVIDER)
    assert (stream.unknown, stream.malformed) == (0, 0)


def test_the_begin_of_a_message_is_no_delta():
    assert decoder().feed(payloads(begin(input_tokens=3), {"type": "ping"})) == []


@pytest.mark.parametrize(
    "events", [[], [text("po")], [text("po"), STOP], [text("po"), end()], [end(None), STOP], [end("max_tokens")]]
)
def test_only_the_end_of_the_message_after_its_reason_proves_an_answer(events):
    stream = decoder()
    deltas = stream.feed(payloads(*events))

    assert not any(choice["finish_reason"] for delta in deltas for choice in delta.choices)
    with pytest.raises(UpstreamTruncated):
        stream.close()


def test_nothing_counts_after_the_end():
    stream = decoder()

    assert [delta.text for delta in stream.feed(payloads(text("a"), end(), STOP, text("b")))] == ["a", ""]


def test_a_call_grows_from_its_head():
    opened = start({"type": "tool_use", "id": "t", "name": "f", "input": {}})
    deltas = decoder().feed(
        payloads(
            opened,
            grow(type="input_json_delta", partial_json='{"a":'),
            grow(type="input_json_delta", partial_json="1}"),
            SHUT,
        )
    )

    assert [delta.choices[0]["delta"] for delta in deltas] == [
        {
            "role": "assistant",
            "tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}],
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
    ]


def test_a_call_without_arguments_has_an_empty_object_and_one_with_all_of_them_at_once_keeps_them():
    empty, full = ({"type": "tool_use", "id": "t", "name": "f", "input": value} for value in ({}, {"a": 1}))
    made = put_together(decoder().feed(payloads(start(empty), SHUT, start(full), SHUT)))

    assert [call["arguments"] for call in made["tool_calls"]] == [{}, {"a": 1}]


def test_reasoning_is_kept_apart_and_its_proof_closes_it():
    deltas = decoder().feed(
        payloads(
            start({"type": "thinking", "thinking": ""}),
            grow(type="thinking_delta", thinking="hm"),
            grow(type="signature_delta", signature="s"),
            SHUT,
            start({"type": "redacted_thinking", "data": "d"}),
            SHUT,
        )
    )

    assert [(delta.text, delta.reasoning) for delta in deltas] == [("", ""), ("", "hm"), ("", ""), ("", "")]
    assert deltas[2].choices[0]["delta"] == {"reasoning_details": [{"type": "thinking", "index": 0, "signature": "s"}]}
    assert deltas[3].choices[0]["delta"] == {
        "reasoning_details": [{"type": "redacted_thinking", "index": 1, "data": "d"}]
    }


def test_what_a_block_begins_with_counts_and_empty_pieces_do_not():
    deltas = decoder().feed(
        payloads(
            start({"type": "thinking", "thinking": "h"}),
            grow(type="thinking_delta", thinking=""),
            start({"type": "text", "text": "p"}),
            text(""),
            start({"type": "text", "text": ""}),
        )
    )

    assert [(delta.text, delta.reasoning) for delta in deltas] == [("", "h"), ("p", "")]


def test_the_stop_text_comes_with_the_finish():
    deltas = decoder().feed(payloads(text("a"), end("stop_sequence", "END"), STOP))

    assert deltas[-1].choices == [{"index": 0, "delta": {}, "finish_reason": "stop", "stop_sequence": "END"}]


def test_an_error_event_ends_the_stream_after_what_came_before_it():
    stream = decoder()
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    deltas = stream.feed(payloads(text("po"), error, text("ng"), end(), STOP))

    assert [delta.text for delta in deltas] == ["po"]
    with pytest.raises(UpstreamOverloaded, match="Overloaded"):
        stream.close()


def test_events_and_blocks_of_no_known_kind_do_no_harm():
    stream = decoder()
    odd = [
        {"type": "later"},
        {},
        start({"type": "server_tool_use"}),
        grow(type="citations_delta"),
        {"type": "content_block_delta"},
        grow(type="input_json_delta", partial_json="x"),
    ]

    assert stream.feed(payloads(*odd)) == []
    assert (stream.unknown, stream.failure) == (5, None)


def test_one_malformed_event_is_dropped_and_more_than_three_end_the_stream():
    stream = decoder()

    assert [delta.text for delta in stream.feed([*payloads(text("a")), b"{", *payloads(text("b"))])] == ["a", "b"]
    stream.feed([b"{", b"{", b"{"])
    assert isinstance(stream.failure, UpstreamMalformed)


@pytest.mark.parametrize(
    "event",
    [
        text("x" * 10_000),
        grow(type="thinking_delta", thinking="x" * 10_000),
        grow(type="input_json_delta", partial_json="x" * 10_000),
    ],
)
def test_an_endless_stream_is_cut_at_its_output_limit(event):
    stream = decoder(max_tokens=10)
    stream.feed(payloads(start({"type": "tool_use", "id": "t", "name": "f"}), *[event] * 20))

    assert isinstance(stream.failure, MaxOutputExceeded)


def test_calls_that_come_whole_are_cut_at_the_output_limit_too():
    stream = decoder(max_tokens=10)
    stream.feed(payloads(*[start({"type": "tool_use", "id": "t", "name": "f", "input": {"a": "x" * 10_000}})] * 20))

    assert isinstance(stream.failure, MaxOutputExceeded)


def test_the_count_of_the_prompt_holds_from_the_beginning_and_that_of_the_output_until_the_next_delta():
    asked = Usage(input=3, cached_input=9_000, source=Source.PROVIDER)
    stream = decoder()
    stream.feed(payloads(begin(input_tokens=3, cache_read_input_tokens=9_000, output_tokens=1), text("po")))
    assert stream.counted == asked

    stream.feed(payloads(end(output_tokens=4)))
    assert stream.counted == replace(asked, output=4)

    stream.feed(payloads(text("ng")))
    assert stream.counted == asked

    stream.feed(payloads(end(output_tokens=6), STOP))
    assert stream.counted == stream.close().usage == replace(asked, output=6)


def test_what_is_said_of_the_output_at_the_beginning_is_not_its_count():
    stream = decoder()
    stream.feed(payloads(begin(input_tokens=3, output_tokens=1), text("ping"), end()))
    assert stream.counted == Usage(input=3, source=Source.PROVIDER)

    stream.feed(payloads(STOP))
    assert stream.close().usage is None


@pytest.mark.parametrize("usage", [{}, {"input_tokens": -1}])
def test_a_prompt_that_nobody_counted_is_not_counted(usage: dict):
    stream = decoder()
    stream.feed(payloads(begin(**usage), text("ping")))

    assert stream.counted is None


def test_what_else_a_provider_counts_is_not_kept():
    stream = decoder()
    stream.feed(payloads(*({"type": "message_delta", "delta": {}, "usage": {f"n{at}": at}} for at in range(50))))

    assert stream._tokens == {}


def test_pieces_of_arguments_go_to_the_call_of_their_block_in_whatever_order_they_come():
    def at(index: int | None, event: dict) -> dict:
        return {**event, "index": index}

    block = {"type": "tool_use", "name": "f", "input": {}}
    stream = decoder()
    deltas = stream.feed(
        payloads(
            begin(input_tokens=3, output_tokens=1),
            at(0, start({**block, "id": "a"})),
            at(1, start({**block, "id": "a"})),
            at(2, start(block)),
            at(0, grow(type="input_json_delta", partial_json='{"x":')),
            at(1, grow(type="input_json_delta", partial_json='{"y":2}')),
            at(9, grow(type="input_json_delta", partial_json="orphan")),
            at(0, grow(type="input_json_delta", partial_json="1}")),
            at(2, SHUT),
            at(1, SHUT),
            end("tool_use", output_tokens=5),
            STOP,
        )
    )

    calls = [(call["id"], call["arguments"]) for call in put_together(deltas)["tool_calls"]]
    assert calls == [("a", {"x": 1}), ("call__0_1", {"y": 2}), ("call__0_2", {})]


def test_endless_calls_are_cut_at_the_output_limit():
    stream = decoder(max_tokens=10)
    stream.feed(payloads(*[start({"type": "tool_use", "id": "a", "name": "f", "input": {}})] * 2_000))

    assert isinstance(stream.failure, MaxOutputExceeded)


_words = st.text(min_size=1, max_size=6)
_inputs = st.dictionaries(_words, st.integers(-9, 9) | _words, max_size=2)
_blocks = st.lists(
    st.one_of(
        _words.map(lambda value: {"type": "text", "text": value}),
        st.tuples(st.text(max_size=6), _words).map(
            lambda pair: {"type": "thinking", "thinking": pair[0], "signature": pair[1]}
        ),
        _words.map(lambda value: {"type": "redacted_thinking", "data": value}),
        st.tuples(_words, _inputs).map(lambda pair: {"type": "tool_use", "id": pair[0], "name": "f", "input": pair[1]}),
    ),
    max_size=5,
)
_REASONS = ["end_turn", "max_tokens", "tool_use", "stop_sequence", "pause_turn", "refusal"]


def events_of(content: list[dict], reason: str) -> list[dict]:
    events = [begin(input_tokens=3, output_tokens=1)]
    for block in content:
        match block["type"]:
            case "text":
                events += [start({"type": "text", "text": ""}), *(text(letter) for letter in block["text"])]
            case "thinking":
                events += [start({"type": "thinking", "thinking": "", "signature": ""})]
                events += [grow(type="thinking_delta", thinking=letter) for letter in block["thinking"]]
                events += [grow(type="signature_delta", signature=block["signature"])]
            case "redacted_thinking":
                events += [start(block)]
            case "tool_use":
                written = json.dumps(block["input"]) if block["input"] else ""
                events += [start({**block, "input": {}})]
                events += [grow(type="input_json_delta", partial_json=letter) for letter in written]
        events.append(SHUT)
    return [*events, end(reason, "END" if reason == "stop_sequence" else None, output_tokens=5), STOP]


@given(_blocks, st.sampled_from(_REASONS))
def test_a_stream_says_what_the_whole_answer_says(content, reason):
    whole = decode(
        json.dumps(
            {
                "content": content,
                "stop_reason": reason,
                "model": "claude-1",
                "usage": {"input_tokens": 3, "output_tokens": 5},
            }
        ).encode(),
        PROMPT,
    )
    stream = decoder()
    deltas = stream.feed(payloads(*events_of(content, reason)))
    closing = stream.close()

    assert put_together(deltas) == as_put_together(whole.choices[0])
    assert (closing.finish, closing.usage, closing.model) == (whole.finish, whole.usage, whole.model)


def fed(pieces: list[bytes]) -> list[Delta]:
    parser, stream = EventParser(names=EVENTS), decoder()
    deltas = [delta for piece in pieces for delta in stream.feed(parser.feed(piece))]
    stream.close()
    return deltas


@given(_blocks, st.sampled_from(["\n", "\r\n"]), st.data())
def test_a_stream_split_anywhere_gives_the_same(content, newline, data):
    events = events_of(content, "end_turn")
    wire = "".join(
        f"event: {event['type']}{newline}data: {json.dumps(event, ensure_ascii=False)}{newline}{newline}"
        for event in events
    ).encode()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=8)))
    pieces = [wire[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    assert fed(pieces) == fed([wire])

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ai.gemini_stream import EVENTS, StreamDecoder
from adapters.ai.gemini_wire import decode
from adapters.ai.profile import Profile
from adapters.ai.sse import EventParser
from domain.completion import Delta, Prompt
from domain.provider_errors import ContentFiltered, MaxOutputExceeded, UpstreamFailed, UpstreamTruncated
from domain.usage import Source, Usage
from tests.conversations import as_put_together, put_together

PLAIN = Profile("acme", "http://acme.example", wire="gemini")


def decoder(**options: object) -> StreamDecoder:
    return StreamDecoder(Prompt("gemini", [], options, "req_7"), PLAIN)


def piece(*parts: dict, reason: str | None = None, index: int = 0, usage: tuple[int, int] | None = None) -> bytes:
    ended = {} if reason is None else {"finishReason": reason}
    counted = {} if usage is None else {"promptTokenCount": usage[0], "candidatesTokenCount": usage[1]}
    told = {"usageMetadata": counted} if counted else {}
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": index, **ended}
    return json.dumps({"candidates": [candidate], "modelVersion": "gemini-1", **told}).encode()


def text(content: str, **fields: object) -> bytes:
    return piece({"text": content}, **fields)


def heard(stream: StreamDecoder, *payloads: bytes) -> str:
    return "".join(delta.text for delta in stream.feed(list(payloads)))


def test_a_whole_stream_closes_with_its_finish_and_usage():
    stream = decoder()
    deltas = stream.feed([text("po", usage=(3, 1)), text("ng", reason="STOP", usage=(3, 2))])
    completion = stream.close()

    assert [delta.choices[0] for delta in deltas] == [
        {"index": 0, "delta": {"role": "assistant", "content": "po"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "ng"}, "finish_reason": "stop"},
    ]
    assert (completion.finish, completion.model, completion.choices) == ("stop", "gemini-1", [])
    assert completion.usage == Usage(input=3, output=2, source=Source.PROVIDER)


@pytest.mark.parametrize(
    "endless",
    [
        piece({"functionCall": {"name": "f", "args": {"a": "x" * 10_000}}}),
        piece(*[{"functionCall": {"name": "f"}}] * 100),
        text("x" * 20_000, index=1),
    ],
)
def test_everything_that_grows_is_cut_at_the_output_limit(endless):
    stream = decoder(max_tokens=10, n=2)
    stream.feed([endless] * 20)

    assert isinstance(stream.failure, MaxOutputExceeded)


def test_calls_without_ids_of_their_own_get_some():
    called = [{"functionCall": {"name": "f", **own}} for own in ({}, {"id": "x"}, {"id": "x"}, {"id": "y" * 300})]
    (delta,) = decoder().feed([piece(*called, reason="STOP")])

    ids = [call["id"] for call in delta.choices[0]["delta"]["tool_calls"]]
    assert ids == ["call_7_0_0", "x", "call_7_0_2", "call_7_0_3"]


@pytest.mark.parametrize("payloads", [[], [text("po")], [text("po", usage=(3, 1))]])
def test_a_stream_without_a_finish_reason_is_truncated(payloads):
    stream = decoder()
    stream.feed(payloads)

    with pytest.raises(UpstreamTruncated):
        stream.close()


def test_every_candidate_has_to_finish_and_the_text_is_that_of_the_first():
    stream = decoder(n=2)
    assert heard(stream, text("a", reason="STOP"), text("b", index=1)) == "a"
    with pytest.raises(UpstreamTruncated):
        stream.close()

    stream.feed([text("", index=1, reason="MAX_TOKENS")])
    assert stream.close().finish == "stop"


def test_a_candidate_that_nobody_asked_for_is_no_part_of_the_answer():
    stream = decoder()

    assert heard(stream, text("x", index=7, reason="STOP"), text("a")) == "a"
    assert not stream.whole


def test_thoughts_are_kept_apart_and_signatures_come_along():
    deltas = decoder().feed(
        [
            piece({"text": "hm", "thought": True}),
            piece({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "s"}),
            piece({"text": "", "thoughtSignature": "s2"}, reason="STOP"),
        ]
    )

    assert [(delta.text, delta.reasoning) for delta in deltas] == [("", "hm"), ("", ""), ("", "")]
    assert deltas[1].choices[0]["delta"]["reasoning_details"] == [
        {"type": "thought_signature", "signature": "s", "tool_call_id": "call_7_0_0", "index": 0}
    ]
    assert deltas[2].choices[0] == {
        "index": 0,
        "delta": {"reasoning_details": [{"type": "thought_signature", "signature": "s2", "index": 1}]},
        "finish_reason": "tool_calls",
    }


def test_each_signature_has_a_place_of_its_own_by_which_sdks_put_the_pieces_of_a_stream_together():
    signed = [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": mark} for mark in "abc"]
    deltas = decoder().feed([piece(*signed[:2]), piece(signed[2], reason="STOP")])
    details = [detail for delta in deltas for detail in delta.choices[0]["delta"]["reasoning_details"]]

    assert [(detail["index"], detail["signature"]) for detail in details] == [(0, "a"), (1, "b"), (2, "c")]


def test_the_last_count_that_makes_sense_wins_and_zero_is_a_number():
    stream, zero = decoder(), decoder()
    stream.feed([text("a", usage=(3, 1)), text("b", reason="STOP", usage=(3, 5)), piece(usage=(3, -1))])
    zero.feed([text("a", reason="STOP", usage=(0, 0))])

    assert stream.close().usage == Usage(input=3, output=5, source=Source.PROVIDER)
    assert zero.close().usage == Usage(source=Source.PROVIDER)


def test_a_count_holds_until_the_next_piece_without_one():
    stream = decoder()
    stream.feed([text("po", usage=(3, 1))])
    assert stream.counted == Usage(input=3, output=1, source=Source.PROVIDER)

    stream.feed([text("ng")])
    assert stream.counted is None


def test_a_blocked_prompt_is_filtered_and_leaves_its_count():
    stream = decoder()
    stream.feed([b'{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}'])

    assert isinstance(stream.failure, ContentFiltered)
    assert stream.counted == Usage(input=4, source=Source.PROVIDER)


@pytest.mark.parametrize(
    "event", [b'{"error": {"code": 500, "message": "Backend died."}}', piece(reason="MALFORMED_FUNCTION_CALL")]
)
def test_a_failure_ends_the_stream_after_what_came_before_it(event):
    stream = decoder()

    assert heard(stream, text("po"), event, text("ng")) == "po"
    assert isinstance(stream.failure, UpstreamFailed)


def test_events_of_no_known_shape_do_no_harm():
    stream = decoder()
    odd = [b"{}", b'{"candidates": 1}', b'{"candidates": [1]}', b'{"candidates": [{"content": {"parts": [7]}}]}']

    assert stream.feed(odd) == []
    assert (stream.unknown, stream.failure) == (4, None)


def test_an_endless_stream_is_cut_at_its_output_limit():
    stream = decoder(max_tokens=10)
    stream.feed([text("x" * 10_000)] * 20)

    assert isinstance(stream.failure, MaxOutputExceeded)


_words = st.text(min_size=1, max_size=6)
_signed = st.sampled_from([{}, {"thoughtSignature": "s"}])
_parts = st.lists(
    st.builds(
        lambda part, signature: {**part, **signature},
        st.one_of(
            _words.map(lambda value: {"text": value}),
            _words.map(lambda value: {"text": value, "thought": True}),
            st.dictionaries(_words, st.integers(-9, 9) | _words, max_size=2).map(
                lambda args: {"functionCall": {"name": "f", "args": args}}
            ),
            _words.map(lambda value: {"functionCall": {"id": value, "name": "f"}}),
        ),
        _signed,
    ),
    max_size=5,
)
_REASONS = ["STOP", "MAX_TOKENS", "SAFETY"]


@given(_parts, st.sampled_from(_REASONS))
def test_a_stream_says_what_the_whole_answer_says(parts, reason):
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 5}
    body = {
        "candidates": [{"content": {"parts": parts}, "finishReason": reason}],
        "modelVersion": "gemini-1",
        "usageMetadata": usage,
    }
    whole = decode(json.dumps(body).encode(), Prompt("gemini", [], {}, "req_7"))
    stream = decoder()
    deltas = stream.feed([*(piece(part) for part in parts), piece(reason=reason, usage=(3, 5))])
    closing = stream.close()
    together, expected = put_together(deltas), as_put_together(whole.choices[0])

    assert _in_any_order(together.pop("details")) == _in_any_order(expected.pop("details"))
    assert together == expected
    assert (closing.finish, closing.usage, closing.model) == (whole.finish, whole.usage, whole.model)


def _in_any_order(details: list[dict]) -> list[str]:
    """Each says where it belongs; a whole answer lists those of calls first."""
    return sorted(json.dumps(detail, sort_keys=True) for detail in details)


def fed(pieces: list[bytes]) -> list[Delta]:
    parser, stream = EventParser(names=EVENTS), decoder()
    deltas = [delta for received in pieces for delta in stream.feed(parser.feed(received))]
    stream.close()
    return deltas


@given(_parts, st.sampled_from([b"\n", b"\r\n"]), st.data())
def test_a_stream_split_anywhere_gives_the_same(parts, newline, data):
    events = [*(piece(part) for part in parts), piece(reason="STOP", usage=(3, 5))]
    wire = b"".join(b"data: " + event + newline * 2 for event in events)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=8)))
    split = [wire[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    assert fed(split) == fed([wire])

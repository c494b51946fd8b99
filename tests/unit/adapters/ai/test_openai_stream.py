import json

import pytest

from adapters.ai.openai_stream import StreamDecoder
from adapters.ai.profile import Profile
from domain.completion import Prompt
from domain.provider_errors import (
    MaxOutputExceeded,
    ProviderError,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamTruncated,
)
from domain.usage import Source, Usage

PLAIN = Profile("acme", "http://acme.example/v1")
MADE = "call__0_1"
CALLED = {"name": "f", "arguments": '{"a":1}'}


def chunk(delta: dict | None = None, finish: str | None = None, index: int = 0, **fields: object) -> bytes:
    choices = [{"index": index, "delta": delta or {}, "finish_reason": finish}]
    return json.dumps({"model": "large-1", "choices": choices, **fields}).encode()


def text(content: str) -> bytes:
    return chunk({"content": content})


def counted(prompt: int, completion: int) -> bytes:
    return json.dumps({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}).encode()


def decoder(profile: Profile = PLAIN, **options: object) -> StreamDecoder:
    return StreamDecoder(Prompt("large", [], options), profile)


def heard(stream: StreamDecoder, *payloads: bytes) -> str:
    return "".join(delta.text for delta in stream.feed(list(payloads)))


def test_a_whole_stream_closes_with_its_finish_and_usage():
    stream = decoder()

    assert heard(stream, text("po"), text("ng"), chunk(finish="stop"), counted(3, 2), b"[DONE]") == "pong"
    completion = stream.close()
    assert (completion.text, completion.finish, completion.model) == ("", "stop", "large-1")
    assert completion.usage == Usage(input=3, output=2, source=Source.PROVIDER)


def test_the_end_without_done_is_complete_after_a_finish_reason():
    stream = decoder()
    stream.feed([text("pong"), chunk(finish="length")])

    assert stream.close().finish == "length"


@pytest.mark.parametrize("payloads", [[], [text("po")], [text("po"), b"[DONE]"], [b"[DONE]"]])
def test_a_stream_without_a_finish_reason_is_truncated(payloads):
    stream = decoder()
    stream.feed(payloads)

    with pytest.raises(UpstreamTruncated):
        stream.close()


def test_a_profile_may_say_that_done_is_enough():
    stream = decoder(Profile("a", "http://a", done_without_finish=True))
    stream.feed([text("pong"), b"[DONE]"])

    assert stream.close().finish == "stop"


def test_every_choice_has_to_finish():
    stream = decoder(n=2)
    stream.feed([chunk({"content": "a"}, "stop"), chunk({"content": "b"}, index=1), b"[DONE]"])

    with pytest.raises(UpstreamTruncated):
        stream.close()


def test_the_text_is_that_of_the_first_choice():
    stream = decoder(n=2)

    assert heard(stream, chunk({"content": "a"}, "stop"), chunk({"content": "b"}, "length", index=1)) == "a"
    assert stream.close().finish == "stop"


def test_documented_members_of_a_choice_pass_and_all_others_are_left_out():
    tokens = {"content": [{"token": "po", "logprob": -0.1, "bytes": [112, 111], "top_logprobs": []}]}
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": "po", "refusal": None, "execute": "alert(1)", "annotations": []},
        "finish_reason": None,
        "logprobs": tokens,
        "stop_reason": None,
        "content_filter_results": {"hate": {}},
    }
    (delta,) = decoder().feed([json.dumps({"choices": [choice]}).encode()])

    told = {"role": "assistant", "content": "po", "refusal": None, "annotations": []}
    assert delta.choices == [{"index": 0, "delta": told, "finish_reason": None, "logprobs": tokens}]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"role": "system"}, {"role": "assistant"}),
        ({"role": None}, {"role": None}),
        ({"content": 5}, {}),
        ({"content": {"a": 1}, "reasoning_content": ["x"]}, {}),
        ({"refusal": ["no"], "annotations": "x", "audio": 7, "images": {}}, {}),
        ({"annotations": [1, {"type": "url_citation"}], "tool_calls": None}, None),
        ({"tool_calls": "execute"}, {}),
        ({"function_call": {"name": "f", "arguments": {"a": 1}, "x": 2}}, {"function_call": CALLED}),
    ],
)
def test_what_is_not_of_its_documented_type_is_left_out(given, kept):
    (delta,) = decoder().feed([chunk(given)])

    if kept is None:
        kept = {"annotations": [{"type": "url_citation"}], "tool_calls": None}
    assert delta.choices[0]["delta"] == kept
    assert delta.text == delta.reasoning == ""


@pytest.mark.parametrize(("index", "wanted"), [(1, 1), (-1, 1), (10**9, 1), (2, 2)])
def test_choices_that_nobody_asked_for_are_dropped(index, wanted):
    stream = decoder(n=wanted)
    both = {"choices": [{"index": index, "delta": {"content": "!"}}, {"index": 0, "delta": {"content": "po"}}]}

    assert stream.feed([chunk({"content": "!"}, index=index)]) == []
    (delta,) = stream.feed([json.dumps(both).encode()])
    assert [choice["index"] for choice in delta.choices] == [0]
    assert (stream.unknown, delta.text) == (1, "po")


@pytest.mark.parametrize(("told", "finish"), [("length", "length"), ("EXECUTE", "stop"), ("x" * 5_000, "stop")])
def test_a_finish_reason_has_one_of_the_documented_words(told, finish):
    stream = decoder()
    (delta,) = stream.feed([chunk({"content": "po"}, told)])

    assert (delta.choices[0]["finish_reason"], stream.close().finish) == (finish, finish)


@pytest.mark.parametrize("told", ["", 0, {"a": 1}, ["stop"], True])
def test_what_is_no_finish_reason_ends_nothing(told):
    stream = decoder()
    (delta,) = stream.feed([json.dumps({"choices": [{"delta": {"content": "po"}, "finish_reason": told}]}).encode()])

    assert (delta.choices[0]["finish_reason"], stream.whole) == (None, False)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_apart_from_the_text(name):
    (delta,) = decoder().feed([chunk({name: "hm", "content": None})])

    assert (delta.text, delta.reasoning) == ("", "hm")


def test_the_last_valid_usage_wins():
    stream = decoder()
    absurd = b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": -1}}'
    stream.feed([chunk(finish="stop"), counted(3, 1), counted(3, 5), absurd, b"[DONE]"])

    assert stream.close().usage == Usage(input=3, output=5, source=Source.PROVIDER)


@pytest.mark.parametrize("name", ["content", "reasoning_content"])
def test_a_count_before_the_last_word_is_not_that_of_the_answer(name):
    stream = decoder()
    stream.feed([chunk({"role": "assistant"}), counted(3, 0), chunk({name: "pong"}), chunk(finish="stop"), b"[DONE]"])

    assert stream.close().usage is None


def test_a_count_with_the_last_word_is_that_of_the_answer():
    stream = decoder()
    last = {"prompt_tokens": 3, "completion_tokens": 2}
    stream.feed([text("po"), chunk({"content": "ng"}, usage=last), chunk(finish="stop"), b"[DONE]"])

    assert stream.close().usage == Usage(input=3, output=2, source=Source.PROVIDER)


def test_zeros_take_back_no_count_that_was_told():
    stream = decoder()
    stream.feed([text("pong"), chunk(finish="stop"), counted(3, 2), counted(0, 0), b"[DONE]"])

    assert stream.close().usage == Usage(input=3, output=2, source=Source.PROVIDER)


def test_usage_of_zero_is_a_number_and_absurd_usage_is_none():
    zero, absurd = decoder(), decoder()
    zero.feed([chunk(finish="stop"), counted(0, 0)])
    absurd.feed([chunk(finish="stop"), counted(10**12, 1)])

    assert zero.close().usage == Usage(source=Source.PROVIDER)
    assert absurd.close().usage is None


def test_one_malformed_event_is_dropped_and_counted():
    stream = decoder()

    assert heard(stream, text("po"), b'{"choices": [', text("ng"), chunk(finish="stop")) == "pong"
    assert (stream.malformed, stream.close().finish) == (1, "stop")


def test_more_than_three_malformed_events_end_the_stream():
    stream = decoder()
    deltas = stream.feed([text("po"), b"a", b"b", b"c", b"d", text("ng")])

    assert isinstance(stream.failure, UpstreamMalformed)
    assert [delta.text for delta in deltas] == ["po"]


def test_a_stream_with_a_tenth_of_its_events_malformed_is_no_answer():
    stream = decoder()
    stream.feed([text("po"), b"a", b"b", chunk(finish="stop")])

    with pytest.raises(UpstreamMalformed):
        stream.close()


def test_events_of_no_known_shape_do_no_harm():
    stream = decoder()
    odd = [
        b'{"type": "execute"}',
        b'{"choices": {"a": 1}}',
        b'{"choices": [{"index": "x", "delta": {}}]}',
        b"{}",
        b"{}",
    ]

    assert stream.feed(odd) == []
    assert (stream.unknown, stream.malformed, stream.failure) == (5, 0, None)


def test_an_error_event_ends_the_stream_after_what_came_before_it():
    stream = decoder()
    deltas = stream.feed([text("po"), b'{"error": {"message": "Backend died.", "code": 502}}', text("ng"), b"[DONE]"])

    assert [delta.text for delta in deltas] == ["po"]
    assert isinstance(stream.failure, UpstreamFailed)
    assert stream.failure.message == "Backend died."


def test_a_finish_reason_that_tells_of_a_failure_ends_the_stream():
    stream = decoder()
    stream.feed([text("po"), chunk(finish="error")])

    assert isinstance(stream.failure, ProviderError)


def test_nothing_counts_after_done():
    stream = decoder()

    assert heard(stream, text("pong"), chunk(finish="stop"), b"[DONE]", text("!")) == "pong"


def piece(index: int | None = 0, arguments: object = "", **more: object) -> dict:
    name = {"name": more.pop("name")} if "name" in more else {}
    at = {} if index is None else {"index": index}
    return {**at, **more, "function": {**name, "arguments": arguments}}


def called(*pieces: dict) -> list[tuple[int, str, str, str]]:
    """Place, id, name and arguments of each call, as a client puts them together by their places."""
    calls: dict[int, list[str]] = {}
    for delta in decoder().feed([chunk({"tool_calls": [piece]}) for piece in pieces]):
        for told in delta.choices[0]["delta"]["tool_calls"]:
            if "id" in told:
                assert told.keys() == {"index", "id", "type", "function"}
                assert told["function"].keys() == {"name", "arguments"}
                calls[told["index"]] = [told["id"], told["function"]["name"], ""]
            calls[told["index"]][2] += told["function"]["arguments"]
    assert list(calls) == list(range(len(calls)))
    return [(place, *call) for place, call in calls.items()]


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        ([piece(0, id="a", name="f"), piece(0, "{"), piece(0, "}")], [("a", "f", "{}")]),
        ([piece(0, "{}", id="a", name="f"), piece(0, "[]", id="b", name="f")], [("a", "f", "{}"), ("b", "f", "[]")]),
        ([piece(0, "{", id="a", name="f"), piece(0, "}", id="a", name="f")], [("a", "f", "{}")]),
        ([piece(None, "{}", id="a", name="f"), piece(None, "{}", name="g")], [("a", "f", "{}"), (MADE, "g", "{}")]),
        ([piece(None, "{", id="a", name="f"), piece(None, "}")], [("a", "f", "{}")]),
        ([piece(0, "{}", id="a", name="f"), piece(1, "{}", id="a", name="g")], [("a", "f", "{}"), (MADE, "g", "{}")]),
        ([piece(0, "{}", name="f", id=7)], [("call__0_0", "f", "{}")]),
        ([piece(0, "{}", name="f", id="x" * 300)], [("call__0_0", "f", "{}")]),
        ([piece(7, {"a": 1}, id="a", name="f"), piece(3, "{", id="b", name="g"), piece(7, ""), piece(3, "}")],
         [("a", "f", '{"a":1}'), ("b", "g", "{}")]),
        ([piece(4, "orphan"), piece(None, "orphan"), piece(0, "{}", id="a", name="f", execute=1)], [("a", "f", "{}")]),
        ([piece(True, "{", id="a", name="f"), piece(None, 7)], [("a", "f", "{")]),
    ],
)  # fmt: skip
def test_each_call_has_a_place_and_an_id_of_its_own_whatever_its_provider_gave(pieces, calls):
    assert called(*pieces) == [(place, *call) for place, call in enumerate(calls)]


def test_the_calls_of_several_choices_are_kept_apart():
    stream = decoder(n=2)
    first, second = stream.feed([chunk({"tool_calls": [piece(0, "{}", name="f")]}, index=index) for index in (0, 1)])

    (one,), (other,) = (delta.choices[0]["delta"]["tool_calls"] for delta in (first, second))
    assert (one["index"], other["index"], one["id"] != other["id"]) == (0, 0, True)


@pytest.mark.parametrize("endless", ["arguments", "calls", "other choice"])
def test_everything_that_grows_is_cut_at_the_output_limit(endless):
    events = {
        "arguments": chunk({"tool_calls": [piece(0, "x" * 10_000, id="a", name="f")]}),
        "calls": chunk({"tool_calls": [piece(None, "", name="f")] * 100}),
        "other choice": chunk({"content": "x" * 20_000}, index=1),
    }
    stream = decoder(max_tokens=10, n=2)
    stream.feed([events[endless]] * 20)

    assert isinstance(stream.failure, MaxOutputExceeded)


def test_an_endless_stream_is_cut_at_its_output_limit():
    stream = decoder(max_tokens=10)
    deltas = stream.feed([text("x" * 10_000)] * 20)

    assert isinstance(stream.failure, MaxOutputExceeded)
    assert sum(len(delta.text) for delta in deltas) < 100_000


def test_a_stream_may_begin_without_a_role_and_with_null_content():
    assert heard(decoder(), chunk({"role": "assistant", "content": None}), text("pong")) == "pong"
    assert heard(decoder(), text("pong")) == "pong"


def test_an_error_in_the_very_last_event_is_the_failure_of_the_stream():
    stream = decoder()
    stream.feed([text("po"), b'{"error": {"message": "out of memory", "code": 500}}'])

    with pytest.raises(UpstreamFailed, match="out of memory"):
        stream.close()


def test_a_count_holds_until_the_next_delta():
    stream = decoder()
    stream.feed([chunk({"content": "po"}, usage={"prompt_tokens": 3, "completion_tokens": 1})])
    assert stream.counted == Usage(input=3, output=1, source=Source.PROVIDER)

    stream.feed([text("ng")])
    assert stream.counted is None

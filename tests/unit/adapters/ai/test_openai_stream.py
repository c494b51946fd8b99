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


def test_choices_pass_through_unchanged():
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}
    (delta,) = decoder().feed([chunk({"tool_calls": [call], "vendor_field": 1})])

    assert delta.choices == [{"index": 0, "delta": {"tool_calls": [call], "vendor_field": 1}, "finish_reason": None}]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_apart_from_the_text(name):
    (delta,) = decoder().feed([chunk({name: "hm", "content": None})])

    assert (delta.text, delta.reasoning) == ("", "hm")


def test_the_last_valid_usage_wins():
    stream = decoder()
    absurd = b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": -1}}'
    stream.feed([chunk(finish="stop"), counted(3, 1), counted(3, 5), absurd, b"[DONE]"])

    assert stream.close().usage == Usage(input=3, output=5, source=Source.PROVIDER)


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

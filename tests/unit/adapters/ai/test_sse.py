from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ai.sse import EventParser
from domain.provider_errors import UpstreamEventTooLarge

AWKWARD = (
    b"\xef\xbb\xbf: hello\r\n\r\ndata: one\n\nevent: message\r\nid: 1\r\nretry: 10\r\ndata:two\r\ndata: lines\r\n\r\n"
    b"data\r\rdata: \xe4\xb8\x96\xe7\x95\x8c\n\ndata:  two blanks\n\nevent: execute\ndata: no\n\n:\n\ndata: [DONE]\n\n"
)
EVENTS = [b"one", b"two\nlines", b"", "世界".encode(), b" two blanks", b"[DONE]"]


def parse(*reads: bytes) -> list[bytes]:
    parser = EventParser()
    return [payload for read in reads for payload in parser.feed(read)]


def test_every_field_line_end_and_comment_of_the_standard_is_understood():
    assert parse(AWKWARD) == EVENTS


@pytest.mark.parametrize("at", range(len(AWKWARD) + 1))
def test_a_stream_means_the_same_wherever_it_is_split(at):
    assert parse(AWKWARD[:at], AWKWARD[at:]) == EVENTS


def test_a_stream_may_come_byte_by_byte():
    assert parse(*(bytes([byte]) for byte in AWKWARD)) == EVENTS


@given(st.lists(st.integers(0, len(AWKWARD)), max_size=12))
def test_a_stream_means_the_same_however_often_it_is_split(cuts):
    edges = [0, *sorted(cuts), len(AWKWARD)]

    assert parse(*(AWKWARD[a:b] for a, b in pairwise(edges))) == EVENTS


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"data: x", b"data:", b":", b"\xef\xbb\xbf", b"event: a"])))
def test_any_mixture_of_lines_means_the_same_in_one_read_and_in_many(pieces):
    whole = b"".join(pieces)

    assert parse(*(bytes([byte]) for byte in whole)) == parse(whole)


def test_a_byte_order_mark_counts_only_at_the_beginning():
    assert parse(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == [b"a"]


def test_events_of_an_unknown_type_are_dropped_and_counted():
    parser = EventParser()

    assert parser.feed(b'event: execute\ndata: {"type": "execute"}\n\nevent: error\ndata: bad\n\n') == [b"bad"]
    assert parser.dropped == 1


def test_an_event_type_holds_for_one_event_only():
    assert parse(b"event: execute\n\ndata: next\n\n") == [b"next"]


def test_a_last_event_without_its_blank_line_comes_with_the_flush():
    parser = EventParser()

    assert parser.feed(b"data: [DONE]") == []
    assert parser.flush() == [b"[DONE]"]


def test_an_endless_line_is_given_up_within_its_limit():
    parser = EventParser(limit=1000)
    parser.feed(b"data: " + b"x" * 900)

    with pytest.raises(UpstreamEventTooLarge):
        parser.feed(b"x" * 200)


def test_an_event_of_endless_lines_is_given_up_within_its_limit():
    parser = EventParser(limit=1000)

    for _ in range(120):
        parser.feed(b"data: 1\n")

    with pytest.raises(UpstreamEventTooLarge):
        parser.feed(b"data: 123456\n" * 120)


def test_many_events_in_one_read_are_not_one_large_event():
    assert len(EventParser(limit=1000).feed(b"data: 123456789\n\n" * 1000)) == 1000

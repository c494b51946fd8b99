from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.journal.codec import (
    HEADER_BYTES,
    Applied,
    Frames,
    Undecodable,
    Unencodable,
    cleaned,
    decode,
    encode,
    frame,
)
from application.records import Progressed
from domain.ledger import State
from domain.limits import EPOCH, Kind, Unit, Window
from domain.usage import Source
from tests.builders import a_hold, a_settled, a_turn, a_usage, an_entry, an_opened

HOLDS = (
    a_hold(amount=9_000_000_000_000_000),
    a_hold(kind=Kind.GLOBAL, subject_id="", unit=Unit.TOKENS, window=Window.TOTAL, period=EPOCH),
)
RECORDS = [
    an_opened(),
    an_opened(turn=a_turn(title="Grüße 😀"), streamed=True),
    Progressed("req_1", 7, "Grüße 😀 \x00 \u2028"),
    Progressed("req_1", 8, ""),
    a_settled(),
    a_settled(session=True, answer="漢字 '\"\\", complete=False, finish_reason=None),
    a_settled(entries=(), ended_at=None, lost=True),
    an_opened(holds=HOLDS),
    a_settled(holds=HOLDS),
    Applied(123),
]


def every_field_set():
    entry = an_entry(
        usage=a_usage(cached_input=1, cache_write=2, reasoning=3, source=Source.ESTIMATED),
        state=State.PARTIAL,
        session_id="sess_1",
        estimate_method="chars/4",
        error_code="client_gone",
        first_token_ms=5,
        streamed=True,
        cost=None,
        charged=9_000_000_000_000_000,
        started_at=datetime(2026, 11, 21, 12, 30, 15, 123456, tzinfo=UTC),
    )
    return a_settled(session=True, entries=(entry,), holds=HOLDS)


@pytest.mark.parametrize("record", [*RECORDS, every_field_set()], ids=lambda record: type(record).__name__)
def test_a_record_is_read_as_it_was_written(record):
    assert decode(encode(record)[HEADER_BYTES:]) == record


def test_a_time_keeps_its_moment_whatever_its_zone():
    record = an_opened(started_at=datetime(2026, 11, 21, 13, tzinfo=timezone(timedelta(hours=2))))

    assert decode(encode(record)[HEADER_BYTES:]) == record


def test_fields_that_this_version_does_not_know_are_dropped():
    newer = encode(an_opened())[HEADER_BYTES:].replace(b'{"open":{', b'{"open":{"colour":"blue",')

    assert decode(newer) == an_opened()


@pytest.mark.parametrize("record", [an_opened(), a_settled()], ids=lambda record: type(record).__name__)
def test_a_record_from_before_there_were_budgets_holds_nothing(record):
    older = encode(record)[HEADER_BYTES:].replace(b',"holds":[]', b"")

    assert b"holds" not in older
    assert decode(older) == record


@pytest.mark.parametrize("wrong", [b'"period":"today"', b'"kind":"planet"', b'"amounts":1'])
def test_a_hold_that_cannot_be_read_makes_its_record_undecodable(wrong):
    name = {b"period": b'"period":"1970-01-01"', b"kind": b'"kind":"global"', b"amount": b'"amount":1000'}
    whole = encode(an_opened(holds=HOLDS))[HEADER_BYTES:]

    with pytest.raises(Undecodable):
        decode(whole.replace(next(it for key, it in name.items() if wrong.startswith(b'"' + key)), wrong))


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"[]", b'{"odd":{}}', b'{"open":{}}', b'{"final":3}', b'{"a":1,"b":2}']
)
def test_a_payload_that_is_no_record_is_undecodable(payload):
    with pytest.raises(Undecodable):
        decode(payload)


@pytest.mark.parametrize(
    "record",
    [
        a_settled(session=True, answer="half \ud83d"),
        Progressed("req_1", 1, "half \ud83d"),
        an_opened(turn=a_turn(question="half \ud83d")),
    ],
)
def test_half_of_a_surrogate_pair_cannot_be_written_and_is_cleaned(record):
    with pytest.raises(Unencodable):
        encode(record)

    assert "half ?" in repr(decode(encode(cleaned(record))[HEADER_BYTES:]))


def test_cleaning_changes_nothing_else():
    record = every_field_set()

    assert cleaned(replace(record, answer="a \ud83d")) == replace(record, answer="a ?")


FILE = b"".join(encode(record) for record in RECORDS)
ENDS = [len(b"".join(encode(record) for record in RECORDS[: number + 1])) for number in range(len(RECORDS))]


def read(content, piece=64):
    frames = Frames(content[start : start + piece] for start in range(0, len(content), piece))
    return [decode(payload) for _, payload in frames], frames


def test_a_file_cut_at_any_byte_gives_all_records_before_the_cut():
    for cut in range(len(FILE) + 1):
        records, frames = read(FILE[:cut])

        whole = sum(end <= cut for end in ENDS)
        assert records == RECORDS[:whole]
        assert frames.end == ([0, *ENDS])[whole]
        assert not frames.damaged


def test_a_changed_byte_anywhere_costs_no_record_before_it_and_invents_none():
    for position in range(len(FILE)):
        changed = FILE[:position] + bytes([FILE[position] ^ 0x40]) + FILE[position + 1 :]

        records, _ = read(changed, piece=1 << 20)

        assert records == RECORDS[: sum(end <= position for end in ENDS)]


def test_records_behind_a_bad_frame_are_noticed():
    first = ENDS[0]
    changed = FILE[: first - 3] + b"?" + FILE[first - 2 :]

    _, frames = read(changed)

    assert frames.damaged


@given(content=st.binary(max_size=400), piece=st.integers(1, 50))
def test_any_bytes_at_all_are_read_without_an_error(content, piece):
    frames = Frames(content[start : start + piece] for start in range(0, len(content), piece))

    assert all(end <= len(content) for end, _ in frames)


@given(payloads=st.lists(st.binary(min_size=1, max_size=300), max_size=8), piece=st.integers(1, 100))
def test_the_size_of_the_pieces_in_which_a_file_is_read_does_not_matter(payloads, piece):
    content = b"".join(frame(payload) for payload in payloads)
    frames = Frames(content[start : start + piece] for start in range(0, len(content), piece))

    assert [payload for _, payload in frames] == payloads
    assert frames.end == len(content)

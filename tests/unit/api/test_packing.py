"""Bodies in parts: packed as they come, unpacked as they go."""

import os
import tracemalloc

import gevent
import pytest

from api import packing
from api.packing import Packer, unpacked
from domain.errors import RequestAbandoned
from domain.idempotency import PART


def packed(*pieces):
    packer = Packer()
    for piece in pieces:
        packer.add(piece)
    return packer.end()


@pytest.mark.parametrize("length", [0, 1, PART - 1, PART, PART + 1, 5 * PART + 7])
def test_a_body_comes_back_in_pieces_that_none_is_longer_than_a_part(length):
    for body in (os.urandom(length), b"x" * length):
        parts = packed(body)
        pieces = list(unpacked(iter(parts)))

        assert b"".join(pieces) == body
        assert all(0 < len(piece) <= PART for piece in (*parts, *pieces))


def test_it_does_not_matter_in_which_pieces_a_body_was_made():
    body = os.urandom(3 * PART)

    parts = packed(*(body[start : start + 70_001] for start in range(0, len(body), 70_001)))

    assert len(parts) == 4
    assert b"".join(unpacked(parts)) == body


def test_what_is_behind_the_end_is_not_asked_for():
    def parts():
        yield from packed(b"Hello")
        raise AssertionError

    assert list(unpacked(parts())) == [b"Hello"]


def test_a_body_without_its_end_is_no_body():
    parts = packed(os.urandom(2 * PART))

    with pytest.raises(RequestAbandoned):
        list(unpacked(parts[:-1]))


def test_of_what_is_too_long_nothing_is_held(monkeypatch):
    monkeypatch.setattr(packing, "MOST", 2 * PART)
    packer = Packer()
    packer.add(os.urandom(2 * PART - 4_096))
    assert not packer.too_long
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(8):
            packer.add(os.urandom(PART))

        assert packer.too_long
        assert tracemalloc.get_traced_memory()[0] < before + PART
        assert len(b"".join(packer.end())) < 100
    finally:
        tracemalloc.stop()


def test_others_have_their_turn_while_a_long_body_is_packed():
    turns = []
    other = gevent.spawn(lambda: [turns.append(gevent.sleep(0)) for _ in range(100)])

    Packer().add(os.urandom(8 * PART))

    assert len(turns) >= 20
    other.join()


def test_unpacking_holds_no_more_than_a_few_parts_however_much_there_is():
    parts = packed(b"\0" * (128 << 20))
    tracemalloc.start()
    try:
        assert sum(map(len, unpacked(parts))) == 128 << 20
        assert tracemalloc.get_traced_memory()[1] < 8 * PART
    finally:
        tracemalloc.stop()

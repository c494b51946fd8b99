"""What every keeper of bytes does. Provide the fixtures `blobs`, and `age` that makes a blob an hour older."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from domain.errors import NotFound

CONTENT = bytes(range(256)) * 1_000
FOREIGN = ("", "x", "../" * 10 + "etc/passwd", "/etc/passwd", "0" * 31, "0" * 33, "g" * 32, "A" * 32, "0" * 32 + "\n")


def read(blobs, blob):
    content = blobs.open(blob)
    try:
        pieces = list(content)
        assert content.size == sum(map(len, pieces))
        return b"".join(pieces)
    finally:
        content.close()


class BlobsContract:
    @pytest.mark.parametrize("content", [b"", b"x", CONTENT])
    def test_what_was_put_is_read_byte_by_byte(self, blobs, content):
        assert read(blobs, blobs.put(content)) == content

    def test_every_blob_has_an_id_of_its_own(self, blobs):
        found = {blobs.put(b"the same") for _ in range(20)}

        assert len(found) == 20
        assert all(re.fullmatch(r"[0-9a-f]{32}", blob) for blob in found)

    def test_many_may_be_put_at_once(self, blobs):
        with ThreadPoolExecutor(4) as pool:
            found = dict(zip(pool.map(blobs.put, [b"%d" % number for number in range(20)]), range(20), strict=True))

        assert {read(blobs, blob) for blob in found} == {b"%d" % number for number in range(20)}

    def test_what_is_deleted_is_gone_and_may_be_deleted_again(self, blobs):
        kept, gone = blobs.put(b"kept"), blobs.put(b"gone")
        blobs.delete(gone)
        blobs.delete(gone)

        with pytest.raises(NotFound):
            blobs.open(gone)
        assert read(blobs, kept) == b"kept"

    def test_one_that_is_being_read_may_be_deleted(self, blobs):
        blob = blobs.put(CONTENT)
        content = blobs.open(blob)
        blobs.delete(blob)

        assert b"".join(content) == CONTENT
        content.close()

    def test_what_is_old_is_told(self, blobs, age):
        old, young = blobs.put(b"old"), blobs.put(b"young")
        now = age(old)

        assert list(blobs.older(now - timedelta(minutes=30))) == [old]
        assert set(blobs.older(now + timedelta(minutes=30))) == {old, young}
        assert list(blobs.older(now - timedelta(minutes=90))) == []

    @pytest.mark.parametrize("blob", FOREIGN)
    def test_what_is_no_id_of_ours_is_not_there(self, blobs, blob):
        with pytest.raises(NotFound):
            blobs.open(blob)

    def test_there_is_room_for_a_little(self, blobs):
        blobs.require_room(1)

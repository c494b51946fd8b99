"""What the repository of files does. Provide the fixture `begin` on an empty store."""

from datetime import timedelta
from typing import Any

import pytest

from domain.errors import NotFound
from domain.stored_file import Purpose, StoredFile
from tests.builders import NOW
from tests.contracts.populated import EMOJI, ids


def a_file(number: int = 1, **fields: Any) -> StoredFile:
    given = {
        "id": f"file_{number}",
        "user_id": "usr_1",
        "purpose": Purpose.IMAGE,
        "name": f"{EMOJI}.png",
        "media_type": "image/png",
        "size": 5_000_000_000,
        "sha256": f"{number:064x}",
        "blob": f"{number:032x}",
        "created_at": NOW + timedelta(microseconds=number),
        "request_id": f"req_{number}",
    }
    return StoredFile(**{**given, **fields})


def put(begin, *files):
    with begin() as work:
        for file in files:
            work.files.add(file)


class FilesContract:
    def test_a_file_is_found_as_it_was_stored(self, begin):
        files = [a_file(), a_file(2, request_id=None)]
        put(begin, *files)

        with begin() as work:
            assert [work.files.get(file.id, "usr_1") for file in files] == files

    def test_files_of_others_do_not_exist(self, begin):
        put(begin, a_file(), a_file(2, user_id="usr_2"))

        with begin() as work:
            for file_id, user_id in (
                ("file_1", "usr_2"),
                ("file_2", "usr_1"),
                ("file_9", "usr_1"),
                ("FILE_1", "usr_1"),
            ):
                with pytest.raises(NotFound):
                    work.files.get(file_id, user_id)
            assert ids(work.files.page("usr_2", 9, None)) == ["file_2"]

    def test_pages_follow_each_other_from_the_newest(self, begin):
        put(begin, *(a_file(number) for number in (3, 1, 4, 2)))

        with begin() as work:
            assert ids(work.files.page("usr_1", 3, None)) == ["file_4", "file_3", "file_2"]
            assert ids(work.files.page("usr_1", 3, "file_2", Purpose.IMAGE)) == ["file_1"]
            assert work.files.page("usr_1", 3, "file_1") == []

    def test_the_files_of_calls_come_in_the_order_of_their_making(self, begin):
        put(begin, a_file(2, request_id="req_a"), a_file(1, request_id="req_a"), a_file(3), a_file(4, request_id=None))

        with begin() as work:
            assert ids(work.files.of_requests(["req_a", "req_3", "req_none"])) == ["file_1", "file_2", "file_3"]
            assert work.files.of_requests([]) == []

    def test_a_deleted_file_is_gone(self, begin):
        put(begin, a_file(), a_file(2))
        with begin() as work:
            work.files.delete("file_1")
            work.files.delete("file_1")

        with begin() as work:
            assert ids(work.files.page("usr_1", 9, None)) == ["file_2"]

    def test_a_user_who_goes_leaves_none(self, begin):
        put(begin, a_file(), a_file(2), a_file(3, user_id="usr_2"))
        with begin() as work:
            work.files.forget("usr_1")

        with begin() as work:
            assert work.files.page("usr_1", 9, None) == []
            assert ids(work.files.page("usr_2", 9, None)) == ["file_3"]

    def test_blobs_that_no_file_has_are_told_apart(self, begin):
        known, other = a_file(), "f" * 32
        put(begin, known)

        with begin() as work:
            assert work.files.unknown([other, known.blob]) == [other]
            assert work.files.unknown([]) == []

import errno
import fcntl
import os
import resource
from contextlib import contextmanager

import pytest

from adapters.journal.segment import Reserve, chunks, create, owned_by, seize


@pytest.fixture
def segment(tmp_path):
    segment = create(tmp_path, "ab-1", 0)
    yield segment
    segment.close()


def refuse(*_):
    raise OSError(errno.EIO, "broken")


@contextmanager
def files_limited_to(size):
    """No file of this process may grow beyond `size`, its log neither; the kernel then says EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_file_of_a_living_owner_cannot_be_seized(segment):
    assert seize(segment.path) is None


def test_the_file_of_a_dead_owner_is_seized_by_one_alone(tmp_path):
    create(tmp_path, "ab-1", 0).close()

    fd = seize(tmp_path / "ab-1-0.log")

    assert fd is not None
    assert seize(tmp_path / "ab-1-0.log") is None
    os.close(fd)


def test_a_file_that_was_replaced_while_it_was_seized_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "ab-1-0.log"
    create(tmp_path, "ab-1", 0).close()
    really = fcntl.flock

    def replace_and_lock(fd, operation):
        path.unlink()
        path.write_bytes(b"another")
        return really(fd, operation)

    monkeypatch.setattr(fcntl, "flock", replace_and_lock)

    assert seize(path) is None
    assert path.read_bytes() == b"another"


def test_a_new_file_that_a_reaper_took_before_it_was_locked_is_not_used(tmp_path, monkeypatch):
    really = fcntl.flock

    def reap_and_lock(fd, operation):
        (tmp_path / "ab-1-0.log").unlink()
        return really(fd, operation)

    monkeypatch.setattr(fcntl, "flock", reap_and_lock)

    with pytest.raises(FileExistsError):
        create(tmp_path, "ab-1", 0)


def test_only_the_owner_may_read_the_conversations_in_a_journal(segment):
    assert segment.path.stat().st_mode & 0o777 == 0o600


def test_appending_tells_where_the_frame_ends(segment):
    assert [segment.append(b"abc"), segment.append(b"de")] == [3, 5]
    assert segment.read(5, 2) == b"de"
    assert b"".join(chunks(segment.fd)) == b"abcde"


def test_a_frame_that_does_not_fit_leaves_nothing_behind(segment):
    segment.append(b"x" * 990)

    with files_limited_to(1000), pytest.raises(OSError) as refused:
        segment.append(b"y" * 20)

    assert refused.value.errno == errno.EFBIG
    assert segment.path.read_bytes() == b"x" * 990
    assert segment.append(b"z" * 10) == 1000


def test_a_torn_frame_that_cannot_be_cut_off_ends_the_use_of_the_file(segment, monkeypatch):
    monkeypatch.setattr(os, "ftruncate", refuse)
    segment.append(b"x" * 990)

    with files_limited_to(1000), pytest.raises(OSError):
        segment.append(b"y" * 20)

    assert segment.broken


def test_a_failed_sync_ends_the_use_of_the_file(segment, monkeypatch):
    monkeypatch.setattr(os, "fdatasync", refuse)

    with pytest.raises(OSError):
        segment.sync()

    assert segment.broken


def test_the_first_sync_makes_the_name_durable_as_well(segment, monkeypatch):
    folders = []
    monkeypatch.setattr("adapters.journal.segment.sync_folder", folders.append)

    segment.sync()
    segment.sync()

    assert folders == [segment.path.parent]


def test_a_note_is_left_out_where_it_does_not_fit(segment):
    segment.append(b"x" * 990)

    with files_limited_to(1000):
        segment.note(b"y" * 20)

    assert segment.size == 990


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("ab12-77-3.log", ("ab12-77", 3)),
        ("retry-0-0.log", ("retry-0", 0)),
        ("ab12-77.reserve", None),
        ("ab12-77.rejected", None),
        ("ab12-77-3.log.gz", None),
        ("notes.log", None),
    ],
)
def test_the_name_tells_whose_file_it_is(name, owner):
    assert owned_by(name) == owner


def test_a_reserve_holds_its_space_until_it_is_released(tmp_path):
    path = tmp_path / "ab-1.reserve"
    reserve = Reserve(path, 1 << 20)
    assert path.stat().st_blocks * 512 >= 1 << 20

    assert reserve.release()

    assert path.stat().st_blocks == 0
    assert not reserve.release()
    assert reserve.restore()
    assert path.stat().st_blocks * 512 >= 1 << 20
    reserve.remove(path)
    assert not path.exists()


def test_a_limit_on_file_sizes_leaves_nothing_to_reserve_and_is_no_full_disk(tmp_path):
    with files_limited_to(1000):
        reserve = Reserve(tmp_path / "ab-1.reserve", 1 << 20)

    assert not reserve.released
    reserve.remove(tmp_path / "ab-1.reserve")

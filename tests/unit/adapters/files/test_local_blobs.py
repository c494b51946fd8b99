"""Blobs on a disk: whole or not there at all, readable by nobody else, inside their folder whatever is asked for."""

import errno
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.files import local
from adapters.files.local import LocalBlobs
from domain.errors import NotFound, StorageFull
from tests.contracts.blobs import FOREIGN, BlobsContract, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def blobs(folder: Path) -> LocalBlobs:
    return LocalBlobs(folder)


def everything(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]


def make_older(path: Path) -> None:
    before = path.stat().st_mtime - 3_600
    os.utime(path, (before, before))


class TestLocalBlobs(BlobsContract):
    @pytest.fixture
    def age(self, folder):
        def older(blob):
            make_older(folder / blob[:2] / blob[2:4] / blob)
            return datetime.now(UTC)

        return older


def test_a_blob_lies_two_folders_deep_for_its_owner_alone(blobs: LocalBlobs, folder: Path) -> None:
    blob = blobs.put(b"secret")

    (path,) = everything(folder)
    assert path == folder / blob[:2] / blob[2:4] / blob
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(it.stat().st_mode) for it in (folder, path.parent, path.parent.parent)} == {0o700}


@pytest.mark.parametrize("blob", FOREIGN)
def test_no_name_leads_out_of_the_folder(blobs: LocalBlobs, blob: str) -> None:
    with pytest.raises(NotFound):
        blobs.delete(blob)
    with pytest.raises(NotFound):
        blobs.open(blob)


def test_a_link_in_the_place_of_a_blob_is_not_followed(blobs: LocalBlobs, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    blob = blobs.put(b"mine")
    (path,) = everything(folder)
    path.unlink()
    path.symlink_to(tmp_path / "secret")

    with pytest.raises(OSError, match="symbolic") as refusal:
        blobs.open(blob)
    assert refusal.value.errno == errno.ELOOP


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_full_disk_is_told_and_nothing_is_left(
    blobs: LocalBlobs, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def sync(_descriptor: int) -> None:
        if everything(folder):
            raise OSError(number, "no room")

    monkeypatch.setattr(local.os, "fsync", sync)
    with pytest.raises(StorageFull):
        blobs.put(b"content")

    assert everything(folder) == []


def test_another_failure_is_a_defect_and_leaves_nothing_either(
    blobs: LocalBlobs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(OSError, match="broken"):
        blobs.put(b"content")

    assert everything(folder) == []


def test_a_blob_appears_whole_under_its_name(blobs: LocalBlobs, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there when the content is made durable has another name, which nobody can ask for."""
    seen: list[str] = []
    sync = os.fsync
    monkeypatch.setattr(
        local.os, "fsync", lambda number: (seen.extend(it.name for it in everything(folder)), sync(number))[1]
    )

    blob = blobs.put(b"content")

    assert f"{blob}.part" in seen
    assert seen.index(f"{blob}.part") < seen.index(blob)
    assert read(blobs, blob) == b"content"


def test_what_a_killed_worker_left_unfinished_is_removed(blobs: LocalBlobs, folder: Path) -> None:
    blob = blobs.put(b"content")
    place = folder / blob[:2] / blob[2:4]
    for name in ("0" * 32 + ".part", "f" * 32 + ".part", "README"):
        (place / name).write_bytes(b"x")
    for name in ("0" * 32 + ".part", "README"):
        make_older(place / name)

    assert list(blobs.older(datetime.now(UTC) - timedelta(minutes=30))) == []
    assert {it.name for it in everything(folder)} == {blob, "f" * 32 + ".part", "README"}


def test_there_is_never_room_for_everything(blobs: LocalBlobs) -> None:
    with pytest.raises(StorageFull):
        blobs.require_room(1 << 60)


def test_a_file_is_read_in_pieces(blobs: LocalBlobs) -> None:
    content = blobs.open(blobs.put(b"x" * (2 * local.PIECE + 1)))

    assert [len(piece) for piece in content] == [local.PIECE, local.PIECE, 1]
    content.close()


def test_nothing_is_left_open(blobs: LocalBlobs) -> None:
    blob = blobs.put(b"content")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - descriptors are no files
    for _ in range(20):
        read(blobs, blobs.put(b"more"))
        read(blobs, blob)

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - the same

"""One file of the journal, and the disk space that is kept back for the moment the disk is full."""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SUFFIX = ".log"
RESERVE = ".reserve"
_NAME = re.compile(r"(?P<owner>[0-9a-z]+-[0-9]+)-(?P<number>[0-9]+)\.log")
_CHUNK = 256 << 10


class Segment:
    """An append-only file under an exclusive `flock`, which says: the owner lives.

    The lock belongs to the open file, so it ends with the process, however that ends. A child that is forked without
    `exec` shares it and keeps it for as long as it lives.
    """

    __slots__ = ("_folder_synced", "broken", "fd", "path", "size", "unapplied")

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.size = 0
        self.unapplied = 0
        """Finals in this file that are not in SQL yet."""
        self.broken = False
        """Nothing may be appended any more: a torn record could not be cut off, or a sync has failed."""
        self._folder_synced = False

    def append(self, frame: bytes) -> int:
        """Returns the offset at which the frame ends. All of it is in the kernel or, after an OSError, none of it."""
        try:
            written = os.write(self.fd, frame)
            while written < len(frame):
                written += os.write(self.fd, frame[written:])
        except OSError:
            self._cut()
            raise
        self.size += written
        return self.size

    def note(self, frame: bytes) -> None:
        """Append what may as well be missing."""
        if not self.broken:
            with suppress(OSError):
                self.append(frame)

    def read(self, end: int, length: int) -> bytes:
        """The `length` bytes before `end`."""
        return os.pread(self.fd, length, end - length)

    def sync(self) -> None:
        """Blocks until everything that was appended before this call, and the file's name, survive a power loss."""
        try:
            if not self._folder_synced:
                sync_folder(self.path.parent)
                self._folder_synced = True
            os.fdatasync(self.fd)
        except OSError:
            self.broken = True
            raise

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Give up the lock as well."""
        os.close(self.fd)

    def _cut(self) -> None:
        try:
            os.ftruncate(self.fd, self.size)
        except OSError:
            self.broken = True


class Reserve:
    """Disk space that belongs to this process but holds nothing, so that finals can be written on a full disk."""

    def __init__(self, path: Path, size: int) -> None:
        self._size = size
        self._fd = _locked(path)
        self.released = True
        self.restore()

    def restore(self) -> bool:
        """Allocate the space again; False while the disk has less. A limit on file sizes leaves nothing to keep."""
        try:
            os.posix_fallocate(self._fd, 0, self._size)
        except OSError as error:
            self.released = error.errno != errno.EFBIG
        else:
            self.released = False
        if self.released:
            os.ftruncate(self._fd, 0)
        return not self.released

    def release(self) -> bool:
        """False when there is nothing left to release."""
        if self.released:
            return False
        os.ftruncate(self._fd, 0)
        self.released = True
        return True

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        os.close(self._fd)


def create(folder: Path, owner: str, number: int) -> Segment:
    """A new, empty segment that is locked. FileExistsError when the number is taken, also by a reaper's lock."""
    path = folder / f"{owner}-{number}{SUFFIX}"
    return Segment(path, _locked(path))


def owned_by(name: str) -> tuple[str, int] | None:
    """Owner and number of a segment's file name."""
    match = _NAME.fullmatch(name)
    return None if match is None else (match["owner"], int(match["number"]))


def seize(path: Path) -> int | None:
    """Open and lock a file whose owner is dead. None when it lives, or when another reaper was faster."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if _lock(fd) and _is_at(fd, path):
        return fd
    os.close(fd)
    return None


def chunks(fd: int) -> Iterator[bytes]:
    offset = 0
    while chunk := os.pread(fd, _CHUNK, offset):
        offset += len(chunk)
        yield chunk


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power loss."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _locked(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    # Between the two calls a reaper may have found the file without a lock, taken it and deleted it.
    if _lock(fd) and _is_at(fd, path):
        return fd
    os.close(fd)
    raise FileExistsError(errno.EEXIST, "a reaper has taken the new file", str(path))


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False

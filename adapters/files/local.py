"""Blobs as files of this machine, in two levels of folders, readable by nobody else.

What is there under its name is whole: a blob is written under another name, made durable, and then renamed.
"""

import errno
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path

from gevent.threadpool import ThreadPool

from domain.errors import NotFound, StorageFull

PIECE = 64 << 10
"""Bytes that are read at a time."""

_ID = re.compile(r"[0-9a-f]{32}")
_UNFINISHED = ".part"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_SPARE = 16 << 20
"""Bytes that are left to others on a disk."""
_AT_ONCE = 4


class LocalBlobs:
    """Implements `Blobs`. Several machines that share a database must share this folder as well."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _pool(self) -> ThreadPool:
        """Made at the first use: it belongs to the event loop of the process that writes."""
        return ThreadPool(_AT_ONCE)

    def put(self, content: bytes) -> str:
        """Beside the event loop, which a slow disk would block."""
        blob = secrets.token_hex(16)
        try:
            self._pool.apply(self._write, (self._place(blob), content))
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StorageFull from error
            raise
        return blob

    def open(self, blob: str) -> "LocalContent":
        try:
            descriptor = os.open(self._place(blob), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound("The content of this file is gone.") from None
        return LocalContent(descriptor)

    def delete(self, blob: str) -> None:
        with suppress(FileNotFoundError):
            self._place(blob).unlink()

    def older(self, than: datetime) -> Iterator[str]:
        moment = than.timestamp()
        for path in self._folder.glob("??/??/*"):
            with suppress(FileNotFoundError):  # somebody else was faster
                if path.lstat().st_mtime >= moment:
                    continue
                if path.suffix == _UNFINISHED:
                    path.unlink()
                elif _ID.fullmatch(path.name):
                    yield path.name

    def require_room(self, size: int) -> None:
        """Nor where nothing can be written. There may be less when it comes to writing; `put` tells then."""
        self._make(self._folder)
        found = os.statvfs(self._folder)
        if found.f_bavail * found.f_frsize < size + _SPARE or not os.access(self._folder, os.W_OK):
            raise StorageFull

    def _place(self, blob: str) -> Path:
        """Raises NotFound for whatever is not one of our own ids, so that no name leads out of the folder."""
        if not _ID.fullmatch(blob):
            raise NotFound("The content of this file is gone.")
        return self._folder / blob[:2] / blob[2:4] / blob

    def _write(self, place: Path, content: bytes) -> None:
        self._make(place.parent)
        unfinished = place.with_suffix(_UNFINISHED)
        try:
            _store(unfinished, content)
            unfinished.rename(place)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        _sync(place.parent)

    def _make(self, folder: Path) -> None:
        """With those above it: a new folder is durable when the one that it is in was synced."""
        if folder.is_dir():
            return
        self._make(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _sync(folder.parent)


class LocalContent:
    """Implements `Content`."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self.size = os.fstat(descriptor).st_size

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._file.read(PIECE):
            yield piece

    def close(self) -> None:
        self._file.close()


def _store(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

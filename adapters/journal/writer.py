"""The writing end of one process's journal: which segment is open, and what to do when the disk refuses."""

import errno
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from adapters.journal.committer import Committer
from adapters.journal.segment import RESERVE, Reserve, Segment, create

_TRIES = 5


@dataclass(slots=True)
class _Generation:
    """What has been written of a generation that is still running."""

    frames: list[bytes]
    _replaceable: bool = False

    def progressed(self, frame: bytes, *, text: bool) -> None:
        """A progress without text says all that the one before it said, if that had no text either."""
        if self._replaceable and not text:
            self.frames[-1] = frame
        else:
            self.frames.append(frame)
        self._replaceable = not text


class Writer:
    """Every segment stands by itself: it begins with all that is known of the generations that are still running.

    So a segment can go as soon as its own finals are in SQL, however long a stream that began in it lasts.
    """

    def __init__(self, folder: Path, committer: Committer, monotonic: Callable[[], float]) -> None:
        self.folder = folder
        self.owner = f"{secrets.token_hex(4)}-{os.getpid()}"
        self.position = 0
        """Bytes written so far, in all segments together."""
        self._committer = committer
        self._monotonic = monotonic
        self._numbers = count()
        self._running: dict[str, _Generation] = {}
        self._segment: Segment | None = None
        self._older: set[Segment] = set()
        self._reserve: Reserve | None = None
        self._reserve_tried = 0.0
        self._limit = 0
        self._closed = False

    def start(self, segment_bytes: int, reserve_bytes: int) -> None:
        """Raises OSError when the folder does not work; a full disk is no reason not to start."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._limit = segment_bytes
        if reserve_bytes:
            self._reserve = Reserve(self._reserve_path, reserve_bytes)

    def opened(self, request_id: str, frame: bytes) -> None:
        self._append_if_room(frame)
        self._running[request_id] = _Generation([frame])

    def progressed(self, request_id: str, frame: bytes, *, text: bool) -> None:
        generation = self._running.get(request_id)
        if generation is not None:
            self._append_if_room(frame)
            generation.progressed(frame, text=text)

    def settled(self, request_id: str, frame: bytes) -> tuple[Segment, int]:
        """The segment and the offset at which the final ends there. Takes the reserve when the disk is full."""
        try:
            place = self._append(frame)
        except OSError as error:
            place = self._append_again(frame, error)
        self._running.pop(request_id, None)
        return place

    def forget(self, request_id: str) -> None:
        """Its final went to SQL by another way."""
        self._running.pop(request_id, None)

    def done(self, segment: Segment) -> bool:
        """Delete the segment if nothing is appended to it any more and SQL has all of it."""
        if segment.unapplied or segment not in self._older:
            return False
        self._older.discard(segment)
        self._committer.remove(segment)
        return True

    def close(self) -> None:
        """Segments that still say something stay, unlocked, for a reaper."""
        self._closed = True
        segments = self._older if self._segment is None else {*self._older, self._segment}
        for segment in segments:
            if self._running or segment.unapplied:
                self._committer.close(segment)
            else:
                self._committer.remove(segment)
        self._older, self._segment = set(), None
        if self._reserve is not None:
            self._reserve.remove(self._reserve_path)
            self._reserve = None

    @property
    def running(self) -> int:
        """Generations that have begun and not ended."""
        return len(self._running)

    @property
    def _reserve_path(self) -> Path:
        return self.folder / f"{self.owner}{RESERVE}"

    def _append_if_room(self, frame: bytes) -> None:
        """The reserve is for finals alone: while it is in use, nothing new begins."""
        if self._reserve is not None and self._reserve.released and not self._restored(self._reserve):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            self._append(frame)
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            self._rotate()
            self._append(frame)

    def _append_again(self, frame: bytes, error: OSError) -> tuple[Segment, int]:
        if error.errno == errno.EFBIG:
            self._rotate()
        elif self._reserve is None or not self._reserve.release():
            raise error
        return self._append(frame)

    def _append(self, frame: bytes) -> tuple[Segment, int]:
        segment = self._current()
        end = segment.append(frame)
        self.position += len(frame)
        return segment, end

    def _current(self) -> Segment:
        segment = self._segment
        if segment is None or segment.broken:
            return self._rotate()
        if segment.size < self._limit:
            return segment
        try:
            return self._rotate()
        except OSError:
            return segment

    def _rotate(self) -> Segment:
        fresh = self._create()
        try:
            carried = b"".join(frame for generation in self._running.values() for frame in generation.frames)
            self.position += fresh.append(carried)
        except OSError:
            self._committer.remove(fresh)
            raise
        old, self._segment = self._segment, fresh
        if old is not None:
            self._older.add(old)
            self.done(old)
        return fresh

    def _create(self) -> Segment:
        if self._closed:
            raise OSError(errno.EBADF, "the journal is closed")
        for _ in range(_TRIES):
            try:
                return create(self.folder, self.owner, next(self._numbers))
            except FileExistsError:
                continue
        raise OSError(errno.EEXIST, "no free name for a segment")

    def _restored(self, reserve: Reserve) -> bool:
        now = self._monotonic()
        if now - self._reserve_tried < 1:
            return False
        self._reserve_tried = now
        return reserve.restore()

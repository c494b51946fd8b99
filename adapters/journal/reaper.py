"""Takes over the journals of processes that died."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import gevent

from adapters.journal.codec import Applied, Frames, Undecodable, decode
from adapters.journal.delivery import REJECTED, TRY_AGAIN, Delivery
from adapters.journal.segment import RESERVE, chunks, owned_by, seize, sync_folder
from application.facts import JournalDegraded, JournalRejected
from application.ports import Record
from application.records import Opened, Progressed, Settled

Abandon = Callable[[Opened, Sequence[Progressed]], Settled]
"""Settles a generation whose worker died."""

_BATCH = 200


class Reaper:
    """Many may work on the same folder: the locks decide who gets a journal, and applying twice is harmless."""

    def __init__(self, folder: Path, owner: str, delivery: Delivery, abandon: Abandon, record: Record) -> None:
        """Files of `owner` are left alone."""
        self._folder = folder
        self._owner = owner
        self._delivery = delivery
        self._abandon = abandon
        self._record = record
        self.orphaned = 0
        """Bytes of journals whose owner is dead and that SQL did not take yet."""
        self._delivered: set[Path] = set()
        """Segments that were read to their end before SQL failed: the next sweep goes on behind them."""

    def run(self, seconds: float, ready: Callable[[], bool]) -> None:
        """The greenlet's life: a sweep about every `seconds`, while SQL is `ready`."""
        while True:
            gevent.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311 - spreads workers, guards nothing
            if ready():
                self._sweep_or_report()

    def sweep(self) -> None:
        """Reap every journal that nobody holds. What SQL does not take now stays for the next sweep."""
        self.orphaned = 0
        for paths in self._journals():
            files = self._seize_all(paths)
            try:
                if files:
                    self._reap(files)
            except TRY_AGAIN:
                self.orphaned += sum(os.fstat(fd).st_size for _, fd in files)
            finally:
                _close(files)

    def _sweep_or_report(self) -> None:
        try:
            self.sweep()
        except Exception as error:  # noqa: BLE001 - the outermost call of a greenlet that has to live on
            self._record(JournalDegraded(type(error).__name__, "none"))

    def _journals(self) -> list[list[Path]]:
        """The segments of each other owner, in the order of their writing."""
        journals: dict[str, list[tuple[int, Path]]] = {}
        for entry in os.scandir(self._folder):
            segment = owned_by(entry.name)
            if segment is not None and segment[0] != self._owner:
                journals.setdefault(segment[0], []).append((segment[1], Path(entry.path)))
            elif entry.name.endswith(RESERVE) and not entry.name.startswith(f"{self._owner}."):
                _remove_reserve(Path(entry.path))
        return [[path for _, path in sorted(segments)] for segments in journals.values()]

    def _seize_all(self, paths: list[Path]) -> list[tuple[Path, int]]:
        """All or none: a final may be in a later segment than its opening. Ascending, so two reapers never cross."""
        files: list[tuple[Path, int]] = []
        for path in paths:
            fd = seize(path)
            if fd is None:
                _close(files)
                return []
            files.append((path, fd))
        return files

    def _reap(self, files: list[tuple[Path, int]]) -> None:
        remains = Remains(self._delivery)
        damaged = [path for path, fd in files if self._read(remains, path, fd)]
        self._deliver([self._abandon(opened, progresses) for opened, progresses in remains.running.values()])
        for path, _ in files:
            if path in damaged:
                self._keep(path)
            else:
                path.unlink(missing_ok=True)
            self._delivered.discard(path)

    def _read(self, remains: "Remains", path: Path, fd: int) -> bool:
        damaged = remains.read(fd, delivered=path in self._delivered)
        self._delivered.add(path)
        return damaged

    def _deliver(self, lost: list[Settled]) -> None:
        for start in range(0, len(lost), _BATCH):
            self._delivery.deliver(lost[start : start + _BATCH], reaped=True)

    def _keep(self, path: Path) -> None:
        kept = path.with_suffix(REJECTED)
        path.rename(kept)
        sync_folder(self._folder)
        self._record(JournalRejected(None, "damaged", kept.name))


class Remains:
    """What a dead process left: reads one segment after the other and delivers the finals as it goes."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._finals: list[tuple[int, Settled]] = []
        self.running: dict[str, tuple[Opened, list[Progressed]]] = {}
        """Generations without a final, by request id."""

    def read(self, fd: int, *, delivered: bool = False) -> bool:
        """Whether the file is damaged before its end. Lets other greenlets run between pieces.

        Of a file that was `delivered` before, only what it says of running generations counts.
        """
        frames = Frames(_gently(fd))
        for end, payload in frames:
            self._take(end, payload)
            if delivered:
                self._finals.clear()
        self._deliver(len(self._finals))
        return frames.damaged

    def _take(self, end: int, payload: bytes) -> None:
        try:
            entry = decode(payload)
        except Undecodable:
            self._delivery.reject_unreadable(payload)
            return
        if isinstance(entry, Settled):
            self.running.pop(entry.request_id, None)
            self._finals.append((end, entry))
            self._deliver(len(self._finals) // _LOOKAHEAD * _BATCH)
        elif isinstance(entry, Applied):
            self._finals = [final for final in self._finals if final[0] > entry.offset]
        elif isinstance(entry, Opened):
            self.running[entry.request_id] = (entry, [])
        elif entry.request_id in self.running:
            self.running[entry.request_id][1].append(entry)

    def _deliver(self, number: int) -> None:
        """The first `number` finals."""
        for start in range(0, number, _BATCH):
            batch = self._finals[start : min(start + _BATCH, number)]
            self._delivery.deliver([settled for _, settled in batch], reaped=True)
        del self._finals[:number]


_LOOKAHEAD = 5 * _BATCH
"""So many finals wait for a note that they are applied already."""


def _gently(fd: int) -> Iterator[bytes]:
    for chunk in chunks(fd):
        yield chunk
        gevent.sleep(0)


def _remove_reserve(path: Path) -> None:
    fd = seize(path)
    if fd is not None:
        path.unlink(missing_ok=True)
        os.close(fd)


def _close(files: list[tuple[Path, int]]) -> None:
    for _, fd in files:
        os.close(fd)

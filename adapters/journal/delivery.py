"""The way of settled records into SQL, or aside when SQL refuses one for what it is."""

import os
from collections.abc import Sequence
from pathlib import Path

from adapters.journal.codec import encode, frame
from adapters.journal.segment import sync_folder
from application.facts import JournalApplied, JournalDegraded, JournalRejected
from application.ports import Clock, Record
from application.records import Settled
from application.store import Apply
from domain.errors import DatabaseBusy, DatabaseUnavailable

TRY_AGAIN = (DatabaseUnavailable, DatabaseBusy, OSError)
"""After one of these the same records may simply be given again."""

REJECTED = ".rejected"


class Delivery:
    """`rejects` is a file of journal frames: rename it to `retry-0-0.log` and a reaper applies it once more."""

    def __init__(self, apply: Apply, record: Record, clock: Clock, rejects: Path) -> None:
        self._apply = apply
        self._record = record
        self._clock = clock
        self._rejects = rejects

    def deliver(self, batch: Sequence[Settled], *, reaped: bool = False) -> set[str]:
        """One transaction, unless a record is bad: then the good ones are found by halving.

        Returns the request ids of the rejected ones. After one of `TRY_AGAIN` the whole batch has to be given again.
        """
        started = self._clock.monotonic()
        rejected = self._store(batch)
        seconds = self._clock.monotonic() - started
        self._record(JournalApplied(len(batch) - len(rejected), seconds, reaped))
        return rejected

    def failed(self, error: Exception) -> None:
        """Tell of an error that nobody foresaw; the records are given again, and the lag grows meanwhile."""
        self._record(JournalDegraded(type(error).__name__, "none"))

    def reject(self, payload: bytes, request_id: str | None, reason: str) -> None:
        """Keep a record that cannot be stored, durably. Raises OSError."""
        fd = os.open(self._rejects, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _append(fd, payload)
            sync_folder(self._rejects.parent)
        finally:
            os.close(fd)
        self._record(JournalRejected(request_id, reason, self._rejects.name))

    def reject_unreadable(self, payload: bytes) -> None:
        self.reject(frame(payload), None, "undecodable")

    def _store(self, batch: Sequence[Settled]) -> set[str]:
        try:
            self._apply(batch)
        except TRY_AGAIN:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, one bad record must not hold up all the others
            if len(batch) == 1:
                self.reject(encode(batch[0]), batch[0].request_id, type(error).__name__)
                return {batch[0].request_id}
            middle = len(batch) // 2
            return self._store(batch[:middle]) | self._store(batch[middle:])
        return set()


def _append(fd: int, payload: bytes) -> None:
    """Durably, and all of it or nothing."""
    size = os.fstat(fd).st_size
    try:
        written = os.write(fd, payload)
        while written < len(payload):
            written += os.write(fd, payload[written:])
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, size)
        raise

"""The journal of one process: what is in it is not lost."""

import errno
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

import gevent

from adapters.journal.applier import Applier, Pending
from adapters.journal.codec import Unencodable, cleaned, encode
from adapters.journal.committer import Committer
from adapters.journal.delivery import REJECTED, TRY_AGAIN, Delivery
from adapters.journal.reaper import Reaper
from adapters.journal.segment import Segment
from adapters.journal.writer import Writer
from application.facts import JournalDegraded
from application.ports import Clock, Receipt, Record
from application.records import Opened, Progressed, Settled
from application.recovery import Cost, abandoned
from application.store import Apply
from domain.errors import AccountingUnavailable

_WRITE_PAUSE = 0.003


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """`sync` survives a power loss; `write` survives the death of the process and loses ≤ 3 ms to a power loss.

    `cap` is how many bytes may wait for SQL; `batch` and `gather` (seconds) size the applier's transactions.
    """

    mode: Literal["sync", "write"] = "sync"
    cap: int = 512 << 20
    segment: int = 8 << 20
    reserve: int = 16 << 20
    batch: int = 200
    gather: float = 0.02
    reap_every: float = 1.0


class FileJournal:
    """Needs a local file system (`flock`) that outlives the process, and is built in the process that uses it.

    Works on the hub that called `start`, alone: it is not for several operating-system threads.
    """

    def __init__(
        self, folder: Path, apply: Apply, record: Record, *, cost: Cost, clock: Clock, options: JournalOptions
    ) -> None:
        self._apply = apply
        self._record = record
        self._clock = clock
        self._options = options
        self._committer = Committer(self._running, 0.0 if options.mode == "sync" else _WRITE_PAUSE)
        self._writer = Writer(folder, self._committer, clock.monotonic)
        self._delivery = Delivery(apply, record, clock, folder / f"{self._writer.owner}{REJECTED}")
        self._applier = Applier(self._delivery, self._writer.done, options.batch, options.gather)
        self._reaper = Reaper(folder, self._writer.owner, self._delivery, partial(_abandon, cost, clock), record)
        self._greenlets: list[gevent.Greenlet] = []

    def start(self) -> None:
        """Call it in the process that serves, after any fork. Raises OSError when the folder cannot be used."""
        self._committer.start()
        self._writer.start(self._options.segment, self._options.reserve)
        reap = partial(self._reaper.run, self._options.reap_every, lambda: not self._applier.failing)
        self._greenlets = [gevent.spawn(self._applier.run), gevent.spawn(reap)]

    def close(self, seconds: float) -> bool:
        """Whether SQL has everything within `seconds`; what it has not stays in the folder for the next process."""
        drained = self._applier.drain(seconds)
        gevent.killall(self._greenlets)
        self._writer.close()
        self._committer.stop()
        return drained

    def lag(self) -> tuple[int, float]:
        """How many records of this process are not in SQL yet, and for how many seconds the oldest has waited."""
        oldest = self._applier.oldest
        return len(self._applier), 0.0 if oldest is None else self._clock.monotonic() - oldest.since

    @property
    def backlog(self) -> int:
        """Bytes on disk that wait for SQL, those of dead processes included."""
        oldest = self._applier.oldest
        own = 0 if oldest is None else self._writer.position - oldest.position + oldest.length
        return own + self._reaper.orphaned

    def open(self, record: Opened) -> None:
        if self.backlog > self._options.cap:
            self._record(JournalDegraded("cap", "none"))
            raise AccountingUnavailable
        try:
            self._writer.opened(record.request_id, _frame(record))
        except OSError as error:
            self._open_without(error)

    def progress(self, record: Progressed) -> None:
        """Only makes an estimate better, so it is left out where it cannot be written."""
        with suppress(OSError):
            self._writer.progressed(record.request_id, _frame(record), text=bool(record.text))

    def settle(self, record: Settled) -> Receipt:
        try:
            frame = encode(record)
        except Unencodable:
            return self.settle(cast("Settled", cleaned(record)))
        try:
            place = self._writer.settled(record.request_id, frame)
        except OSError as error:
            self._writer.forget(record.request_id)
            return self._settle_in_sql(record, error, queued=None)
        pending = self._queue(record, place, len(frame))
        try:
            self._make_durable(place[0])
        except OSError as error:
            return self._settle_in_sql(record, error, queued=pending)
        return pending

    def _running(self) -> int:
        return self._writer.running

    def _make_durable(self, segment: Segment) -> None:
        if self._options.mode == "sync":
            self._committer.sync(segment)
        else:
            self._committer.ask(segment)

    def _queue(self, record: Settled, place: tuple[Segment, int] | None, length: int) -> Pending:
        pending = Pending(self._applier, record, place, length)
        pending.position = self._writer.position
        pending.since = self._clock.monotonic()
        self._applier.add(pending)
        return pending

    def _open_without(self, error: OSError) -> None:
        """No row exists yet that SQL could store, but it must be there to take the final."""
        try:
            self._apply(())
        except TRY_AGAIN:
            self._record(JournalDegraded(_reason(error), "none"))
            raise AccountingUnavailable from error
        self._record(JournalDegraded(_reason(error), "sql"))

    def _settle_in_sql(self, record: Settled, error: OSError, queued: Pending | None) -> Receipt:
        """A record that nobody takes now stays in memory and is offered to SQL until it takes it."""
        try:
            self._delivery.deliver([record])
        except TRY_AGAIN:
            self._record(JournalDegraded(_reason(error), "none"))
            if queued is None:
                self._queue(record, None, 0)
            raise AccountingUnavailable from error
        self._record(JournalDegraded(_reason(error), "sql"))
        return _STORED


class _Stored:
    def wait_applied(self, seconds: float) -> bool:  # noqa: ARG002 - the port's signature
        return True


_STORED = _Stored()


def _frame(record: Opened | Progressed) -> bytes:
    try:
        return encode(record)
    except Unencodable:
        return encode(cleaned(record))


def _reason(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def _abandon(cost: Cost, clock: Clock, opened: Opened, progresses: Sequence[Progressed]) -> Settled:
    return abandoned(opened, progresses, clock.now(), cost)

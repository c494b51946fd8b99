"""Moves the finals of this process from the journal into SQL, in their order, in the background."""

import random
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import cast

import gevent
from gevent.event import Event

from adapters.journal.codec import HEADER_BYTES, Applied, decode, encode
from adapters.journal.delivery import TRY_AGAIN, Delivery
from adapters.journal.segment import Segment
from application.records import Settled

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_HELD_BYTES = 8 << 20


class Pending:
    """A final on its way; the receipt of whoever settled it.

    `record` is None while only the journal holds it, `segment` when only the memory does. `position` is where in the
    journal it ends, all segments together; `since` the monotonic time of its arrival.
    """

    __slots__ = ("_applier", "_event", "end", "length", "position", "record", "segment", "since", "state")

    def __init__(self, applier: "Applier", record: Settled, place: tuple[Segment, int] | None, length: int) -> None:
        """`place` is the segment, and the offset there at which the record's `length` bytes end."""
        self._applier = applier
        self._event: Event | None = None
        self.record: Settled | None = record
        self.segment: Segment | None = None if place is None else place[0]
        self.end = 0 if place is None else place[1]
        self.length = length
        self.position = 0
        self.since = 0.0
        self.state: bool | None = None
        """True when SQL has it, False when it was rejected."""

    def wait_applied(self, seconds: float) -> bool:
        if self.state is None:
            if self._event is None:
                self._event = Event()
            self._applier.hurry()
            self._event.wait(seconds)
        return self.state is True

    def resolve(self, state: bool) -> None:  # noqa: FBT001 - the value is the message
        self.state = state
        if self._event is not None:
            self._event.set()

    def load(self) -> Settled:
        """The record, from the journal's file if need be."""
        if self.record is not None or self.segment is None:
            return cast("Settled", self.record)
        return cast("Settled", decode(self.segment.read(self.end, self.length)[HEADER_BYTES:]))


class Applier:
    """At most `batch` records per transaction; a record waits up to `gather` seconds for company.

    It does not when somebody waits for it. When SQL does not answer, the same batch is given again and again, and
    beyond 8 MB the records that queue behind it are kept in the journal alone.
    """

    def __init__(self, delivery: Delivery, done: Callable[[Segment], bool], batch: int, gather: float) -> None:
        self._delivery = delivery
        self._done = done
        self._batch = batch
        self._gather = gather
        self._queue: deque[Pending] = deque()
        self._held = 0
        self._arrived = Event()
        self._hurry = Event()
        self._empty = Event()
        self._empty.set()
        self._failures = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def oldest(self) -> Pending | None:
        return self._queue[0] if self._queue else None

    @property
    def failing(self) -> bool:
        """SQL did not take the last batch."""
        return self._failures > 0

    def add(self, pending: Pending) -> None:
        if pending.segment is not None:
            pending.segment.unapplied += 1
        if pending.segment is not None and self._held + pending.length > _HELD_BYTES:
            pending.record = None
        else:
            self._held += pending.length
        self._queue.append(pending)
        if len(self._queue) == 1:
            self._empty.clear()
            self._arrived.set()
        elif len(self._queue) == self._batch:
            self._hurry.set()

    def hurry(self) -> None:
        self._hurry.set()

    def drain(self, seconds: float) -> bool:
        """Whether everything is in SQL before `seconds` have passed."""
        self.hurry()
        return bool(self._empty.wait(seconds))

    def run(self) -> None:
        """The greenlet's life."""
        while True:
            self._arrived.wait()
            if len(self._queue) < self._batch:
                self._hurry.wait(self._gather)
            self._hurry.clear()
            try:
                self._apply_some()
            except Exception as error:  # noqa: BLE001 - the outermost frame of a greenlet that has to outlive everything
                self._failures += 1
                if not isinstance(error, TRY_AGAIN):
                    self._delivery.failed(error)
                gevent.sleep(self._pause())

    def _apply_some(self) -> None:
        some = list(islice(self._queue, self._batch))
        records = [pending.load() for pending in some]
        rejected = self._delivery.deliver(records)
        self._failures = 0
        for pending in some:
            self._queue.popleft()
            if pending.record is not None:
                self._held -= pending.length
        if not self._queue:
            self._arrived.clear()
            self._empty.set()
        self._mark(some)
        for pending, record in zip(some, records, strict=True):
            pending.resolve(record.request_id not in rejected)

    def _mark(self, some: list[Pending]) -> None:
        """Say in each file how far it has come, so that a reaper need not apply all of it again."""
        ends: dict[Segment, int] = {}
        for pending in some:
            if pending.segment is not None:
                pending.segment.unapplied -= 1
                ends[pending.segment] = pending.end
        for segment, end in ends.items():
            if not self._done(segment):
                segment.note(encode(Applied(end)))

    def _pause(self) -> float:
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10))
        return longest * random.uniform(0.5, 1)  # noqa: S311 - spreads workers, guards nothing

"""Group commit: one operating-system thread makes the journal durable for everybody who waits."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent import getcurrent, monkey
from gevent.hub import Waiter

from adapters.journal.segment import Segment

# The program is monkey-patched, and this needs a real thread with a real queue.
_start_thread: Callable[..., int] = monkey.get_original("_thread", "start_new_thread")
_RealQueue: Callable[[], Any] = monkey.get_original("queue", "SimpleQueue")
_sleep: Callable[[float], None] = monkey.get_original("time", "sleep")

_COMPANY = 8
_COMPANY_SECONDS = 0.002
_FULL_ROUND = 64


@dataclass(slots=True)
class _Round:
    """Segments to sync, and those who wait for it."""

    segments: set[Segment] = field(default_factory=set)
    waiters: list[Waiter] = field(default_factory=list)
    error: OSError | None = None


class Committer:
    """All state belongs to the hub's thread; the committer's thread gets one round at a time and gives it back.

    Whatever is appended before a round starts is covered by it, and while a round runs the next one gathers. So the
    disk sets the pace: a lone waiter waits for nobody, and a thousand share one `fdatasync`. Where others are about to
    follow, a round starts ≤ 2 ms later, or with its 64th waiter: a round costs ten times as much as a record.
    """

    def __init__(self, running: Callable[[], int], pause: float = 0.0) -> None:
        """`running` counts the generations that may soon want a round.

        `pause` seconds the thread rests before each round, for a journal that nobody waits for.
        """
        self._running = running
        self._pause = pause
        self._queue = _RealQueue()
        self._done: deque[_Round | None] = deque()
        self._next = _Round()
        self._busy = False
        self._hub: Any = None
        self._signal: Any = None
        self._timer: Any = None
        self._round_at = 0.0
        self.rounds = 0

    def start(self) -> None:
        """In the process and on the hub that will wait; a thread does not survive a fork."""
        self._hub = gevent.get_hub()
        self._signal = self._hub.loop.async_()
        self._signal.start(self._rounds_done)
        self._timer = self._hub.loop.timer(_COMPANY_SECONDS, _COMPANY_SECONDS)
        _start_thread(self._work, ())

    def stop(self) -> None:
        """The thread does what it was given, serves whoever waits, and ends."""
        if self._next.waiters:
            self._start_round()
        self._queue.put(None)

    def sync(self, segment: Segment) -> None:
        """Wait until all that was appended to `segment` is on disk. Raises OSError.

        The hub itself cannot wait (a generator that the garbage collector closes runs there): it only asks.
        """
        if getcurrent() is self._hub:
            self.ask(segment)
            return
        waiter = Waiter(self._hub)
        self._next.waiters.append(waiter)
        self.ask(segment)
        error = waiter.get()
        if error is not None:
            raise OSError(error.errno, error.strerror)

    def ask(self, segment: Segment) -> None:
        """As `sync`, for somebody who does not wait."""
        self._next.segments.add(segment)
        if not self._busy:
            self._busy = True
            self._begin()
        elif self._timer.active and len(self._next.waiters) >= _FULL_ROUND:
            self._start_round()

    def remove(self, segment: Segment) -> None:
        """Let the thread delete a segment whose records are all in SQL; nobody needs it on disk any more."""
        self._next.segments.discard(segment)
        self._queue.put(segment.remove)

    def close(self, segment: Segment) -> None:
        """Let the thread give a segment up, unlocked, for a reaper; whoever waits for it is served first."""
        if segment in self._next.segments:
            self._start_round()
        self._queue.put(segment.close)

    def _begin(self) -> None:
        """At once, unless rounds follow each other closely and others are about to join."""
        if self._running() < _COMPANY or time.monotonic() - self._round_at > _COMPANY_SECONDS:
            self._start_round()
        else:
            self._timer.again(self._start_round)

    def _start_round(self) -> None:
        self._timer.stop()
        self._round_at = time.monotonic()
        started, self._next = self._next, _Round()
        self._queue.put(started)

    def _work(self) -> None:
        while (given := self._queue.get()) is not None:
            if isinstance(given, _Round):
                given.error = self._sync_all(given.segments)
                self._done.append(given)
                self._signal.send()
                continue
            with suppress(OSError):  # what is left behind is applied once more by a reaper, to no effect
                given()
        self._done.append(None)
        self._signal.send()

    def _sync_all(self, segments: set[Segment]) -> OSError | None:
        if self._pause:
            _sleep(self._pause)
        try:
            for segment in segments:
                segment.sync()
        except OSError as error:
            return error
        return None

    def _rounds_done(self) -> None:
        while self._done:
            done = self._done.popleft()
            if done is None:
                self._signal.stop()
                self._signal.close()
                return
            self.rounds += 1
            self._busy = bool(self._next.segments or self._next.waiters)
            if self._busy:
                self._begin()
            for waiter in done.waiters:
                waiter.switch(done.error)

import errno
import threading
import time

import gevent
import pytest
from gevent.hub import get_hub

from adapters.journal.committer import Committer
from tests.contracts.journal import eventually


class SlowSegment:
    """Remembers what each sync covered; takes `seconds` of a real thread for it."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.appended = 0
        self.covered = []
        self.threads = set()
        self.failure = None
        self.removed = False
        self.closed = False

    def sync(self):
        assert not self.removed
        assert not self.closed
        self.threads.add(threading.get_ident())
        covered = self.appended
        time.sleep(self.seconds)
        self.covered.append(covered)
        if self.failure is not None:
            raise self.failure

    def remove(self):
        self.removed = True

    def close(self):
        self.closed = True


@pytest.fixture
def running():
    return [0]


@pytest.fixture
def committer(running):
    committer = Committer(lambda: running[0])
    committer.start()
    yield committer
    committer.stop()


@pytest.fixture
def patient(running, monkeypatch):
    """Starts a committer that waits that many seconds for company."""
    started = []

    def start(seconds):
        monkeypatch.setattr("adapters.journal.committer._COMPANY_SECONDS", seconds)
        started.append(Committer(lambda: running[0]))
        started[0].start()
        return started[0]

    yield start
    started[0].stop()


def append_and_sync(committer, segment):
    segment.appended += 1
    mine = segment.appended
    committer.sync(segment)
    assert max(segment.covered) >= mine


def together(committer, segment, number):
    gevent.joinall([gevent.spawn(append_and_sync, committer, segment) for _ in range(number)], raise_error=True)


def test_a_sync_runs_in_another_thread_and_the_hub_goes_on(committer):
    segment = SlowSegment(seconds=0.05)
    ticks = []

    def tick():
        while True:
            gevent.sleep(0.005)
            ticks.append(1)

    ticking = gevent.spawn(tick)
    append_and_sync(committer, segment)
    ticking.kill()

    assert segment.threads.isdisjoint({threading.get_ident()})
    assert len(ticks) >= 3


def test_whoever_waits_while_a_sync_runs_shares_the_next_one(committer):
    segment = SlowSegment(seconds=0.02)

    together(committer, segment, 20)

    assert len(segment.covered) == 2


def test_where_many_run_a_close_follower_waits_for_company(patient, running):
    committer = patient(0.2)
    segment = SlowSegment()
    running[0] = 50
    append_and_sync(committer, segment)

    started = time.monotonic()
    together(committer, segment, 5)

    assert segment.covered == [1, 6]
    assert 0.1 < time.monotonic() - started < 5


def test_a_full_round_waits_for_no_more_company(patient, running):
    committer = patient(60.0)
    segment = SlowSegment()
    running[0] = 500
    append_and_sync(committer, segment)

    together(committer, segment, 64)

    assert segment.covered == [1, 65]


def test_where_few_run_nobody_waits_for_company(patient, running):
    committer = patient(60.0)
    segment = SlowSegment()
    running[0] = 2

    append_and_sync(committer, segment)
    append_and_sync(committer, segment)

    assert segment.covered == [1, 2]


def test_a_failed_sync_fails_everybody_it_was_for(committer):
    segment = SlowSegment()
    segment.failure = OSError(errno.EIO, "broken")

    waiters = [gevent.spawn(committer.sync, segment) for _ in range(3)]
    gevent.joinall(waiters)

    assert [waiter.exception.errno for waiter in waiters] == [errno.EIO] * 3


def test_a_killed_waiter_disturbs_no_other(committer):
    segment = SlowSegment(seconds=0.03)
    doomed, other = (gevent.spawn(append_and_sync, committer, segment) for _ in range(2))
    gevent.sleep(0.005)

    doomed.kill()
    other.join()

    assert other.successful()


def test_the_hub_itself_asks_without_waiting(committer):
    segment = SlowSegment()
    returned = []

    get_hub().loop.run_callback(lambda: returned.append(committer.sync(segment)))

    assert eventually(lambda: len(segment.covered) == 1)
    assert returned == [None]


def test_a_segment_that_is_removed_is_not_synced_any_more(committer):
    first, second = SlowSegment(seconds=0.03), SlowSegment()
    running = gevent.spawn(committer.sync, first)
    gevent.sleep(0.005)
    late = gevent.spawn(committer.sync, second)
    gevent.sleep(0.005)

    committer.remove(second)
    gevent.joinall([running, late], raise_error=True)

    assert second.removed
    assert second.covered == []


def test_a_segment_is_given_up_only_when_nobody_waits_for_it(committer):
    segment = SlowSegment(seconds=0.03)
    first = gevent.spawn(append_and_sync, committer, segment)
    gevent.sleep(0.005)
    second = gevent.spawn(append_and_sync, committer, segment)
    gevent.sleep(0.005)

    committer.close(segment)
    gevent.joinall([first, second], raise_error=True)

    assert eventually(lambda: segment.closed)


def test_whoever_waits_when_it_is_stopped_is_still_served():
    committer = Committer(lambda: 0)
    committer.start()
    segment = SlowSegment(seconds=0.03)
    waiters = []
    for _ in range(2):
        waiters.append(gevent.spawn(append_and_sync, committer, segment))
        gevent.sleep(0.005)

    committer.stop()
    gevent.joinall(waiters, timeout=5, raise_error=True)

    assert all(waiter.successful() for waiter in waiters)

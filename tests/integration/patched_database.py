"""What needs gevent's patches runs in a process of its own: `python -m tests.integration.patched_database NAME URL …`.

Each function prints one JSON value.
"""

from gevent import monkey

monkey.patch_all()

# The patches come before anything that imports `socket` or `select`.
import json  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from sqlalchemy import text  # noqa: E402

from adapters.clock import SystemClock  # noqa: E402
from adapters.persistence.unit_of_work import SqlBegin  # noqa: E402
from application.breaker import Breaker  # noqa: E402
from domain.errors import DatabaseUnavailable  # noqa: E402
from infrastructure.database import create_engine_for  # noqa: E402
from tests.builders import a_session, a_user  # noqa: E402
from tests.fakes import RecordingRecorder  # noqa: E402

ROWS = 40


def begin_on(url):
    return SqlBegin(create_engine_for(url, Path()), Breaker("database", SystemClock(), RecordingRecorder()))


def waiting_is_cooperative(url):
    """How often another greenlet ran while the server slept for half a second."""
    begin = begin_on(url)
    sleep = "SELECT SLEEP(0.5)" if begin.engine.dialect.name == "mysql" else "SELECT pg_sleep(0.5)"
    ticks = 0

    def tick():
        nonlocal ticks
        while True:
            gevent.sleep(0.01)
            ticks += 1

    ticker = gevent.spawn(tick)
    with begin() as work:
        work.users.connection.execute(text(sleep))
    ticker.kill()
    return ticks


def paused(url, pid):
    """Seconds of each unit of work while the server is stopped, then seconds until one succeeds."""
    begin = begin_on(url)
    with begin() as work:
        work.users.any()
    # PostgreSQL has a process for each connection.
    stopped = [int(pid), *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    for each in stopped:
        os.kill(each, signal.SIGSTOP)
    try:
        waits = [_seconds_of_failure(begin) for _ in range(6)]
    finally:
        for each in stopped:
            os.kill(each, signal.SIGCONT)
    return {"waits": waits, "recovery": _seconds_until_success(begin)}


def killed_in_the_middle(url, iterations):
    """Two users share two connections while their greenlets are timed out at random moments."""
    begin = begin_on(url)
    for user in ("usr_a", "usr_b"):
        with begin() as work:
            work.users.add(a_user(id=user, email=f"{user}@example.org"))
            for number in range(ROWS):
                work.sessions.add(a_session(id=f"{user}_{number:03}", user_id=user, title=user * 40))
    counts = {"read": 0, "timed out": 0, "wrong": 0}
    tasks = [gevent.spawn(_disturbed, begin, user, int(iterations), counts) for user in ("usr_a", "usr_b") * 2]
    gevent.joinall(tasks, raise_error=True)
    counts["checked out"] = begin.engine.pool.checkedout()
    return counts


def _disturbed(begin, user, iterations, counts):
    patience = 0.005
    for _ in range(iterations):
        try:
            with gevent.Timeout(random.uniform(0, patience)):  # noqa: S311 # any moment will do
                sessions = _read(begin, user)
        except gevent.Timeout:
            counts["timed out"] += 1
            patience *= 1.1
        else:
            counts["read"] += 1
            patience /= 1.1  # so that about half of all reads are hit
            counts["wrong"] += len(sessions) != ROWS or {session.user_id for session in sessions} != {user}


def _read(begin, user):
    with begin() as work:
        work.users.get(user)
        return work.sessions.page(user, 99, None)


def _seconds_of_failure(begin):
    started = time.monotonic()
    try:
        with begin() as work:
            work.users.any()
    except DatabaseUnavailable:
        return time.monotonic() - started
    raise AssertionError("the server answered")


def _seconds_until_success(begin):
    started = time.monotonic()
    while time.monotonic() < started + 10:
        try:
            with begin() as work:
                work.users.any()
        except DatabaseUnavailable:
            gevent.sleep(0.05)
        else:
            return time.monotonic() - started
    raise AssertionError("no recovery")


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))  # noqa: T201 # the answer to the test

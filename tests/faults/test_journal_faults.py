"""The journal under SIGKILL and on a full disk, in processes of their own that really use gevent."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import gevent
import pytest

from adapters.clock import SystemClock, new_id
from adapters.journal.journal import FileJournal, JournalOptions
from application.facts import JournalRejected
from tests.contracts.journal import ScriptedApply
from tests.fakes import RecordingRecorder
from tests.servers.program import wait_until

ROOT = Path(__file__).parents[2]
WORKER = [sys.executable, "-m", "tests.faults.journal_worker"]
PRIVATE_MOUNTS = ["unshare", "--mount", "--propagation", "private"]


class Worker:
    """Collects what the process was promised, also what it said just before it died."""

    def __init__(self, home: Path, failures: float) -> None:
        self._said = home / new_id("said")
        with self._said.open("wb") as said:
            argv = [*WORKER, "serve", str(home), str(failures)]
            self._process = subprocess.Popen(argv, cwd=ROOT, stdout=said, stderr=subprocess.PIPE)

    def kill_after(self, seconds: float) -> None:
        """Seconds from its first promise on."""
        deadline = time.monotonic() + 20
        while not self._said.stat().st_size and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(seconds)
        if self._process.poll() is None:
            self._process.kill()
            _, errors = self._process.communicate()
            assert errors == b""

    def promised(self, kind: str) -> set[str]:
        return {line[2:] for line in self._said.read_text().splitlines() if line.startswith(kind)}


@pytest.fixture
def begin(tmp_path):
    """Starts a worker, which does not outlive the test: its load would be felt by all that follow."""
    begun = []

    def start(failures):
        begun.append(Worker(tmp_path, failures))
        return begun[-1]

    yield start
    for worker in begun:
        worker.kill_after(0)


def reap(home: Path) -> tuple[ScriptedApply, RecordingRecorder]:
    apply, record = ScriptedApply(), RecordingRecorder()
    options = JournalOptions(reserve=0, reap_every=60.0)
    journal = FileJournal(home / "journal", apply, record, cost=lambda *_: 1, clock=SystemClock(), options=options)
    journal.start()
    journal._reaper.sweep()
    assert journal.close(5)
    gevent.sleep(0.02)
    return apply, record


def in_sql(home: Path) -> dict[str, str]:
    """The state of each request, as a unique index keeps it: the first one stays."""
    rows = [line.split() for line in (home / "sql").read_text().splitlines()]
    return {row[0]: row[1] for row in reversed(rows) if len(row) == 2}


def finals(home: Path, apply: ScriptedApply) -> dict[str, str]:
    """The same, with what `apply` was given afterwards."""
    return {record.request_id: str(record.entries[-1].state) for record in apply.given} | in_sql(home)


@pytest.mark.parametrize("failures", [0.0, 0.5, 1.0], ids=["sql up", "sql flaky", "sql down"])
def test_a_killed_worker_keeps_every_promise_whenever_it_is_killed(tmp_path, failures, begin):
    for _ in range(4):
        worker = begin(failures)
        worker.kill_after(random.uniform(0.0, 0.4))  # noqa: S311 - chance, not secrecy
        apply, record = reap(tmp_path)

        rows = finals(tmp_path, apply)
        settled, opened = worker.promised("s "), worker.promised("o ")
        assert opened
        assert settled <= opened
        assert {rows.get(request_id) for request_id in settled} <= {"completed"}
        assert opened <= rows.keys()
        assert record.of(JournalRejected) == []
        assert max(Counter(apply.ids).values(), default=1) == 1
        assert list((tmp_path / "journal").iterdir()) == []


def test_living_workers_reap_a_dead_one_and_leave_each_other_alone(tmp_path, begin):
    workers = [begin(0.2) for _ in range(3)]
    workers[0].kill_after(0.3)
    dead = workers[0].promised("o ")

    wait_until(lambda: dead <= in_sql(tmp_path).keys(), 30, "the journal of the dead worker in SQL")

    for worker in workers[1:]:
        worker.kill_after(0)
    apply, _ = reap(tmp_path)
    rows = finals(tmp_path, apply)
    for worker in workers:
        assert {rows.get(request_id) for request_id in worker.promised("s ")} <= {"completed"}
        assert worker.promised("o ") <= rows.keys()


def can_mount() -> bool:
    if os.geteuid() != 0:
        return False
    tried = subprocess.run([*PRIVATE_MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs root and private mounts")
def test_on_a_full_disk_what_runs_is_settled_and_new_calls_need_sql(tmp_path):
    (tmp_path / "disk").mkdir()
    script = 'mount -t tmpfs -o size=1m none "$1/disk" && shift && exec "$@"'
    argv = [*PRIVATE_MOUNTS, "sh", "-c", script, "sh", str(tmp_path), *WORKER, "starve", str(tmp_path)]

    run = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert run.stderr == ""
    said = run.stdout.splitlines()
    assert sum(line.startswith("s ") for line in said) == 20
    assert [line for line in said if not line.startswith("s ")] == [
        "degraded ENOSPC none",
        "new without sql: False",
        "degraded ENOSPC sql",
        "new with sql: True",
        "degraded ENOSPC sql",
        "directly in sql: True",
        "new after cleaning up: True",
    ]

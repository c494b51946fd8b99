"""A process with a journal, to be killed and starved. It says on standard output what it was promised.

`o <id>` after `open` returned, `s <id>` after `settle` returned. What reaches SQL is a line in the file `sql`.
"""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402 - the program, too, is patched before anything else is imported
import random  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402

from adapters.clock import SystemClock, new_id  # noqa: E402
from adapters.journal.journal import FileJournal, JournalOptions  # noqa: E402
from application.facts import JournalDegraded  # noqa: E402
from application.records import Progressed, Settled  # noqa: E402
from domain.errors import AccountingUnavailable, DatabaseUnavailable  # noqa: E402
from tests.builders import a_settled, an_opened  # noqa: E402

STREAMS = 40


class FileSql:
    """Each record is one line; a kill may fall between the lines and the return, as with a lost COMMIT reply."""

    def __init__(self, path: Path, failures: float = 0.0) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.failures = failures

    def __call__(self, records: Sequence[Settled]) -> None:
        if random.random() < self.failures:  # noqa: S311 - chance, not secrecy
            raise DatabaseUnavailable
        lines = "".join(f"{record.request_id} {record.entries[-1].state}\n" for record in records)
        os.write(self._fd, lines.encode())


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def serve(home: Path, failures: float) -> None:
    """Generations without end, a rotation every few dozen records."""
    apply = FileSql(home / "sql", failures)
    journal = start(home / "journal", apply, JournalOptions(segment=30_000, reserve=1 << 16, reap_every=0.2))

    def stream() -> None:
        while True:
            request_id = new_id("req")
            journal.open(an_opened(request_id=request_id))
            say(f"o {request_id}")
            for tokens in range(random.randrange(4)):  # noqa: S311 - the same
                gevent.sleep(random.random() * 0.01)  # noqa: S311 - the same
                journal.progress(Progressed(request_id, tokens, ""))
            journal.settle(a_settled(request_id=request_id))
            say(f"s {request_id}")

    gevent.joinall([gevent.spawn(stream) for _ in range(STREAMS)], raise_error=True)


def starve(home: Path) -> None:
    """On a tiny disk: fill it while generations run, and say what becomes of them and of what follows."""
    apply = FileSql(home / "sql")
    disk = home / "disk"
    journal = start(disk / "journal", apply, JournalOptions(reserve=200_000, reap_every=60.0))
    running = [new_id("req") for _ in range(20)]
    for request_id in running:
        journal.open(an_opened(request_id=request_id))
    fill(disk / "filler")

    apply.failures = 1.0
    for request_id in running:
        journal.settle(a_settled(request_id=request_id))
        say(f"s {request_id}")
    say(f"new without sql: {begins(journal)}")
    apply.failures = 0.0
    say(f"new with sql: {begins(journal)}")
    journal.settle(a_settled(request_id="req_direct", answer="x" * 400_000))
    say(f"directly in sql: {'req_direct' in (home / 'sql').read_text()}")
    (disk / "filler").unlink()
    gevent.sleep(1.1)
    apply.failures = 1.0
    say(f"new after cleaning up: {begins(journal)}")


def begins(journal: FileJournal) -> bool:
    try:
        journal.open(an_opened(request_id=new_id("req")))
    except AccountingUnavailable:
        return False
    return True


def fill(path: Path) -> None:
    with path.open("ab", buffering=0) as filler:
        for size in (4096, 1):
            try:
                while True:
                    filler.write(b"x" * size)
            except OSError:
                continue


def start(folder: Path, apply: FileSql, options: JournalOptions) -> FileJournal:
    journal = FileJournal(folder, apply, tell, cost=lambda *_: 1, clock=SystemClock(), options=options)
    journal.start()
    return journal


def tell(fact: object) -> None:
    if isinstance(fact, JournalDegraded):
        say(f"degraded {fact.reason} {fact.fallback}")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]), float(sys.argv[3]))
    else:
        starve(Path(sys.argv[2]))

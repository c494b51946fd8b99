"""What a generation costs in the journal: CPU per record, and how long `settle` waits for the disk.

`python -m benchmarks.journal [FOLDER]`: the folder should be on the disk that production would use.
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402 - the program, too, is patched before anything else is imported
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Literal  # noqa: E402

import gevent  # noqa: E402

from adapters.clock import SystemClock  # noqa: E402
from adapters.journal.codec import encode  # noqa: E402
from adapters.journal.journal import FileJournal, JournalOptions  # noqa: E402
from tests.builders import a_settled, an_opened  # noqa: E402

_GENERATIONS = 4000


def encoding() -> None:
    record = a_settled(session=True)
    started = time.process_time()
    for _ in range(20_000):
        encode(record)
    print(f"encode one final                       {(time.process_time() - started) * 50:6.1f} µs")


def settling(folder: Path, mode: Literal["sync", "write"], streams: int) -> None:
    journal = FileJournal(
        folder, lambda _: None, lambda _: None, cost=lambda *_: 1, clock=SystemClock(), options=JournalOptions(mode)
    )
    journal.start()
    opened, settled = an_opened(), a_settled()
    waited: list[float] = []

    def stream() -> None:
        for _ in range(_GENERATIONS // streams):
            journal.open(opened)
            before = time.perf_counter()
            journal.settle(settled)
            waited.append(time.perf_counter() - before)

    cpu = time.process_time()
    gevent.joinall([gevent.spawn(stream) for _ in range(streams)], raise_error=True)
    cpu = (time.process_time() - cpu) / len(waited)
    waited.sort()
    p50, p99 = (waited[int(len(waited) * part)] * 1e3 for part in (0.5, 0.99))
    print(
        f"{mode:5}  {streams:3} streams: open + settle + apply {cpu * 1e6:6.1f} µs CPU, settle {p50:.2f} / {p99:.2f} ms"
    )
    journal.close(5)


def main() -> None:
    encoding()
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        for mode in ("sync", "write"):
            for streams in (1, 50):
                settling(Path(folder), mode, streams)


if __name__ == "__main__":
    main()

"""This machine: what a tree of processes has used, where it may run, what to call it in a report."""

import os
import platform
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1024 * 1024
_CPUCLOCK_SCHED = 2
_ALLOWED = os.sched_getaffinity(0)


def tree(root: int) -> list[int]:
    """`root` and everything it started that still runs."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        with suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                waiting += [int(child) for child in (thread / "children").read_text().split()]
    return found


def cpu_seconds(root: int) -> float:
    """CPU time of a tree, of ended threads too. Exact to the nanosecond, where /proc/PID/stat counts in 10 ms."""
    used = 0.0
    for pid in tree(root):
        with suppress(OSError):
            used += time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)  # what clock_getcpuclockid(3) returns
    return used


def rss(root: int) -> float:
    """MiB of a tree; pages that its processes share are counted in each."""
    return sum(_rss_of(pid) for pid in tree(root))


def rss_of_largest(root: int) -> float:
    """MiB of the largest process of a tree: of one worker."""
    return max(_rss_of(pid) for pid in tree(root))


def _rss_of(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / _MIB
    except OSError:
        return 0.0


def busy_seconds() -> float:
    """CPU time of everything on this machine since it started."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Peak:
    """The highest memory of a tree within a `with` block, in MiB."""

    def __init__(self, root: int) -> None:
        self.mib = 0.0
        self._root = root
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.mib = max(self.mib, rss(self._root))


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """What is started inside runs on that CPU alone; without a second CPU nothing is pinned."""
    before = os.sched_getaffinity(0)
    if cpu in _ALLOWED and len(_ALLOWED) > 1:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_many_files() -> None:
    """For this process and all it starts: a stream needs two sockets."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def description() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} × {model}, Linux {platform.release()}, Python {platform.python_version()}"

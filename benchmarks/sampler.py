"""A sampling profiler that understands greenlets, started in every process that the profiled program forks.

A timer of CPU time interrupts the worker at each tick of the kernel (1 to 4 ms), and whatever greenlet runs at that
moment is the sample. A tracing profiler would slow small functions down more than large ones.
"""

import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

SAMPLES = "BENCH_SAMPLES"
"""The environment variable that names the file to write."""

_INTERVAL = 0.001
_SHOWN = 35
_ROOT = f"{Path(__file__).resolve().parent.parent}/"


def follow_forks() -> None:
    """A fork does not inherit its parent's timers, so the sampler starts in the child."""
    file = os.environ.get(SAMPLES)
    if file:
        os.register_at_fork(after_in_child=Sampler(Path(file)).start)


class Sampler:
    """Rewrites `file` after each 500 samples."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._own: Counter[str] = Counter()
        self._total: Counter[str] = Counter()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            stack.append(_name(frame))
            frame = frame.f_back
        if not stack or any("importlib" in name for name in stack):
            return  # loading the program is not what is measured
        self._own[stack[0]] += 1
        self._total.update(set(stack))
        if not self._own.total() % 500:
            self._file.write_text(self._report())

    def _report(self) -> str:
        samples = self._own.total()
        hottest = dict.fromkeys([name for name, _ in self._own.most_common(_SHOWN)])
        widest = [name for name, _ in self._total.most_common(_SHOWN) if name not in hottest]
        lines = [f"{self._own[name] / samples:7.1%} {self._total[name] / samples:7.1%}  {name}" for name in hottest]
        lines += ["", *(f"{'':7} {self._total[name] / samples:7.1%}  {name}" for name in widest)]
        return "\n".join([f"{samples} samples", f"{'self':>7} {'total':>7}", *lines, ""])


def _name(frame: FrameType) -> str:
    code = frame.f_code
    path = code.co_filename.removeprefix(_ROOT).rpartition("site-packages/")[2]
    return f"{path}:{code.co_firstlineno} {code.co_qualname}"

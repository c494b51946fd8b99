"""Which functions a worker spends its CPU in, under load.

`python -m benchmarks.hotspots [json|burst] [--servers]` prints the share of samples in which a function was on top of
the stack (self), and anywhere on it (total). Time in C counts for the Python function that called it.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.cells import FULL, measure, write_bodies
from benchmarks.contenders import ROOT, Parley, ParleyServers
from benchmarks.instruments import Driver, Load, Upstream
from benchmarks.machine import allow_many_files, pinned
from benchmarks.sampler import SAMPLES

_LOADS = {"json": Load("json", 16, 8000, 10), "burst": Load("burst", 16, 400, 10)}
_AT_START = "from benchmarks.sampler import follow_forks\n\nfollow_forks()\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hotspots", description=__doc__)
    parser.add_argument("load", choices=sorted(_LOADS), default="json", nargs="?")
    parser.add_argument("--servers", action="store_true", help="on MariaDB and Redis instead of embedded")
    arguments = parser.parse_args()
    allow_many_files()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack, pinned(0):
        print(profiled(Path(name), stack, _LOADS[arguments.load], ParleyServers if arguments.servers else Parley))
    return 0


def profiled(folder: Path, stack: ExitStack, load: Load, kind: type[Parley]) -> str:
    upstream, driver = Upstream(folder), Driver(folder)
    upstream.run()
    stack.callback(upstream.stop)
    write_bodies(FULL, folder)
    contender = kind(folder, upstream.url, FULL.paths)
    stack.callback(contender.stop)
    contender.prepare()
    (folder / "sitecustomize.py").write_text(_AT_START)  # Python imports it in every process
    samples = folder / "samples.txt"
    contender.environment = {**contender.environment, "PYTHONPATH": f"{folder}:{ROOT}", SAMPLES: str(samples)}
    with pinned(1):
        contender.start()
    measure(contender, "profiled", load, driver)
    return samples.read_text()


if __name__ == "__main__":
    sys.exit(main())

"""Which functions a worker spends its CPU in, under load.

`python -m benchmarks.hotspots [json|burst] [--servers]` prints the share of samples in which a function was on top of
the stack (self), and anywhere on it (total). Time in C counts for the Python function that called it.
"""

import argparse
import sys

from benchmarks.cells import FULL
from benchmarks.contenders import ROOT, Parley, ParleyServers
from benchmarks.field import Field, a_field
from benchmarks.instruments import Load
from benchmarks.sampler import SAMPLES

_LOADS = {"json": Load("json", 16, 15_000, 20), "burst": Load("burst", 16, 1_000, 20)}
_AT_START = "from benchmarks.sampler import follow_forks\n\nfollow_forks()\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hotspots", description=__doc__)
    parser.add_argument("load", choices=sorted(_LOADS), default="json", nargs="?")
    parser.add_argument("--servers", action="store_true", help="on MariaDB and Redis instead of embedded")
    arguments = parser.parse_args()
    with a_field(FULL.paths) as field:
        print(profiled(field, _LOADS[arguments.load], ParleyServers if arguments.servers else Parley))
    return 0


def profiled(field: Field, load: Load, kind: type[Parley]) -> str:
    samples = field.folder / "samples.txt"
    (field.folder / "sitecustomize.py").write_text(_AT_START)  # Python imports it in every process
    field.contender(kind, {"PYTHONPATH": f"{field.folder}:{ROOT}", SAMPLES: str(samples)})
    field.measure(kind, "profiled", load)
    return samples.read_text()


if __name__ == "__main__":
    sys.exit(main())

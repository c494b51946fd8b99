"""What the gateway costs, beside nginx and a bare relay in the same run.

`python -m benchmarks.overhead` writes benchmarks/results/overhead.{md,json}; with `--publish` docs/performance.md too.
The client, the upstream and the stores run on CPU 0, each gateway with one worker on CPU 1. All rows are started first,
then measured in turn, in a different order in each repeat, and ended by their process ids.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report, steps
from benchmarks.cells import FULL, QUICK
from benchmarks.contenders import ROOT, ROWS, Contender, Unavailable
from benchmarks.field import Field, a_field
from benchmarks.machine import description, rss, rss_of_largest

RESULTS = ROOT / "benchmarks" / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 when a request of any row failed."""
    arguments = _arguments(argv)
    plan = QUICK if arguments.quick else FULL
    found = report.Findings(time.strftime("%Y-%m-%d"), description(), plan)
    started = time.monotonic()
    with a_field(plan.paths) as field:
        compare(field, _wanted(arguments.only), found)
        if not arguments.only and not found.missing:
            found.steps = steps.measured(field, quick=arguments.quick)
    _write(found, arguments.out, publish=arguments.publish)
    print(f"{time.monotonic() - started:.0f} s")
    return 0 if all(cell.sound for cell in found.cells) else 1


def compare(field: Field, rows: Sequence[type[Contender]], found: report.Findings) -> None:
    running = [kind for kind in rows if start(field, kind, found)]
    for repeat in range(found.plan.repeats):
        first = repeat % len(running)
        for kind in running[first:] + running[:first]:
            measure_row(field, kind, repeat, found)


def start(field: Field, kind: type[Contender], found: report.Findings) -> bool:
    """False for a row that cannot run here, which the report then says."""
    try:
        gateway = field.contender(kind).roots.get("gateway")
    except Unavailable as reason:
        found.missing[kind.name] = str(reason)
        return False
    if gateway is not None:
        found.idle_mib[kind.name] = rss_of_largest(gateway), rss(gateway)
    return True


def measure_row(field: Field, kind: type[Contender], repeat: int, found: report.Findings) -> None:
    for name, load in found.plan.loads.items():
        cell = field.measure(kind, name, load, repeat)
        print(f"{kind.name:26} {name:13} {report.line(cell)}", flush=True)
        if not name.startswith("warm"):
            found.cells.append(cell)


def _wanted(only: str | None) -> tuple[type[Contender], ...]:
    names = only.split(",") if only else [kind.name for kind in ROWS]
    return tuple(kind for kind in ROWS if kind.name in names)


def _write(found: report.Findings, folder: Path, *, publish: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = report.markdown(found)
    (folder / "overhead.md").write_text(text)
    (folder / "overhead.json").write_text(json.dumps(found.as_json(), indent=1))
    if publish:
        (ROOT / "docs" / "performance.md").write_text(text)
    print(text)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few requests: shows that it works, measures nothing")
    parser.add_argument("--only", metavar="ROW,ROW", help=", ".join(kind.name for kind in ROWS))
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--publish", action="store_true", help="write docs/performance.md as well")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

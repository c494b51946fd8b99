"""What the gateway costs, beside nginx and a bare relay in the same run.

`python -m benchmarks.overhead` writes benchmarks/results/overhead.{md,json}; with `--publish` docs/performance.md too.
The client, the upstream and the stores run on CPU 0, each gateway with one worker on CPU 1. All rows are started first,
then measured in turn, in a different order in each repeat, and ended by their process ids.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import report, steps
from benchmarks.cells import FULL, QUICK, Cell, Plan, measure, wait_until_quiet, write_bodies
from benchmarks.contenders import ROOT, ROWS, Contender, Unavailable
from benchmarks.instruments import Driver, Upstream
from benchmarks.machine import allow_many_files, description, pinned, rss, rss_of_largest

RESULTS = ROOT / "benchmarks" / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 1 when a request of any row failed."""
    arguments = _arguments(argv)
    allow_many_files()
    plan = QUICK if arguments.quick else FULL
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack, pinned(0):
        found = report.Findings(time.strftime("%Y-%m-%d"), description(), plan)
        compare(plan, _wanted(arguments.only), Path(folder), stack, found)
        if not arguments.only:
            found.steps = steps.measured(Path(folder), quick=arguments.quick)
    _write(found, arguments.out, publish=arguments.publish)
    print(f"{time.monotonic() - started:.0f} s")
    return 0 if all(cell.sound for cell in found.cells) else 1


def compare(
    plan: Plan, rows: Sequence[type[Contender]], folder: Path, stack: ExitStack, found: report.Findings
) -> None:
    upstream, driver = Upstream(folder), Driver(folder)
    upstream.run()
    stack.callback(upstream.stop)
    write_bodies(plan, folder)
    contenders = [kind(folder, upstream.url, plan.paths) for kind in rows]
    running = [contender for contender in contenders if start(contender, stack, found)]
    for repeat in range(plan.repeats):
        first = repeat % len(running)
        for contender in running[first:] + running[:first]:
            found.cells += measure_row(contender, plan, driver, repeat)


def start(contender: Contender, stack: ExitStack, found: report.Findings) -> bool:
    """False for a row that cannot run here, which the report then says."""
    stack.callback(contender.stop)
    try:
        contender.prepare()
        with pinned(1):
            contender.start()
    except Unavailable as reason:
        found.missing[contender.name] = str(reason)
        return False
    wait_until_quiet(contender)
    gateway = contender.roots.get("gateway")
    if gateway is not None:
        found.idle_mib[contender.name] = rss_of_largest(gateway), rss(gateway)
    return True


def measure_row(contender: Contender, plan: Plan, driver: Driver, repeat: int) -> list[Cell]:
    cells = []
    for name, load in plan.loads.items():
        cell = measure(contender, name, load, driver, repeat)
        print(f"{contender.name:26} {name:13} {report.line(cell)}", flush=True)
        if not name.startswith("warm"):
            cells.append(cell)
    return cells


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

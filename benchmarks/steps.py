"""What each step of a request costs, so that a change that costs shows. `python -m benchmarks.steps [--quick]`.

The budget is that of docs/architecture.md. A step is the difference between two measurements over HTTP with one more
thing in the second; only the provider round trip is measured alone, in a process of its own.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cells import QUICK, measure, wait_until_quiet, write_bodies
from benchmarks.contenders import ROOT, BareFlask, Contender, Parley, ParleyServers, Wsgi
from benchmarks.instruments import Driver, Load, Upstream
from benchmarks.machine import allow_many_files, pinned

_PATHS = {"json": "/json", "refused": "/json"}
_WARM = Load("json", 8, 800, 3)


@dataclass(frozen=True, slots=True)
class Step:
    """Microseconds of CPU per request."""

    name: str
    budget: float
    measured: float

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def measured(folder: Path, *, quick: bool = False) -> list[Step]:
    """One worker each, 16 requests at once."""
    requests = 200 if quick else 4000
    place = folder / "steps"
    place.mkdir()
    with ExitStack() as stack:
        upstream = Upstream(place)
        upstream.run()
        stack.callback(upstream.stop)
        bench = _Bench(place, upstream, requests, stack)
        return bench.steps()


class _Bench:
    def __init__(self, folder: Path, upstream: Upstream, requests: int, stack: ExitStack) -> None:
        self._folder = folder
        self._upstream = upstream
        self._requests = requests
        self._stack = stack
        self._driver = Driver(folder)
        write_bodies(QUICK, folder)
        _write_refused(folder)

    def steps(self) -> list[Step]:
        server = self._cost(Wsgi)["json"]
        routing = self._cost(BareFlask)["json"]
        embedded = self._cost(Parley)
        servers = self._cost(ParleyServers)
        provider = self._provider_call()
        return [
            Step("gunicorn + gevent (h1c)", 230, server),
            Step("Flask routing, request, response", 170, routing - server),
            Step("authentication, validation", 100, embedded["refused"] - routing),
            Step("limiter and admission on Redis", 300, servers["refused"] - embedded["refused"]),
            Step("provider round trip", 125, provider),
            Step("journal, facts, metrics, log line", 120, embedded["json"] - embedded["refused"] - provider),
        ]

    def _cost(self, kind: type[Contender]) -> dict[str, float]:
        """By profile. `refused` is a request for a model that does not exist: all that comes before a generation."""
        contender = kind(self._folder, self._upstream.url, {"json": "/json"})
        self._stack.callback(contender.stop)
        contender.prepare()
        with pinned(1):
            contender.start()
        wait_until_quiet(contender)
        measure(contender, "warm", _WARM, self._driver)
        loads = {profile: Load(profile, 16, self._requests) for profile in ("json", "refused")}
        return {profile: self._per_request(contender, load) for profile, load in loads.items()}

    def _per_request(self, contender: Contender, load: Load) -> float:
        cell = measure(contender, load.profile, load, self._driver)
        return 1e6 * cell.cpu["gateway"] / float(cell.answers["started"])

    def _provider_call(self) -> float:
        command = [
            sys.executable,
            "-m",
            "benchmarks.provider_call",
            f"{self._upstream.url}/json/v1",
            str(self._requests),
        ]
        with pinned(1):
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        return float(done.stdout)


def _write_refused(folder: Path) -> None:
    text = (folder / "json.json").read_text()
    (folder / "refused.json").write_text(text.replace("json/mock", "json/nothing"))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args(argv)
    allow_many_files()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, pinned(0):
        for step in measured(Path(folder), quick=arguments.quick):
            print(f"{step.name:36} {step.budget:6.0f} {step.measured:8.1f} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())

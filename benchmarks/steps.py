"""What each step of a request costs, so that a change that costs shows. `python -m benchmarks.steps [--quick]`.

The budget is that of docs/architecture.md. A step is the difference between two measurements over HTTP with one more
thing in the second; only the provider round trip is measured alone, in a process of its own.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.cells import REFUSED
from benchmarks.contenders import ROOT, BareFlask, Contender, Parley, ParleyServers, Wsgi
from benchmarks.field import Field, a_field
from benchmarks.instruments import Load
from benchmarks.machine import pinned

_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Step:
    """Microseconds of CPU per request."""

    name: str
    budget: float
    measured: float

    @property
    def over(self) -> bool:
        return self.measured > self.budget

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def measured(field: Field, *, quick: bool = False) -> list[Step]:
    """One worker each, 16 requests at once. `field` has the profile `json`."""
    requests = 200 if quick else 4000
    costs = {kind: _cost(field, kind, "json", requests) for kind in (Wsgi, BareFlask, Parley)}
    server, routing, whole = costs[Wsgi], costs[BareFlask], costs[Parley]
    embedded, servers = (_cost(field, kind, REFUSED, requests) for kind in (Parley, ParleyServers))
    provider = _provider_call(field, requests)
    return [
        Step("gunicorn + gevent (h1c)", 230, server),
        Step("Flask routing, request, response", 170, routing - server),
        Step("authentication, validation", 100, embedded - routing),
        Step("limiter and admission on Redis", 300, servers - embedded),
        Step("provider round trip", 125, provider),
        Step("journal, facts, metrics, log line", 120, whole - embedded - provider),
    ]


def _cost(field: Field, kind: type[Contender], profile: str, requests: int) -> float:
    field.measure(kind, "warm", Load(profile, _CONNECTIONS, requests // 4))
    cell = field.measure(kind, profile, Load(profile, _CONNECTIONS, requests))
    return 1e6 * cell.cpu["gateway"] / float(cell.answers["started"])


def _provider_call(field: Field, requests: int) -> float:
    command = [sys.executable, "-m", "benchmarks.provider_call", f"{field.upstream}/json/v1", str(requests)]
    with pinned(1):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return float(done.stdout)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args(argv)
    with a_field({"json": "/json"}) as field:
        for step in measured(field, quick=arguments.quick):
            print(f"{step.name:36} {step.budget:6.0f} {step.measured:8.1f} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())

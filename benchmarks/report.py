"""The findings of a run as Markdown and JSON: medians of the repeats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.cells import Cell, Plan
from benchmarks.steps import Step

_GAP = "–"
_DOCUMENT = """# Performance

Measured on {date} by `make bench` ({machine}). Absolute numbers belong to that machine; compare ratios, within one run.

The client, the upstream and the stores have one CPU to themselves, each gateway has one worker on another. The upstream
is a static program in C, so what shows is the gateway. CPU is of the gateway's whole process tree, with the work that
it puts off until after the answer; the stores are listed apart. `direct` is the client without any gateway, and
`bare Flask relay` is the stack that Parley is built on with no feature at all: no accounts, no limits, no accounting.
Each figure is the median of {repeats} runs.

## Requests that are not streamed

{requests}

Added: median time of a request with one connection, less `direct`.

## Streams

{streams}

One event of the provider is one event to the client. Delay: from the moment the upstream sends an event until the
client has it, for {slow} streams at once with an event each 20 ms.

## Memory

{memory}

## The stores beside the gateway

{stores}
{steps}{footer}"""
_STEPS = """
## Where the time of a request goes

{table}

Each step is a difference between two measurements over HTTP, except the provider round trip, which is measured alone.
"""


@dataclass
class Findings:
    date: str
    machine: str
    plan: Plan
    cells: list[Cell] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    idle_mib: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Of one worker, and of all processes of the gateway."""
    missing: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "date": self.date,
            "machine": self.machine,
            "missing": self.missing,
            "idle_mib": self.idle_mib,
            "cells": [cell.as_json() for cell in self.cells],
            "steps": [step.as_json() for step in self.steps],
        }

    @property
    def rows(self) -> list[str]:
        return sorted({cell.row for cell in self.cells}, key=[cell.row for cell in self.cells].index)

    def median(self, row: str, cell: str, value: Callable[[Cell], float]) -> float | None:
        values = [value(found) for found in self.cells if (found.row, found.name) == (row, cell)]
        return median(values) if values else None


def cpu_per_request(cell: Cell) -> float:
    """Milliseconds of the gateway."""
    return 1000 * cell.cpu.get("gateway", 0.0) / max(1.0, float(cell.answers["ok"]))


def cpu_per_event(cell: Cell) -> float:
    """Microseconds of the gateway; the cost of the request is part of it."""
    return 1e6 * cell.cpu.get("gateway", 0.0) / max(1.0, float(cell.answers["events"]))


def _answer(series: str, quantile: str) -> Callable[[Cell], float]:
    return lambda cell: float(cell.answers[series][quantile])


def line(cell: Cell) -> str:
    answers = cell.answers
    cost = cpu_per_event(cell) if answers["events"] else 1000 * cpu_per_request(cell)
    unit = "event" if answers["events"] else "request"
    failed = "" if cell.sound else f"  FAILED: {answers}"
    speed = f"{answers['ok']:6} in {answers['seconds']:6.2f} s  {cost:8.1f} µs/{unit}"
    return f"{speed}  others {cell.other_cpu:.2f} s{failed}"


def markdown(found: Findings) -> str:
    return _DOCUMENT.format(
        date=found.date,
        machine=found.machine,
        repeats=found.plan.repeats,
        slow=found.plan.slow_streams,
        requests=_requests(found),
        streams=_streams(found),
        memory=_memory(found),
        stores=_stores(found),
        steps=_STEPS.format(table=_steps(found.steps)) if found.steps else "",
        footer=_footer(found),
    )


def _requests(found: Findings) -> str:
    titles = [
        "",
        "CPU ms, 1 at a time",
        "CPU ms, 16 at once",
        "× nginx",
        "× bare relay",
        "added ms",
        "p99 ms, 16 at once",
    ]
    return _table(
        titles,
        [
            [
                row,
                _number(found.median(row, "one", cpu_per_request), 3),
                _number(found.median(row, "sixteen", cpu_per_request), 3),
                *_ratios(found, row, "sixteen", cpu_per_request),
                _number(_added(found, row, "one", _answer("latency_ms", "p50")), 2),
                _number(found.median(row, "sixteen", _answer("latency_ms", "p99")), 1),
            ]
            for row in found.rows
        ],
    )


def _streams(found: Findings) -> str:
    titles = ["", "CPU µs per event, as fast as it goes", "× nginx", "× bare relay", "first content, added ms"]
    titles += [
        f"{found.plan.slow_streams} at once: CPU µs per event",
        "delay p50 ms",
        "delay p99 ms",
        "first content p99 ms",
    ]
    return _table(
        titles,
        [
            [
                row,
                _number(found.median(row, "burst", cpu_per_event), 1),
                *_ratios(found, row, "burst", cpu_per_event),
                _number(_added(found, row, "first", _answer("first_content_ms", "p50")), 2),
                _number(found.median(row, "slow", cpu_per_event), 1),
                _number(found.median(row, "slow", _answer("delay_ms", "p50")), 1),
                _number(found.median(row, "slow", _answer("delay_ms", "p99")), 1),
                _number(found.median(row, "slow", _answer("first_content_ms", "p99")), 0),
            ]
            for row in found.rows
        ],
    )


def _memory(found: Findings) -> str:
    """Streams are counted in the first repeat: what one needed stays with the process for the next."""
    titles = [
        "",
        "idle MiB, one worker",
        "idle MiB, all",
        f"peak MiB, {found.plan.slow_streams} streams",
        "kB per open stream",
    ]
    rows = []
    for cell in found.cells:
        if cell.name == "slow" and cell.repeat == 0 and cell.row in found.idle_mib:
            worker, together = found.idle_mib[cell.row]
            each = (cell.peak_mib - cell.before_mib) * 1024 / found.plan.slow_streams
            rows.append([cell.row, *(_number(mib, 0) for mib in (worker, together, cell.peak_mib)), _number(each, 0)])
    return _table(titles, rows)


def _stores(found: Findings) -> str:
    parts = sorted({part for cell in found.cells for part in cell.cpu if part != "gateway"})
    if not parts:
        return "Not measured.\n"
    row = next(cell.row for cell in found.cells if parts[0] in cell.cpu)
    cells = [found.median(row, "sixteen", _of_part(part)) for part in parts]
    return _table(
        ["", *(f"{part}, CPU ms per request" for part in parts)], [[row, *(_number(cell, 3) for cell in cells)]]
    )


def _of_part(part: str) -> Callable[[Cell], float]:
    return lambda cell: 1000 * cell.cpu[part] / max(1.0, float(cell.answers["ok"]))


def _steps(steps: Sequence[Step]) -> str:
    rows = [[step.name, _number(step.budget, 0), _number(step.measured, 0)] for step in steps]
    total = [
        "**together**",
        *(_number(sum(column), 0) for column in zip(*((s.budget, s.measured) for s in steps), strict=True)),
    ]
    over = ", ".join(f"{step.name} ({_number(step.measured - step.budget, 0)} µs)" for step in steps if step.over)
    return _table(["", "budget, µs of CPU", "measured"], [*rows, total]) + f"\n\nOver budget: {over or 'nothing'}."


def _footer(found: Findings) -> str:
    missing = [f"Not measured: {row} ({reason}).\n" for row, reason in found.missing.items()]
    failed = [f"Not sound: {cell.row}, {cell.name}, repeat {cell.repeat}.\n" for cell in found.cells if not cell.sound]
    return "".join(f"\n{sentence}" for sentence in missing + failed)


def _ratios(found: Findings, row: str, cell: str, value: Callable[[Cell], float]) -> list[str]:
    mine = found.median(row, cell, value)
    anchors = [found.median(anchor, cell, value) for anchor in ("nginx", "bare Flask relay")]
    return [_number(mine / anchor, 2) if mine and anchor else _GAP for anchor in anchors]


def _added(found: Findings, row: str, cell: str, value: Callable[[Cell], float]) -> float | None:
    mine, direct = found.median(row, cell, value), found.median("direct", cell, value)
    return None if mine is None or direct is None or row == "direct" else mine - direct


def _number(value: float | None, digits: int) -> str:
    return f"{value:,.{digits}f}" if value else _GAP


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---", *["--:"] * (len(titles) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

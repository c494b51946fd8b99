"""What the benchmarks say of what they counted."""

import os
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.cells import FULL, QUICK, Cell
from benchmarks.machine import cpu_seconds, rss, tree
from benchmarks.report import Findings, cpu_per_event, cpu_per_request, markdown
from benchmarks.steps import Step

SERIES = {"p50": 2.0, "p95": 3.0, "p99": 4.0, "max": 5.0}


def answers(**counts: Any) -> dict[str, Any]:
    none = {"started": 100, "ok": 100, "refused": 0, "broken": 0, "unfinished": 0, "seconds": 1.0}
    streams = {"events": 0, "content": 0, "done": 0, "usage": 0}
    return {**none, **streams, "latency_ms": SERIES, "first_content_ms": SERIES, "delay_ms": SERIES, **counts}


def findings(*cells: Cell) -> Findings:
    return Findings("2026-01-01", "a machine", QUICK, cells=list(cells), idle_mib={"Parley": (80.0, 100.0)})


def row_of(text: str, title: str, row: str) -> list[str]:
    """The cells of one row of the table under `## title`."""
    table = text.partition(f"## {title}")[2].partition("##")[0]
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {row} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_cost_of_a_request_and_of_an_event_is_what_the_gateway_used() -> None:
    cell = Cell("Parley", "burst", 0, answers(events=1000), cpu={"gateway": 0.5, "Redis": 9.0})

    assert cpu_per_request(cell) == pytest.approx(5.0)
    assert cpu_per_event(cell) == pytest.approx(500.0)


@pytest.mark.parametrize(
    "counts",
    [{"ok": 99, "refused": 1}, {"ok": 99}, {"events": 500, "done": 99, "usage": 100}, {"events": 500, "done": 100}],
    ids=["refused", "unfinished", "stream without its end", "stream without usage"],
)
def test_a_cell_with_a_failed_request_is_not_sound_and_the_report_says_so(counts: dict[str, Any]) -> None:
    cell = Cell("nginx", "sixteen", 0, answers(**counts))

    assert not cell.sound
    assert "Not sound: nginx, sixteen" in markdown(findings(cell))


def test_whole_answers_and_whole_streams_are_sound() -> None:
    assert Cell("nginx", "sixteen", 0, answers()).sound
    assert Cell("nginx", "burst", 0, answers(events=500, done=100, usage=100)).sound


def test_the_report_takes_the_median_and_compares_with_nginx_and_the_relay() -> None:
    costs = {"nginx": [1.0, 2.0, 9.0], "bare Flask relay": [4.0], "Parley": [3.0, 8.0, 5.0]}
    cells = [
        Cell(row, "sixteen", repeat, answers(), cpu={"gateway": cost / 10})
        for row, series in costs.items()
        for repeat, cost in enumerate(series)
    ]

    assert row_of(markdown(findings(*cells)), "Requests", "Parley")[1:4] == ["5.000", "2.50", "1.25"]


def test_added_time_is_what_exceeds_the_direct_way() -> None:
    slow = answers(latency_ms={**SERIES, "p50": 3.25})
    cells = Cell("direct", "one", 0, answers()), Cell("Parley", "one", 0, slow, cpu={"gateway": 1.0})

    text = markdown(findings(*cells))

    assert row_of(text, "Requests", "Parley")[4] == "1.25"
    assert row_of(text, "Requests", "direct")[4] == "–"


def test_memory_per_stream_is_that_of_the_first_repeat() -> None:
    cell = Cell("Parley", "slow", 0, answers(), cpu={"gateway": 1.0}, before_mib=100.0, peak_mib=110.0)

    memory = row_of(markdown(findings(cell, replace(cell, repeat=1, peak_mib=500.0))), "Memory", "Parley")

    assert memory == ["80", "100", "110", f"{10 * 1024 / QUICK.slow_streams:.0f}"]


def test_stores_and_steps_have_tables_of_their_own() -> None:
    found = findings(Cell("Parley", "sixteen", 0, answers(), cpu={"gateway": 1.0, "Redis": 0.02}))
    found.steps = [Step("server", 230, 250.4), Step("routing", 170, 100)]

    text = markdown(found)

    assert "| Parley | 0.200 |" in text
    assert "| **together** | 400 | 350 |" in text


def test_a_row_that_could_not_run_is_named() -> None:
    found = findings(Cell("direct", "one", 0, answers()))
    found.missing["nginx"] = "nginx is not installed"

    assert "Not measured: nginx (nginx is not installed)." in markdown(found)


def test_every_cell_of_a_plan_has_a_profile() -> None:
    for plan in (FULL, QUICK):
        assert {load.profile for load in plan.loads.values()} <= set(plan.paths)


def test_this_process_has_memory_and_has_used_a_cpu() -> None:
    assert os.getpid() in tree(os.getpid())
    assert cpu_seconds(os.getpid()) > 0
    assert rss(os.getpid()) > 1

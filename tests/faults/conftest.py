"""What several fault tests need: a provider that plays a part, and what is told at the end of a run."""

import re
from collections.abc import Iterator

import pytest

from tests.servers.scripted_provider import ScriptedProvider

_CELL = re.compile(r"test_scorecard\.py::test_s(\d\d)_\w+\[[^\]]*\b(whole|streamed)\b")
_SCENARIOS = 16


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProvider]:
    provider = ScriptedProvider(tmp_path_factory.mktemp("provider")).run()
    yield provider
    provider.stop()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: measures how quick the program is; nothing else may run meanwhile")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The scorecard, when it was run, and the reports that tests have put down."""
    passed = _cells(terminalreporter, "passed")
    failed = _cells(terminalreporter, "failed") | _cells(terminalreporter, "error")
    if passed or failed:
        terminalreporter.section("fault scorecard")
        scenarios = sorted({number for number, _ in passed | failed})
        for number in scenarios:
            marks = [_mark((number, how), passed, failed) for how in ("whole", "streamed")]
            terminalreporter.write_line(f"S{number}  whole: {marks[0]:<6} streamed: {marks[1]}")
        good = [number for number in scenarios if number not in {at for at, _ in failed}]
        terminalreporter.write_line(f"{len(good)}/{_SCENARIOS} pass")
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for title, text in getattr(report, "user_properties", ()):
            terminalreporter.section(title)
            terminalreporter.write_line(str(text))


def _cells(reporter: pytest.TerminalReporter, outcome: str) -> set[tuple[str, str]]:
    found = (_CELL.search(report.nodeid) for report in reporter.getreports(outcome))
    return {(cell.group(1), cell.group(2)) for cell in found if cell}


def _mark(cell: tuple[str, str], passed: set[tuple[str, str]], failed: set[tuple[str, str]]) -> str:
    if cell in failed:
        return "FAIL"
    return "pass" if cell in passed else "-"

"""The page of faults has every row, and each row a test that is there."""

import re

import pytest

from tests.source import ROOT

_PAGE = (ROOT / "docs/faults.md").read_text()
_ROWS = {row.split("|")[1].strip(): row.split("|")[-2] for row in _PAGE.splitlines() if re.match(r"\| [SABC]\d", row)}
_EXPECTED = [
    *(f"S{number:02}" for number in range(1, 17)),
    *(f"A{number}" for number in range(1, 16)),
    *(f"B{number}" for number in range(1, 15)),
    "B2b",
    *(f"C{number}" for number in range(1, 9)),
]


def test_every_fault_has_a_row():
    assert sorted(_ROWS) == sorted(_EXPECTED)


@pytest.mark.parametrize("row", _EXPECTED)
def test_every_row_is_shown_by_tests_that_exist(row):
    shown = _ROWS[row].replace("as B1", _ROWS["B1"])
    named = re.findall(r"`([\w/]+\.py)(?:::(test_\w+))?`", shown)

    assert any(test for _, test in named)
    for path, test in named:
        assert f"def {test}" in (ROOT / "tests" / path).read_text()


def test_every_test_of_these_files_is_on_the_page():
    files = {path for path, _ in re.findall(r"`(faults/test_\w+\.py)::(test_\w+)`", _PAGE)} - {"faults/test_clients.py"}
    tests = {
        f"{path}::{test}"
        for path in files
        for test in re.findall(r"^def (test_[sabc]\d\w+)", (ROOT / "tests" / path).read_text(), re.MULTILINE)
    }

    assert len(tests) > 40
    assert [test for test in sorted(tests) if f"`{test}`" not in _PAGE] == []

"""What is to be installed: nothing below a known hole, nothing unpinned."""

import re
from pathlib import Path

import pytest
from packaging.version import Version

from tests.floors import FLOORS, UNWANTED
from tests.source import ROOT

REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"(?P<name>[a-zA-Z0-9_.-]+)==(?P<version>[^\s;]+)(?P<rest>(?:[^\n\\]*\\\n)*[^\n]*)")


def pins(file: Path) -> dict[str, tuple[Version, str]]:
    """Each package of a requirements file with its version and whatever else its entry says."""
    return {
        re.sub(r"[-_.]+", "-", found["name"]).lower(): (Version(found["version"]), found["rest"])
        for found in PIN.finditer(file.read_text())
    }


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_nothing_is_older_than_the_fix_of_a_known_hole(file: Path):
    pinned = pins(file)

    old = {name: str(pinned[name][0]) for name in FLOORS if name in pinned and pinned[name][0] < Version(FLOORS[name])}
    assert old == {}
    assert UNWANTED.isdisjoint(pinned)


def test_the_floors_are_those_of_packages_that_we_run():
    assert {"flask", "gevent", "gunicorn", "pymysql", "redis", "werkzeug"} <= set(pins(ROOT / "requirements/run.txt"))


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_everything_is_pinned_and_hashed_and_comes_from_no_named_address(file: Path):
    text = file.read_text()
    entries = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]

    assert [line for line in entries if not PIN.match(line)] == []
    assert [name for name, (_, rest) in pins(file).items() if "--hash=sha256:" not in rest] == []
    assert not re.search(r"://|--(extra-)?index-url|--find-links|^-e|^git\+", text, re.MULTILINE)

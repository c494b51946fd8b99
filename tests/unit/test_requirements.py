"""What is installed: nothing below a known hole, nothing unpinned, nothing that runs by itself."""

import re
import sysconfig
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.version import Version

from tests.source import ROOT

REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"(?P<name>[a-zA-Z0-9_.-]+)==(?P<version>[^\s;]+)(?P<rest>(?:[^\n\\]*\\\n)*[^\n]*)")

FLOORS = {
    "flask": "3.1.3",  # CVE-2026-27205: no Vary: Cookie
    "gevent": "24.10.1",  # CVE-2023-41419
    "gunicorn": "26.1",  # an answer could reach the wrong request; smuggling before 22
    "pdfminer-six": "20251230",  # CVE-2025-64512: code execution by a font
    "pymysql": "1.1.3",  # CVE-2024-36039: SQL injection through keys
    "pypdf": "7.1.0",  # memory and CPU exhaustion, six in one year
    "python-docx": "1.2.0",  # CVE-2016-5851: XML entities
    "redis": "4.5.4",  # CVE-2023-28858: answers reached the wrong request
    "requests": "2.31",  # CVE-2023-32681
    "urllib3": "2.6.3",  # decompression bombs
    "werkzeug": "3.0.6",  # CVE-2024-49767: multipart exhaustion
}
UNWANTED = {"docling", "flask-cors", "jsonpickle", "litellm"}
STARTED_BY_PYTHON = ("__editable__.parley-*.pth", "__editable___parley_*.pth", "distutils-precedence.pth")
STARTED_FOR_TESTS = ("a1_coverage.pth",)


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


def test_only_known_files_run_when_python_starts():
    """A `.pth` file runs in every Python process without being imported: the way of the 2026 attacks on PyPI."""
    folder = Path(sysconfig.get_paths()["purelib"])
    known = STARTED_BY_PYTHON + STARTED_FOR_TESTS

    unknown = [file.name for file in folder.glob("*.pth") if not any(fnmatch(file.name, name) for name in known)]
    assert unknown == []

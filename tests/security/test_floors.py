"""What is installed, whoever installed it: nothing below a known hole, and nothing that runs by itself.

What is to be installed is looked at by `tests/unit/test_requirements.py`.
"""

import re
import sysconfig
from collections.abc import Callable
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

import pytest
from packaging.version import Version

from tests.floors import FLOORS, UNWANTED

STARTED_BY_PYTHON = ("__editable__.parley-*.pth", "__editable___parley_*.pth", "distutils-precedence.pth")
STARTED_FOR_TESTS = ("a1_coverage.pth",)
ALSO_STARTED = ("sitecustomize*", "usercustomize*")
"""Python imports them at every start when they are there."""


def too_old(found: Callable[[str], str]) -> dict[str, str]:
    """Of the packages that `found` finds a version of."""
    old = {}
    for name, least in FLOORS.items():
        try:
            there = found(name)
        except PackageNotFoundError:
            continue
        if Version(there) < Version(least):
            old[name] = there
    return old


def strangers(folder: Path) -> list[str]:
    """Files that run in every Python process without being imported: the way of the 2026 attacks on PyPI."""
    known = STARTED_BY_PYTHON + STARTED_FOR_TESTS
    started = [file for pattern in ("*.pth", *ALSO_STARTED) for file in folder.glob(pattern)]
    return sorted(file.name for file in started if not any(fnmatch(file.name, name) for name in known))


def test_nothing_that_is_installed_is_older_than_the_fix_of_a_known_hole() -> None:
    assert too_old(version) == {}


def test_nothing_is_installed_that_was_ruled_out() -> None:
    names = {re.sub(r"[-_.]+", "-", it.name).lower() for it in distributions()}

    assert names & UNWANTED == set()


@pytest.mark.parametrize("kind", ["purelib", "platlib"])
def test_only_known_files_run_when_python_starts(kind: str) -> None:
    assert strangers(Path(sysconfig.get_paths()[kind])) == []


# ── the rules find what they are for ─────────────────────────────────────────────────────────────────────────────


def test_an_old_version_is_found() -> None:
    assert too_old(lambda name: "3.0.5" if name == "werkzeug" else "99999999") == {"werkzeug": "3.0.5"}


@pytest.mark.parametrize("name", ["litellm_init.pth", "parley.pth", "sitecustomize.py", "usercustomize.pyc"])
def test_a_file_that_runs_by_itself_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    (tmp_path / "distutils-precedence.pth").touch()
    (tmp_path / "module.py").touch()

    assert strangers(tmp_path) == [name]

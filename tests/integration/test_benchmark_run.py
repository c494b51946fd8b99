"""The benchmarks run: what they measure is for a machine with nothing else to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.gateway import ROOT
from tests.servers.program import require

pytestmark = pytest.mark.xdist_group("benchmarks")


def test_a_quick_run_measures_every_row_and_every_step(tmp_path: Path) -> None:
    for program in ("gcc", "nginx", "mariadbd", "redis-server"):
        require(program)

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.overhead", "--quick", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "overhead.json").read_text())
    rows = {cell["row"] for cell in found["cells"]}
    assert rows == {"direct", "nginx", "bare Flask relay", "Parley", "Parley, MariaDB and Redis"}
    assert all(cell["cpu"]["gateway"] > 0 for cell in found["cells"] if cell["row"] != "direct")
    assert len(found["steps"]) == 6
    assert "# Performance" in (tmp_path / "overhead.md").read_text()

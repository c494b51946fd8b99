"""Runs a client's program in the environment of the client SDKs, which `tests/clients/install` makes."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers.program import require
from tests.source import ROOT

_HERE = ROOT / "tests/clients"
_ENVIRONMENTS = {
    ".py": (ROOT / ".venv-clients/stamp", ROOT / "requirements/clients.txt"),
    ".mjs": (_HERE / "node_modules/stamp", _HERE / "package-lock.json"),
}


class Told:
    """What a program's checks found, by their names."""

    def __init__(self, printed: str) -> None:
        self._lines = {line["check"]: line for line in map(json.loads, printed.splitlines())}

    def __getitem__(self, check: str) -> Any:
        line = self._lines[check]
        assert "threw" not in line, line["threw"]
        return line["found"]


def told_by(program: str, url: str, key: str) -> Told:
    """Every check of the program, run against the gateway at `url`."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [str(_interpreter(program)), str(_HERE / program), url, key]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Told(done.stdout)


def _interpreter(program: str) -> Path:
    kind = Path(program).suffix
    stamp, wanted = _ENVIRONMENTS[kind]
    interpreter = require("node") if kind == ".mjs" else stamp.with_name("bin") / "python"
    if not stamp.exists() or stamp.read_bytes() != wanted.read_bytes():
        reason = f"the environment of {program} is missing or old, so it was not tested: run tests/clients/install"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return interpreter

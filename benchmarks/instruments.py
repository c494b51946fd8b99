"""The two programs in C that measure: a static upstream and a load driver, compiled when a run begins."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.program import Program, accepts, free_port

_SOURCES = Path(__file__).parent / "src"
_GRACE = 45


def build(name: str, folder: Path) -> Path:
    """Raises CalledProcessError when the compiler refuses, FileNotFoundError when there is none."""
    binary = folder / name
    subprocess.run(["gcc", "-O2", "-o", binary, _SOURCES / f"{name}.c"], check=True)
    return binary


@dataclass(frozen=True, slots=True)
class Load:
    """A closed loop of `connections`, until `requests` were sent or `seconds` are over."""

    profile: str
    connections: int
    requests: int
    seconds: float = 8.0


class Driver:
    def __init__(self, folder: Path) -> None:
        self._binary = build("load", folder)

    def run(self, load: Load, url: str, body: Path, headers: Sequence[str]) -> dict[str, Any]:
        """What `src/load.c` prints."""
        bounds = ["-c", load.connections, "-n", load.requests, "-s", load.seconds]
        named = [part for header in headers for part in ("-H", header)]
        command = [str(self._binary), "-u", url, "-b", str(body), *map(str, bounds), *named]
        done = subprocess.run(command, capture_output=True, text=True, timeout=load.seconds + _GRACE, check=True)
        return dict(json.loads(done.stdout))


class Upstream(Program):
    """Answers by path, see `src/upstream.c`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__([build("upstream", folder), str(self.port)], folder, name="upstream")

    def run(self) -> None:
        self.start(lambda: accepts(self.port))

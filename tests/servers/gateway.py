"""The real program, as `parley serve` starts it, on a free port with everything it writes in a temporary folder."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.servers.program import Program, free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
_TOKEN = re.compile(r"parley_live_[0-9A-Za-z]{10}_[0-9A-Za-z]{49}")
_PROVIDER = re.compile(r".*_(API_KEY|BASE_URL)$")

FAST = """
[deadlines]
connect = 1.0
headers = 2.0
first_token = 2.0
idle = 2.0
total = 20.0

[server]
heartbeat = 0.5
gate = 1.0
client_send = 2.0
body_read = 2.0
drain = 5.0
"""
"""The test profile: the production values, five to thirty times shorter."""


class Gateway:
    """`config` is the text of its parley.toml; `env` adds to an environment without provider keys."""

    def __init__(self, folder: Path, *, env: Mapping[str, str] | None = None, config: str = FAST) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = f"{self.url}/api/v1"
        (folder / "parley.toml").write_text(config)
        self.env = {
            **{name: value for name, value in os.environ.items() if not _PROVIDER.fullmatch(name)},
            "PARLEY_BIND": f"127.0.0.1:{self.port}",
            "PARLEY_HOME": str(folder / "var"),
            "PARLEY_METRICS_TOKEN": "metrics-token-of-the-tests",
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self.program = Program([sys.executable, "-m", "infrastructure", "serve"], folder, env=self.env, name="gateway")
        self._key: str | None = None

    def start(self, seconds: float = 60) -> "Gateway":
        self.program.start(lambda: self.status("/livez") == 200, seconds)
        return self

    @property
    def key(self) -> str:
        """The first administrator's key, which the first start printed."""
        if self._key is None:
            self._key = _TOKEN.findall(self.program.log.read_text())[0]
        return self._key

    @property
    def pid(self) -> int:
        """Of the master."""
        return self.program.pid

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill_worker(self, index: int = 0) -> None:
        os.kill(self.workers()[index], signal.SIGKILL)

    def stop(self) -> int:
        return self.program.stop(20)

    def end(self) -> None:
        """For a test that is over: at once, and nothing is drained."""
        workers = self.workers() if self.program.running else []
        self.program.kill()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def cli(self, *arguments: str, text: str = "") -> str:
        """Run `parley …` beside the server; its standard output."""
        command = [sys.executable, "-m", "infrastructure", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, input=text, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> tuple[int, Any]:
        """Status and decoded JSON of one request under /api/v1."""
        request = urllib.request.Request(
            self.api + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _decoded(error.read())

    def record(self, request_id: str, seconds: float = 20, *, key: str | None = None) -> dict[str, Any]:
        """Of one call, which the store has a moment after the answer."""
        found: list[dict[str, Any]] = []

        def recorded() -> bool:
            page = self.call("GET", "/usage/records?limit=100", key=key)[1]["data"]
            found.extend(record for record in page if record["request_id"] == request_id)
            return bool(found)

        wait_until(recorded, seconds, f"the record of {request_id}")
        return found[0]


def _decoded(body: bytes) -> Any:
    return json.loads(body) if body else None

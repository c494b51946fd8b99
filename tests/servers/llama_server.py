"""A real model: what `make run-local` puts behind the gateway, on a free port."""

import os
import time
import urllib.request
from pathlib import Path

import pytest

from tests.servers.program import Program, free_port
from tests.source import ROOT

MODEL = "SmolLM2-135M-Instruct"
CONTEXT_TOKENS = 2048
"""Of one call, prompt and answer together."""


class LlamaServer(Program):
    """Chat and embeddings; two calls at once."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        argv = [local_model_python(), ROOT / "deploy/local/model.py", str(self.port)]
        super().__init__(argv, folder, name="llama-server")

    def run(self) -> "LlamaServer":
        self.start(lambda: self.get("/health") is not None, 60)
        return self

    def generating(self) -> bool:
        """Whether it computes, from a third of a second of looking; asking it would keep it from seeing who left."""
        before = self._cpu_seconds()
        time.sleep(0.3)
        return self._cpu_seconds() - before > 0.05

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def get(self, path: str) -> bytes | None:
        """The body of the answer, None when it is an error: the server says 503 while it loads."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            return None


def local_model_python() -> Path:
    """The interpreter that has the model; `make test-real` makes it."""
    environment = ROOT / ".venv-local"
    if not (environment / "stamp").exists():
        reason = "the local model is not installed (make test-real does it), so no real model was tested"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return environment / "bin/python"

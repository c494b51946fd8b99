#!/usr/bin/env python3
"""`make run-local`: the gateway with a small real model behind it. Both end together.

The model is a child of the gateway: this program starts it and then becomes `parley serve`.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_MODEL_PYTHON = _HERE.parents[1] / ".venv-local/bin/python"
_START_SECONDS = 60
_MODEL = "llamacpp/SmolLM2-135M-Instruct"
_WELCOME = """
A small real model answers: {model}. It is a demonstration: fast, and inventing freely.

  curl http://{bind}/api/v1/chat/completions -H "Authorization: Bearer $KEY" \\
    -H 'Content-Type: application/json' -d '{body}'

$KEY is an API key; the first start prints one, and this makes another:

  .venv/bin/parley keys create --user admin@localhost --name mine

Ctrl-C ends both.
"""


def main() -> None:
    address = f"http://127.0.0.1:{(port := _free_port())}"
    model = subprocess.Popen([_MODEL_PYTHON, _HERE / "model.py", str(port)], stdin=subprocess.DEVNULL)  # noqa: S603 - our own
    if not _answers(f"{address}/health", model):
        sys.exit("parley: the local model did not start")
    environment = {**os.environ, "LLAMACPP_BASE_URL": f"{address}/v1"}
    if not (os.environ.get("PARLEY_CONFIG") or Path("parley.toml").exists()):
        environment["PARLEY_CONFIG"] = str(_HERE / "model.toml")
    sys.stdout.write(_welcome(os.environ.get("PARLEY_BIND") or "127.0.0.1:8080"))
    sys.stdout.flush()
    parley = str(Path(sys.executable).with_name("parley"))
    os.execve(parley, [parley, "serve"], environment)  # noqa: S606 - no shell


def _welcome(bind: str) -> str:
    question = {"model": _MODEL, "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
    return _WELCOME.format(model=_MODEL, bind=bind, body=json.dumps(question))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str, model: "subprocess.Popen[bytes]") -> bool:
    """Whether it does so in time; it says 503 while it loads."""
    deadline = time.monotonic() + _START_SECONDS
    while model.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - loopback
                return True
        except OSError:
            time.sleep(0.1)
    return False


if __name__ == "__main__":
    main()

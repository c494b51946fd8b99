"""`make run-local`: a newcomer's real answers without a key."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.caller import Caller, Reply
from tests.servers.llama_server import MODEL, local_model_python
from tests.servers.program import Program, accepts, free_port, wait_until
from tests.source import ROOT

TOKEN = re.compile(r"parley_live_\w+")


class Local(Program):
    """What the Makefile starts, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        local_model_python()
        self.port = free_port()
        own = {"PARLEY_BIND": f"127.0.0.1:{self.port}", "PARLEY_HOME": str(folder / "var"), "PYTHONUNBUFFERED": "1"}
        super().__init__([sys.executable, ROOT / "deploy/local/serve.py"], folder, env={**os.environ, **own})

    def serves(self) -> bool:
        return accepts(self.port) and Caller(self.port, prefix="").get("/livez").status == 200

    def client(self) -> Caller:
        """With the key that the first start printed."""
        return Caller(self.port, {"Authorization": f"Bearer {TOKEN.findall(self.log.read_text())[0]}"})

    def answer(self) -> Reply:
        question = [{"role": "user", "content": "Name a colour."}]
        body = {"model": f"llamacpp/{MODEL}", "messages": question, "max_tokens": 30}
        return self.client().post("/chat/completions", body)

    def model(self) -> int:
        """The process of the model, a child of the gateway."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        (found,) = (child for child in children if b"model.py" in Path(f"/proc/{child}/cmdline").read_bytes())
        return int(found)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    program = Local(tmp_path)
    program.start(program.serves, 60)
    yield program
    program.stop()


def test_it_answers_by_a_real_model_that_costs_nothing_and_tells_how_to_ask_it(local: Local) -> None:
    printed = local.log.read_text()

    reply = local.answer()

    assert f'"model": "llamacpp/{MODEL}"' in printed
    assert "demonstration" in printed
    assert f"llamacpp/{MODEL}" in [model["id"] for model in local.client().get("/models").json["data"]]
    assert reply.status == 200, reply.raw
    assert reply.json["choices"][0]["message"]["content"]
    assert float(reply.json["usage"]["cost"]) == 0


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_the_model_ends_with_the_gateway_and_not_before_it(local: Local, end: signal.Signals) -> None:
    model = local.model()
    os.kill(model, signal.SIGINT)  # Ctrl-C reaches it as well

    assert local.answer().status == 200
    assert local.model() == model
    local.signal(end)
    local.wait(20)

    wait_until(lambda: not runs(model), 5, "the end of the model")


def runs(pid: int) -> bool:
    """A process that has ended, and that nobody has asked about yet, is a zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False

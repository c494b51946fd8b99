"""Image jobs when their worker dies or has to go: ended once, accounted for once, and never made again."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.caller import Caller
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("image-jobs"), pytest.mark.timeout(240)]

CONFIG = """
[providers.scripted]
base_url = "{url}"
[prices."scripted/picture"]
image = 0.04
[prices."scripted/picture-slow-30"]
image = 0.04
[prices."qwen/task-forever"]
image = 0.02
"""
FULL = """
import resource, signal, sys
from pathlib import Path
from adapters.files.local import LocalBlobs
from domain.errors import StorageFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
folder = Path(sys.argv[1])
blobs = LocalBlobs(folder)
try:
    blobs.put(b"x" * 1_000_000)
except StorageFull as error:
    print(error.code, [path.name for path in folder.rglob("*") if path.is_file()])
"""
READ_ONLY = """
import os, sys
from pathlib import Path
from adapters.files.local import LocalBlobs
from domain.errors import StorageFull
os.chdir(sys.argv[1])
folder = Path("files")
blobs = LocalBlobs(folder)
blobs.require_room(1)
folder.chmod(0o500)
os.chmod(".", 0o711)
if os.geteuid() == 0:
    os.setuid(65534)
try:
    blobs.require_room(1)
except StorageFull as error:
    print(error.code)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Gateway]:
    env = {"QWEN_API_KEY": "sk-qwen-0123456789", "QWEN_BASE_URL": f"{provider.root}/compatible-mode/v1"}
    folder = tmp_path_factory.mktemp("images")
    gateway = Gateway(folder, env=env, config=FAST + CONFIG.format(url=provider.base_url)).start()
    yield gateway
    gateway.end()


@pytest.fixture
def gateway(served: Gateway, provider: ScriptedProvider) -> Gateway:
    """One for all tests; what was killed in one is back before the next."""
    wait_until(lambda: served.status("/readyz") == 200, 40, "a worker")
    provider.forget()
    return served


@pytest.fixture
def caller(gateway: Gateway) -> Caller:
    return Caller(gateway.port).bearing(gateway.key)


def start(caller: Caller, model: str, **headers: str) -> dict[str, Any]:
    reply = caller.post("/images", {"model": model, "prompt": "a cat", "n": 2}, **headers)
    assert reply.status == 202, reply.raw
    return dict(reply.json)


def job(caller: Caller, started: dict[str, Any]) -> dict[str, Any]:
    return dict(caller.get(f"/images/{started['id']}").json)


def ended(caller: Caller, started: dict[str, Any]) -> bool:
    try:
        return job(caller, started)["status"] in {"succeeded", "failed"}
    except (OSError, KeyError, ValueError):  # the worker is just being replaced
        return False


def records(caller: Caller, request_id: str) -> list[dict[str, Any]]:
    found = caller.get("/usage/records?limit=100").json["data"]
    return [record for record in found if record["request_id"] == request_id]


@pytest.mark.parametrize("model", ["scripted/picture-slow-30", "qwen/task-forever"])
def test_a_job_whose_worker_is_killed_fails_is_in_the_ledger_once_and_is_never_made_again(
    gateway: Gateway, caller: Caller, provider: ScriptedProvider, model: str
) -> None:
    once = {"Idempotency-Key": f"job-{model.replace('/', '-')}"}
    started = start(caller, model, **once)
    wait_until(lambda: len(provider.bills()) == 1, 10, "the order at the provider")

    gateway.kill_worker()
    wait_until(lambda: ended(caller, started), 40, "the end of the job")

    found = job(caller, started)
    assert (found["status"], found["error"]["code"], found["files"]) == ("failed", "request_abandoned", [])
    gateway.record(started["request_id"])
    (record,) = records(caller, started["request_id"])
    assert (record["state"], record["cost"]) == ("abandoned", 0)
    repeat = caller.post("/images", {"model": model, "prompt": "a cat", "n": 2}, **once)
    assert (repeat.status, repeat.json["id"]) == (202, started["id"])
    time.sleep(3)
    assert len(provider.bills()) == 1


def test_a_worker_that_ends_finishes_its_jobs_while_it_drains(gateway: Gateway, caller: Caller) -> None:
    started = start(caller, "scripted/picture-slow-1.5")
    wait_until(lambda: job(caller, started)["status"] == "running", 10)

    assert gateway.stop() == 0
    gateway.start()

    found = job(caller, started)
    assert (found["status"], len(found["files"])) == ("succeeded", 2)
    assert gateway.record(started["request_id"])["state"] == "completed"


def test_a_job_that_takes_longer_than_the_drain_is_told_so(gateway: Gateway, caller: Caller) -> None:
    started = start(caller, "qwen/task-forever")
    wait_until(lambda: job(caller, started)["status"] == "running", 10)

    assert gateway.stop() == 0
    gateway.start()

    found = job(caller, started)
    assert (found["status"], found["error"]["code"]) == ("failed", "server_shutting_down")


def test_files_survive_a_killed_worker(gateway: Gateway, caller: Caller) -> None:
    body = {"model": "scripted/picture", "prompt": "a cat", "response_format": "url"}
    made = [caller.post("/images/generations", body).json["data"][0]["file_id"] for _ in range(5)]

    gateway.kill_worker()
    wait_until(lambda: gateway.status("/readyz") == 200, 40)

    assert {caller.get(f"/files/{file_id}/content").status for file_id in made} == {200}


def test_what_has_no_room_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "storage_full []"


def test_nothing_is_bought_where_nothing_can_be_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "storage_full"

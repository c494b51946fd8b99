"""SIGTERM: what runs is finished or told, and nobody is killed."""

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("draining")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Gateway]:
    config = f'[providers.scripted]\nbase_url = "{provider.base_url}"\n' + FAST.replace("drain = 5.0", "drain = 3.0")
    gateway = Gateway(tmp_path_factory.mktemp("draining"), config=config)
    yield gateway
    gateway.end()


@pytest.fixture
def gateway(served: Gateway) -> Gateway:
    """One for all tests, which end it one after the other."""
    return served if served.program.running else served.start()


class Reader(threading.Thread):
    """Reads one stream to its end."""

    def __init__(self, gateway: Gateway, model: str) -> None:
        super().__init__()
        self.text = ""
        self.broken = False
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        body = {"model": f"scripted/{model}", "messages": [{"role": "user", "content": "x"}], "stream": True}
        headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"}
        self._connection.request("POST", "/api/v1/chat/completions", json.dumps(body), headers)
        self._answer = self._connection.getresponse()
        self.request_id = self._answer.headers["X-Request-Id"]
        self.start()

    def run(self) -> None:
        try:
            self.text = self._answer.read().decode()
        except http.client.IncompleteRead:
            self.broken = True
        self._connection.close()


def test_a_stream_shorter_than_the_drain_is_finished(gateway: Gateway) -> None:
    reader = Reader(gateway, "slow-100ms")

    gateway.program.signal(signal.SIGTERM)
    assert gateway.program.wait(20) == 0
    reader.join(10)

    assert reader.text.rstrip().endswith("data: [DONE]")
    gateway.start()
    assert gateway.record(reader.request_id)["state"] == "completed"


def test_a_stream_longer_than_the_drain_ends_with_an_error_event_and_a_clean_terminator(gateway: Gateway) -> None:
    reader = Reader(gateway, "drip")

    started = time.monotonic()
    gateway.program.signal(signal.SIGTERM)
    assert gateway.program.wait(20) == 0
    reader.join(10)

    assert "server_shutting_down" in reader.text
    assert "[DONE]" not in reader.text
    assert time.monotonic() - started < 13, "without being killed"
    assert "SIGKILL" not in gateway.program.log.read_text()
    gateway.start()
    assert gateway.record(reader.request_id)["state"] == "partial"


def test_a_draining_server_says_that_it_is_not_ready_and_takes_no_new_generations(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    connection.connect()  # accepted before the listener closes
    reader = Reader(gateway, "drip")

    gateway.program.signal(signal.SIGTERM)
    wait_until(lambda: readiness(connection) == 503, 2, "told that it is not ready")
    connection.close()
    reader.join(15)
    assert gateway.program.wait(20) == 0


def readiness(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/readyz")
    with connection.getresponse() as answer:
        answer.read()
        return answer.status


def test_a_killed_master_takes_its_workers_along_and_the_next_start_settles_their_calls(gateway: Gateway) -> None:
    reader = Reader(gateway, "drip")
    time.sleep(1.0)
    workers = gateway.workers()

    gateway.program.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers), 10, "workers gone")
    reader.join(10)
    gateway.start()

    assert reader.broken, "what was cut must not look whole"
    assert gateway.record(reader.request_id)["state"] == "abandoned"

"""A changed file comes into force by SIGHUP, while streams run and workers stay."""

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.caller import Caller
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.redis import running_redis
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("reload"), pytest.mark.timeout(240)]

STREAMS = 20
LONG = "scripted/slow-2000ms"
"""10 s from the first word to the last."""
PROMISED = 1.0
"""Seconds after which a changed file is in force."""
REFUSED = "the configuration stays as it is"


class Reloaded:
    """A gateway of two workers, and its file. `fast` is the name of a route that no test before had."""

    def __init__(self, gateway: Gateway, provider: ScriptedProvider) -> None:
        self.gateway = gateway
        self.provider = provider
        self.fast = "fast"
        self._begins = 0

    def seen_by_another_test(self) -> "Reloaded":
        self._begins = self.gateway.program.log.stat().st_size
        self.fast = f"fast{self._begins}"
        return self

    def write(self, more: str = "") -> None:
        fast = FAST.replace("idle = 2.0", "idle = 4.0")
        text = f'[providers.scripted]\nbase_url = "{self.provider.base_url}"\n{more}\n{fast}'
        (self.gateway.folder / "parley.toml").write_text(text)

    def hang_up(self, pid: int | None = None) -> None:
        os.kill(pid or self.gateway.pid, signal.SIGHUP)

    def told(self) -> int:
        """How many workers have told of themselves."""
        return len(self.gateway.call("GET", "/admin/status")[1]["workers"])

    def configurations(self) -> set[str]:
        """The hashes that they have told."""
        return {worker["state"]["config"] for worker in self.gateway.call("GET", "/admin/status")[1]["workers"]}

    def answers(self, model: str) -> bool:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        return self.gateway.call("POST", "/chat/completions", body)[0] == 200

    def all_answer(self, model: str) -> bool:
        """Ten requests in a row are taken by both workers, but for one run in a thousand."""
        return all(self.answers(model) for _ in range(10))

    def log(self) -> list[str]:
        """What the gateway has written since the test began."""
        return self.gateway.program.log.read_bytes()[self._begins :].decode().splitlines()

    def refusals(self) -> list[str]:
        return [line for line in self.log() if REFUSED in line]

    def stream(self, begun: threading.Semaphore) -> str:
        """Read one long stream to its end: all of its lines."""
        body = {"model": LONG, "messages": [{"role": "user", "content": "hi"}], "stream": True}
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.gateway.key}", "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        first = answer.readline()
        begun.release()
        text = first + answer.read()
        connection.close()
        return text.decode()


def route(name: str, target: str = "scripted/ok") -> str:
    return f'[routes.{name}]\ntry = ["{target}"]\n'


@contextmanager
def two_workers(folder: Path, provider: ScriptedProvider) -> Iterator[Reloaded]:
    with running_redis() as redis:
        reloaded = Reloaded(Gateway(folder, env={"REDIS_URL": redis.url, "PARLEY_WORKERS": "2"}), provider)
        reloaded.write()
        reloaded.gateway.start()
        try:
            within(20, lambda: reloaded.told() == 2, "both workers are there")
            yield reloaded
        finally:
            reloaded.gateway.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Reloaded]:
    with two_workers(tmp_path_factory.mktemp("reload"), provider) as reloaded:
        yield reloaded


@pytest.fixture
def running(shared: Reloaded) -> Reloaded:
    return shared.seen_by_another_test()


@pytest.fixture
def fresh(tmp_path: Path, provider: ScriptedProvider) -> Iterator[Reloaded]:
    """For a test that kills workers, or counts what they tell of themselves."""
    with two_workers(tmp_path, provider) as reloaded:
        yield reloaded


def within(seconds: float, ready: Callable[[], bool], what: str) -> None:
    wait_until(ready, seconds, what)


def test_twenty_streams_run_through_three_reloads_unharmed(running: Reloaded) -> None:
    workers, begun = running.gateway.workers(), threading.Semaphore(0)
    with ThreadPoolExecutor(STREAMS) as pool:
        streams: list[Future[str]] = [pool.submit(running.stream, begun) for _ in range(STREAMS)]
        for _ in range(STREAMS):
            assert begun.acquire(timeout=10)
        for number in range(3):
            running.write(route(f"fast{number}"))
            running.hang_up()
            within(10, lambda name=f"fast{number}": running.answers(name), "a reload")  # type: ignore[misc]
        ended = [stream.done() for stream in streams]
        texts = [stream.result() for stream in streams]

    assert not all(ended), "the streams were over before the last reload"
    for text in texts:
        assert text.rstrip().endswith("data: [DONE]")
        assert all(f"word{number} " in text for number in range(1, 6))
    assert running.gateway.workers() == workers, "no worker was replaced"
    assert running.refusals() == []


def test_a_new_route_is_usable_within_a_second_in_every_worker(running: Reloaded) -> None:
    before = running.gateway.call("GET", "/models")[1]
    assert not running.answers(running.fast)
    running.write(route(running.fast))
    began = time.monotonic()
    running.hang_up()
    within(10 * PROMISED, lambda: running.all_answer(running.fast), "the new route")
    took, began = time.monotonic() - began, time.monotonic()
    running.gateway.cli("check")
    checked = time.monotonic() - began

    assert took < max(PROMISED, checked), "on a busy machine: sooner than a new program has read the same file"
    assert [model["id"] for model in before["data"]].count(running.fast) == 0
    assert [model["id"] for model in running.gateway.call("GET", "/models")[1]["data"]].count(running.fast) == 1


def test_the_hash_of_the_configuration_changes_with_it_and_is_the_same_in_all_workers(fresh: Reloaded) -> None:
    before = fresh.configurations()
    fresh.write(route(fresh.fast))
    fresh.hang_up()

    within(15, lambda: fresh.configurations() not in (before, set()), "a changed hash")
    within(15, lambda: len(fresh.configurations()) == 1, "the same hash everywhere")


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ("[route.typo]\n", "route: Unknown field."),
        ("[routes", "Expected ']'"),
        (route("slow", "nobody/large"), "routes.slow.try.0: there is no model nobody/large"),
        ('[providers.other]\nbase_url = "ftp://127.0.0.1"\n', "providers.other.base_url"),
        ('[providers.other]\nbase_url = "http://127.0.0.1:1"\napi_key_env = "NOBODYS"\n', "NOBODYS is not set"),
    ],
)
def test_a_bad_file_is_refused_with_one_line_that_says_why(running: Reloaded, spoilt: str, reason: str) -> None:
    running.write(route(running.fast))
    running.hang_up()
    within(10, lambda: running.all_answer(running.fast), "the good file")
    workers = running.gateway.workers()
    running.write(spoilt)
    running.hang_up()
    within(10, lambda: bool(running.refusals()), "the refusal")
    time.sleep(0.5)

    (line,) = running.refusals()
    assert reason in line
    assert running.all_answer(running.fast), "the old file is in force"
    assert running.gateway.workers() == workers


def test_a_worker_that_starts_after_a_bad_file_has_what_the_others_have(fresh: Reloaded) -> None:
    fresh.write(route(fresh.fast))
    fresh.hang_up()
    within(10, lambda: fresh.all_answer(fresh.fast), "the good file")
    fresh.write("[routes")
    fresh.hang_up()
    within(10, lambda: bool(fresh.refusals()), "the refusal")
    old = fresh.gateway.workers()
    for pid in old:
        os.kill(pid, signal.SIGKILL)

    within(20, lambda: len(set(fresh.gateway.workers()) - set(old)) == 2, "two new workers")
    within(20, lambda: fresh.gateway.status("/readyz") == 200, "ready again")
    within(10, lambda: fresh.all_answer(fresh.fast), "the route of the good file")


def test_a_file_that_changed_on_disk_alone_is_in_force_nowhere(fresh: Reloaded) -> None:
    fresh.write(route(fresh.fast))
    old = fresh.gateway.workers()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    within(20, lambda: len(set(fresh.gateway.workers()) - set(old)) == 2, "two new workers")
    within(20, lambda: fresh.gateway.status("/readyz") == 200, "ready again")

    assert not fresh.answers(fresh.fast)
    fresh.hang_up()
    within(10, lambda: fresh.all_answer(fresh.fast), "now it was asked for")


def test_a_worker_that_is_told_alone_reloads_alone(running: Reloaded) -> None:
    running.write(route(running.fast))
    for pid in running.gateway.workers():
        running.hang_up(pid)

    within(10, lambda: running.all_answer(running.fast), "both were told")


def test_what_needs_a_restart_is_said_and_the_rest_comes_into_force(running: Reloaded) -> None:
    running.write(route(running.fast) + '[accounts]\nregistration = "open"\n')
    running.hang_up()
    within(10, lambda: running.all_answer(running.fast), "the route")

    assert "a restart is needed for what changed in: accounts" in "\n".join(running.log())
    assert "accounts" not in str(running.refusals())


def test_default_limits_and_prices_are_reloaded(running: Reloaded) -> None:
    running.write('[limits]\nrpm = 70123\n[prices."scripted/ok"]\ninput = 1\noutput = 2\n')
    running.hang_up()

    def priced() -> bool:
        models = running.gateway.call("GET", "/admin/prices")[1]
        return "scripted/ok" in str(models)

    within(10, priced, "the price")
    answer = Caller(running.gateway.port).bearing(running.gateway.key).get("/models")
    assert answer.headers["x-ratelimit-limit-requests"] == "70123"


def test_keys_and_prices_can_be_entered_for_a_provider_that_came_with_the_file(running: Reloaded) -> None:
    running.write(f'[providers.late]\nbase_url = "{running.provider.base_url}"\n')
    running.hang_up()
    within(10, lambda: running.all_answer("late/ok"), "the provider")
    key = {"provider": "late", "name": "entered", "secret": "sk-entered-4417"}
    price = {"model": "late/ok", "input": 1, "output": 2}

    assert running.gateway.call("POST", "/admin/providers/credentials", key)[0] == 201
    assert running.gateway.call("POST", "/admin/prices", price)[0] == 201

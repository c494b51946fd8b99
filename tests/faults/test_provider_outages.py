"""Providers that are down, slow, full or unfriendly, over real sockets: breaker and credentials."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import pytest

from tests.servers.caller import Caller
from tests.servers.outages import FIRST, OPEN, SECOND, Scene, scenes
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("outages"), pytest.mark.timeout(120)]

TIMEOUT = 2.0
SLACK = 2.0
"""Seconds that a busy machine may take for everything else."""
TESTS = 16
"""As many as ask for a scene, at least."""


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[list[Scene]]:
    with scenes(tmp_path_factory.mktemp("outages"), provider, TESTS) as made:
        yield made


@pytest.fixture
def scene(unseen: list[Scene], provider: ScriptedProvider) -> Scene:
    """One that no other test has seen."""
    provider.forget()
    return unseen.pop()


# ── the breaker ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_five_failures_open_the_circuit_and_then_nobody_is_dialled(scene: Scene) -> None:
    while scene.ask("second/503").code != "circuit_open":
        assert scene.dialled() <= 5
    assert scene.dialled() == 5
    for _ in range(5):
        reply = scene.ask("second/503")
        assert (reply.status, reply.code) == (503, "circuit_open")
        assert 1 <= int(reply.headers["Retry-After"]) <= OPEN
        assert reply.headers["X-Parley-Attempts"] in (None, "0")

    assert scene.dialled() == 5
    assert scene.ask("second/ok").status == 200, "another model of the provider is not affected"


def test_a_refusal_comes_at_once(scene: Scene) -> None:
    """The whole request, journal included, beside one that is answered; the shortest wait is a tenth of a second."""
    for _ in range(5):
        scene.ask("second/503")
    samples = [(scene.seconds("second/503"), scene.seconds("second/ok")) for _ in range(10)]

    refused, answered = (median(column) for column in zip(*samples, strict=True))
    assert scene.dialled("503") <= 5 + 1, "these were refusals"
    assert refused < max(0.05, 2 * answered)


def test_the_refusal_is_told_with_its_reason_in_the_status_and_in_the_metrics(scene: Scene) -> None:
    for _ in range(6):
        scene.ask("second/503")

    wait_until(lambda: bool(scene.rests("second")), 10, "the worker told of it")
    (rest,) = scene.rests("second")
    assert (rest["credential"], rest["model"]) == ("#1", "503")
    assert (rest["state"], rest["reason"]) in {("open", "upstream_overloaded"), ("half_open", "upstream_overloaded")}
    assert "sk-third" not in json.dumps(rest)
    metrics = Caller(scene.gateway.port, prefix="").bearing("metrics-token-of-the-tests")
    line = f'parley_credentials_resting{{model="other",provider="second{scene.number}",state='
    wait_until(lambda: line in metrics.get("/metrics").raw.decode(), 10, "the metric")


def test_after_its_rest_the_first_call_is_the_probe_and_closes_it(scene: Scene) -> None:
    for _ in range(5):
        scene.ask("gone/ok")
    assert scene.ask("gone/ok").code == "circuit_open"
    healed = ScriptedProvider(scene.gateway.folder, "healed", scene.gone.getsockname()[1])
    scene.gone.close()
    healed.run()
    began, codes = time.monotonic(), []
    try:
        while (reply := scene.ask("gone/ok")).status != 200:
            codes.append(reply.code)
            time.sleep(0.02)
            assert time.monotonic() - began < OPEN + SLACK, "not back again"
    finally:
        healed.stop()

    assert set(codes) <= {"circuit_open"}, "no other call went before"


def test_an_outage_of_six_seconds_costs_few_probes(scene: Scene) -> None:
    until = time.monotonic() + 6
    while time.monotonic() < until:
        scene.ask("second/500")
        time.sleep(0.05)

    assert scene.dialled() <= 5 + 2


def test_a_storm_of_requests_is_not_made_worse(scene: Scene) -> None:
    """A15: every upstream request fails, fifty clients ask at once, again and again."""
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: scene.ask("second/503"), range(200)))

    assert {reply.status for reply in replies} == {503}
    assert scene.dialled() <= 1.25 * len(replies)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_closed_port_costs_two_dials_and_little_time(scene: Scene, streamed: bool) -> None:
    began = time.monotonic()
    reply = scene.ask("gone/ok", stream=streamed)

    assert (reply.status, reply.code) == (502, "upstream_unreachable")
    assert time.monotonic() - began < TIMEOUT + SLACK


# ── credentials ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_credentials_take_turns(scene: Scene) -> None:
    for _ in range(6):
        assert scene.ask("first/ok").status == 200

    assert scene.keys() == [FIRST, SECOND] * 3


def test_a_refused_credential_is_retired_for_all_models(scene: Scene) -> None:
    reply = scene.ask("first/auth-once")
    assert reply.status == 200, "the other one took over"
    for _ in range(4):
        assert scene.ask("first/ok").status == 200

    assert len(set(scene.keys()[1:])) == 1


def test_when_all_are_refused_it_is_told_without_a_dial(scene: Scene) -> None:
    assert scene.ask("second/auth").code == "upstream_auth"
    before = scene.dialled()
    reply = scene.ask("second/ok")

    assert (reply.status, reply.code, scene.dialled()) == (502, "upstream_auth", before)
    assert reply.headers["x-should-retry"] == "false"


def test_a_limited_credential_makes_way_and_when_all_are_limited_the_wait_is_told(scene: Scene) -> None:
    reply = scene.ask("first/429-ra-37")
    assert (reply.status, reply.code) == (429, "upstream_rate_limited")
    assert scene.dialled() == 2
    reply = scene.ask("first/429-ra-37")

    assert scene.dialled() == 2
    assert 30 <= int(reply.headers["Retry-After"]) <= 37, "that long was not waited"


@pytest.mark.parametrize(("model", "dials"), [("second/429-ra-1", 2), ("second/429-ra-3600", 1)])
def test_a_short_wait_is_waited_out_where_nobody_else_can_take_over(scene: Scene, model: str, dials: int) -> None:
    reply = scene.ask(model)

    assert (reply.status, scene.dialled()) == (429, dials)
    assert 1 <= int(reply.headers["Retry-After"]) <= 120

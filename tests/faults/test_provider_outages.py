"""Providers that are down, slow, full or unfriendly, over real sockets: breaker, credentials, routes."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.servers.caller import Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import free_port, wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("outages"), pytest.mark.timeout(120)]

CONFIG = """
[providers.first]
base_url = "{base_url}"
credentials = [{{api_key_env = "FIRST_KEY"}}, {{api_key_env = "SECOND_KEY"}}]

[providers.second]
base_url = "{base_url}"
api_key_env = "THIRD_KEY"

[providers.gone]
base_url = "http://127.0.0.1:{port}/v1"

[breaker]
open = 2.0
longest = 4.0

[aliases]
quick = "second/ok"

[routes.rescue]
try = ["gone/ok", "second/ok"]

[routes.overloaded]
try = ["first/503", "second/ok"]

[routes.silent]
try = ["first/ttfb-30", "second/ok"]

[routes.filtered]
try = ["first/content-filter", "second/ok"]

[routes.refiltered]
try = ["first/content-filter", "first/html"]
[routes.refiltered.fallback]
content_filter = ["second/ok"]

[routes.long]
try = ["first/context-length", "second/ok"]

[routes.cut]
try = ["first/rst-after-3", "second/ok"]
"""


class Scene:
    def __init__(self, gateway: Gateway, provider: ScriptedProvider) -> None:
        self.gateway = gateway
        self.provider = provider
        self.caller = Caller(gateway.port).bearing(gateway.key)

    def ask(self, model: str, **fields: Any) -> Reply:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
        return self.caller.post("/chat/completions", body)

    def dialled(self) -> int:
        """How many requests the provider has seen."""
        return len(self.provider.bills())

    def keys(self) -> list[str]:
        """With which keys, in the order of the calls."""
        return [bill["headers"]["authorization"].partition(" ")[2] for bill in self.provider.bills()]

    def rests(self) -> list[dict[str, Any]]:
        return [
            rest for worker in self.caller.get("/admin/status").json["workers"] for rest in worker["state"]["providers"]
        ]


def started(folder: Path, provider: ScriptedProvider) -> Scene:
    env = {"FIRST_KEY": "sk-first-0123456789", "SECOND_KEY": "sk-second-0123456789", "THIRD_KEY": "sk-third-0123456789"}
    config = CONFIG.format(base_url=provider.base_url, port=free_port()) + FAST
    return Scene(Gateway(folder, env=env, config=config).start(), provider)


@pytest.fixture
def scene(tmp_path: Path, provider: ScriptedProvider) -> Iterator[Scene]:
    """A gateway that knows nothing of its providers yet."""
    scene = started(tmp_path, provider)
    provider.forget()
    yield scene
    scene.gateway.end()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Scene]:
    scene = started(tmp_path_factory.mktemp("running"), provider)
    yield scene
    scene.gateway.end()


@pytest.fixture
def routed(running: Scene, provider: ScriptedProvider) -> Scene:
    """One for all tests that no breaker or resting credential of another test disturbs."""
    provider.forget()
    return running


# ── the breaker ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_five_failures_open_the_circuit_and_then_nobody_is_dialled(scene: Scene) -> None:
    while scene.ask("second/503").code != "circuit_open":
        assert scene.dialled() <= 5
    assert scene.dialled() == 5
    took: list[float] = []
    for _ in range(20):
        began = time.perf_counter()
        reply = scene.ask("second/503")
        took.append(time.perf_counter() - began)
        assert (reply.status, reply.code) == (503, "circuit_open")
        assert 1 <= int(reply.headers["Retry-After"]) <= 2
        assert reply.headers["X-Parley-Attempts"] in (None, "0")

    assert scene.dialled() == 5
    assert sorted(took)[len(took) // 2] < 0.05, "the whole request, journal included"
    assert scene.ask("second/ok").status == 200, "another model of the provider is not affected"


def test_the_refusal_is_told_with_its_reason_in_the_status_and_in_the_metrics(scene: Scene) -> None:
    for _ in range(6):
        scene.ask("second/503")

    wait_until(lambda: bool(scene.rests()), 10, "the worker told of it")
    (rest,) = scene.rests()
    assert (rest["provider"], rest["credential"], rest["model"]) == ("second", "#1", "503")
    assert (rest["state"], rest["reason"]) in {("open", "upstream_overloaded"), ("half_open", "upstream_overloaded")}
    assert "sk-third" not in json.dumps(rest)
    metrics = Caller(scene.gateway.port, prefix="").bearing("metrics-token-of-the-tests").get("/metrics").raw.decode()
    assert 'parley_credentials_resting{model="other",provider="second",state=' in metrics


def test_after_its_rest_the_first_call_is_the_probe_and_closes_it(scene: Scene, provider: ScriptedProvider) -> None:
    for _ in range(5):
        scene.ask("gone/ok")
    assert scene.ask("gone/ok").code == "circuit_open"
    port = int(scene.gateway.folder.joinpath("parley.toml").read_text().split("http://127.0.0.1:")[3].split("/")[0])
    healed = ScriptedProvider(scene.gateway.folder, "healed")
    healed.port, healed.argv[-1] = port, str(port)
    healed.run()
    began = time.monotonic()
    try:
        wait_until(lambda: scene.ask("gone/ok").status == 200, 10, "back again")
    finally:
        healed.stop()

    assert time.monotonic() - began < 2.5


def test_an_outage_of_six_seconds_costs_few_probes(scene: Scene) -> None:
    until = time.monotonic() + 6
    while time.monotonic() < until:
        scene.ask("second/500")
        time.sleep(0.05)

    assert scene.dialled() <= 5 + 3


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
    assert time.monotonic() - began < 1.5


# ── credentials ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_credentials_take_turns(scene: Scene) -> None:
    for _ in range(6):
        assert scene.ask("first/ok").status == 200

    assert scene.keys() == ["sk-first-0123456789", "sk-second-0123456789"] * 3


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
    began = time.monotonic()
    reply = scene.ask("first/429-ra-37")
    assert (reply.status, reply.code) == (429, "upstream_rate_limited")
    assert scene.dialled() == 2
    reply = scene.ask("first/429-ra-37")

    assert scene.dialled() == 2
    assert 30 <= int(reply.headers["Retry-After"]) <= 37
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(("model", "dials"), [("second/429-ra-1", 2), ("second/429-ra-3600", 1)])
def test_a_short_wait_is_waited_out_where_nobody_else_can_take_over(scene: Scene, model: str, dials: int) -> None:
    reply = scene.ask(model)

    assert (reply.status, scene.dialled()) == (429, dials)
    assert 1 <= int(reply.headers["Retry-After"]) <= 120


# ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("route", ["rescue", "overloaded", "silent", "refiltered", "quick"])
def test_a_route_answers_through_whoever_can(routed: Scene, route: str, streamed: bool) -> None:
    began = time.monotonic()
    reply = routed.ask(route, stream=streamed)

    assert reply.status == 200
    assert b"word5" in reply.raw
    assert time.monotonic() - began < 5
    if route != "silent" or not streamed:  # where the headers left before anybody had answered
        assert (reply.headers["X-Parley-Provider"], reply.headers["X-Parley-Model"]) == ("second", "ok")
    if streamed:
        assert reply.raw.rstrip().endswith(b"data: [DONE]")


@pytest.mark.parametrize(("route", "code"), [("filtered", "content_filter"), ("long", "context_length_exceeded")])
def test_a_filter_is_not_routed_around_and_the_same_size_not_sent_again(routed: Scene, route: str, code: str) -> None:
    reply = routed.ask(route)

    assert (reply.status, reply.code, routed.dialled()) == (400, code, 1)


def test_an_answer_that_was_cut_is_not_made_up_for_without_the_operators_word(routed: Scene) -> None:
    reply = routed.ask("cut", stream=True)

    assert b"[DONE]" not in reply.raw
    assert b"upstream_reset" in reply.raw
    assert routed.dialled() == 1


def test_the_ledger_bills_the_one_that_answered(routed: Scene) -> None:
    request_id = routed.ask("overloaded").headers["X-Request-Id"]

    def record() -> dict[str, Any]:
        records = routed.caller.get("/admin/records").json["data"]
        return next((found for found in records if found["request_id"] == request_id), {})

    wait_until(lambda: bool(record()), 10, "the record")
    assert (record()["provider"], record()["model"]) == ("second", "second/ok")


def test_several_models_in_one_request_are_tried_in_their_order(routed: Scene) -> None:
    reply = routed.ask("gone/ok", models=["second/ok"])

    assert (reply.status, reply.headers["X-Parley-Provider"]) == (200, "second")


def test_routes_are_listed_like_models(routed: Scene) -> None:
    listed = {model["id"]: model for model in routed.caller.get("/models").json["data"]}

    assert {"rescue", "quick", "cut"} <= listed.keys()
    assert listed["quick"]["owned_by"] == "second"


def test_the_command_that_checks_prints_them_without_a_secret(routed: Scene) -> None:
    told = routed.gateway.cli("check")

    assert json.loads(told)["credentials"]["first"] == 2
    assert json.loads(told)["aliases"] == {"quick": "second/ok"}
    assert json.loads(told)["routes"]["cut"]["try"] == [
        [{"model": "first/rst-after-3", "weight": None}],
        [{"model": "second/ok", "weight": None}],
    ]
    assert "sk-" not in told


def test_a_stream_that_fails_before_its_first_word_keeps_its_status(routed: Scene) -> None:
    reply = routed.ask("second/500", stream=True)

    assert (reply.status, reply.code) == (502, "upstream_error")

"""Routes, aliases and several models in one request: who answers when the first cannot, over real sockets."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.outages import Scene, scenes
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = [pytest.mark.xdist_group("routes"), pytest.mark.timeout(120)]

TIMEOUT = 2.0
SLACK = 2.0
"""Seconds that a busy machine may take for everything else."""
CONFIG = """
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

[routes.patient]
try = ["second/503-in-1", "first/slow-200ms"]

[routes.impatient]
try = ["second/ttfb-30", "first/ok"]

[providers.second.deadlines]
total = 1.5
"""
"""What is `silent` takes longer than the second one may have in all; its time begins when it is asked."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Scene]:
    with scenes(tmp_path_factory.mktemp("routes"), provider, 1, CONFIG) as (scene,):
        yield scene


@pytest.fixture
def routed(running: Scene, provider: ScriptedProvider) -> Scene:
    """One for all tests: what breaks or rests here disturbs none of them."""
    provider.forget()
    return running


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("route", ["patient", "impatient"])
def test_the_time_that_one_provider_may_take_is_not_that_of_another(routed: Scene, route: str, streamed: bool) -> None:
    reply = routed.ask(route, stream=streamed)

    assert reply.status == 200
    assert b"word5" in reply.raw
    assert b"upstream_total_timeout" not in reply.raw


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("route", ["rescue", "overloaded", "silent", "refiltered", "quick"])
def test_a_route_answers_through_whoever_can(routed: Scene, route: str, streamed: bool) -> None:
    began = time.monotonic()
    reply = routed.ask(route, stream=streamed)

    assert reply.status == 200
    assert b"word5" in reply.raw
    assert time.monotonic() - began < 2 * TIMEOUT + SLACK
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

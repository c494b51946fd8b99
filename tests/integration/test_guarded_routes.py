"""Guardrails, the cache and context strategies in the running gateway: the same on every route that generates."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.caller import Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until

pytestmark = pytest.mark.xdist_group("guarded")

CONFIG = (
    FAST
    + """
[providers.nobody]
base_url = "http://127.0.0.1:9/v1"

[cache]
seconds = 60

[guardrails.in-blocked]
regex = ["BLOCK-IN-[0-9]+"]
action = "block"
on = ["input"]

[guardrails.in-masked]
words = ["project falcon"]
action = "mask"
on = ["input"]

[guardrails.out-blocked]
regex = ["BLOCK-OUT-[0-9]+"]
action = "block"
on = ["output"]

[guardrails.out-masked]
personal = ["email"]
action = "mask"
on = ["output"]
"""
)
LONG = "word " * 120


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("guarded"), config=CONFIG).start()
    yield gateway
    gateway.end()


@pytest.fixture(scope="module")
def caller(gateway: Gateway) -> Caller:
    return Caller(gateway.port).bearing(gateway.key)


def a_session(caller: Caller, **config: Any) -> str:
    return str(caller.post("/sessions", {"ai_provider": "echo", "config": config}).json["id"])


def completions(caller: Caller, text: str, *, stream: bool, **headers: str) -> Reply:
    body = {"model": "echo/echo", "stream": stream, "messages": [{"role": "user", "content": text}]}
    return caller.post("/chat/completions", body, **headers)


def messages(caller: Caller, text: str, *, stream: bool) -> Reply:
    body = {
        "model": "echo/echo",
        "max_tokens": 10_000,
        "stream": stream,
        "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}],
    }
    return caller.post("/messages", body)


def responses(caller: Caller, text: str, *, stream: bool) -> Reply:
    return caller.post("/responses", {"model": "echo/echo", "input": text, "stream": stream})


def chat(caller: Caller, text: str, *, stream: bool) -> Reply:
    return caller.post("/chat", {"session_id": a_session(caller), "message": text, "stream": stream})


def lines(caller: Caller, text: str, *, stream: bool) -> Reply:
    body = {"session_id": a_session(caller), "message": text}
    return caller.post("/chat/stream", body, Accept="application/x-ndjson" if stream else "text/event-stream")


ROUTES = [completions, messages, responses, chat, lines]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("ask", ROUTES, ids=lambda it: it.__name__)
class TestEveryRoute:
    def test_a_forbidden_prompt_is_a_400_that_names_the_rule(self, caller: Caller, ask: Any, stream: bool):
        reply = ask(caller, "Tell me of BLOCK-IN-1.", stream=stream)

        assert (reply.status, reply.json["error"]["code"]) == (400, "guardrail_blocked")
        assert "in-blocked" in reply.json["error"]["message"]

    def test_a_forbidden_answer_never_gets_out(self, caller: Caller, ask: Any, stream: bool):
        reply = ask(caller, f"{LONG} BLOCK-OUT-77 {LONG}", stream=stream)

        assert b"BLOCK-OUT" not in reply.raw
        assert b"guardrail_blocked" in reply.raw
        assert b"[DONE]" not in reply.raw
        assert b"message_stop" not in reply.raw
        assert b"response.completed" not in reply.raw

    def test_personal_data_is_taken_out_of_an_answer(self, caller: Caller, ask: Any, stream: bool):
        reply = ask(caller, f"{LONG} write to ada@example.org {LONG}", stream=stream)

        assert reply.status == 200
        assert b"ada@" not in reply.raw
        assert b"[removed]" in reply.raw
        assert b"guardrail_blocked" not in reply.raw

    def test_what_is_masked_in_a_prompt_never_reaches_the_provider(self, caller: Caller, ask: Any, stream: bool):
        reply = ask(caller, "All about Project  Falcon, please", stream=stream)

        assert reply.status == 200
        assert b"Falcon" not in reply.raw
        assert b"[removed]" in reply.raw


def test_an_embedding_is_a_generation_too(caller: Caller):
    blocked = caller.post("/embeddings", {"model": "echo/echo", "input": ["fine", "BLOCK-IN-1"]})
    masked = caller.post("/embeddings", {"model": "echo/echo", "input": ["project falcon", "[removed]"]})

    assert (blocked.status, blocked.code) == (400, "guardrail_blocked")
    first, second = (item["embedding"] for item in masked.json["data"])
    assert first == second


def test_the_prompt_of_an_image_is_looked_at(caller: Caller):
    for path in ("/images/generations", "/images"):
        reply = caller.post(path, {"model": "echo/echo", "prompt": "BLOCK-IN-1"})
        assert (reply.status, reply.code) == (400, "guardrail_blocked"), path


def test_a_stored_answer_is_the_one_that_was_shown(caller: Caller):
    session = a_session(caller)
    caller.post("/chat", {"session_id": session, "message": "ada@example.org"})

    stored = [item["content"] for item in caller.get(f"/sessions/{session}/messages").json["data"]]
    assert stored == ["ada@example.org", "[removed]"]


def test_tokens_cannot_be_looked_at_so_they_are_refused(caller: Caller):
    reply = caller.post("/embeddings", {"model": "echo/echo", "input": [[1, 2, 3]]})

    assert (reply.status, reply.code) == (400, "guardrail_blocked")


SMUGGLED = {"name": "f", "description": "BLOCK-IN-1"}
SHORT = {"max_tokens": 9}
MESSAGE = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/chat/completions", {"messages": [MESSAGE], "tools": [{"type": "function", "function": SMUGGLED}]}),
        ("/chat/completions", {"messages": [MESSAGE], "user": "BLOCK-IN-1"}),
        ("/messages", {**SHORT, "messages": [MESSAGE], "tools": [{**SMUGGLED, "input_schema": {"type": "object"}}]}),
        ("/messages", {**SHORT, "messages": [MESSAGE], "system": "BLOCK-IN-1"}),
        ("/responses", {"input": "Hello", "tools": [{"type": "function", **SMUGGLED, "parameters": {}}]}),
        ("/responses", {"input": "Hello", "instructions": "BLOCK-IN-1"}),
    ],
)
def test_nothing_is_smuggled_in_beside_the_messages(caller: Caller, path: str, body: dict[str, Any]):
    reply = caller.post(path, {"model": "nobody/any", **body})

    assert (reply.status, reply.json["error"]["code"]) == (400, "guardrail_blocked")


def test_what_is_forbidden_at_once_is_a_400_even_for_a_stream_and_is_paid_as_counted(caller: Caller, gateway: Gateway):
    reply = completions(caller, "BLOCK-OUT-7", stream=True)

    assert (reply.status, reply.code) == (400, "guardrail_blocked")
    record = gateway.record(reply.headers["X-Request-Id"])
    assert (record["state"], record["source"], record["error_code"]) == ("partial", "provider", "guardrail_blocked")
    assert record["completion_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_same_request_costs_nothing_the_second_time(caller: Caller, gateway: Gateway, stream: bool):
    first, second = (completions(caller, f"Cache this, {stream}", stream=stream) for _ in range(2))

    assert (first.headers.get("X-Parley-Cache"), second.headers.get("X-Parley-Cache")) == (None, "hit")
    assert second.headers["X-Parley-Attempts"] == "0"
    record = gateway.record(second.headers["X-Request-Id"])
    assert (record["cache_hit"], record["cost"], record["state"]) == (True, 0, "completed")
    assert not gateway.record(first.headers["X-Request-Id"])["cache_hit"]


def test_who_wants_nothing_stored_gets_and_leaves_nothing(caller: Caller):
    control = ["no-store", "", "no-cache", "no-store", ""]
    replies = [completions(caller, "Store this.", stream=False, **{"Cache-Control": it}) for it in control]

    assert [reply.headers.get("X-Parley-Cache") for reply in replies] == [None, None, None, None, "hit"]


@pytest.mark.parametrize("ask", [completions, messages, responses], ids=lambda it: it.__name__)
def test_a_stream_from_the_cache_has_the_events_of_the_first_time(caller: Caller, ask: Any):
    first, second = (ask(caller, f"{ask.__name__}: {LONG}", stream=True) for _ in range(2))

    assert (first.headers.get("X-Parley-Cache"), second.headers.get("X-Parley-Cache")) == (None, "hit")
    assert events(first) == events(second)


def events(reply: Reply) -> bytes:
    """Without what is another with every answer: ids, times, and what it cost."""
    body = re.sub(rb'"(created|created_at|completed_at)":\d+(\.\d+)?|(req|resp|msg|rs|fc)_[0-9a-z]+', b"", reply.raw)
    return re.sub(rb'"usage":\{.*', b"", body)


def test_a_key_for_repeats_and_the_cache_do_not_get_into_each_others_way(caller: Caller):
    def ask(key: str) -> Reply:
        return completions(caller, "Twice and for nothing", stream=False, **{"Idempotency-Key": key})

    first, repeated, hit, again = ask("key-1"), ask("key-1"), ask("key-2"), ask("key-2")

    assert [it.headers.get("Idempotency-Replayed") for it in (first, repeated, hit, again)] == [None, "true"] * 2
    assert [it.headers.get("X-Parley-Cache") for it in (first, hit)] == [None, "hit"]
    assert first.raw == repeated.raw
    assert hit.raw == again.raw


def test_a_long_session_is_summarised_when_it_wants_that(caller: Caller):
    session = a_session(caller, history=2, context="summary", max_tokens=20)
    answers = [
        caller.post("/chat", {"session_id": session, "message": f"Message number {number}."}).json
        for number in range(4)
    ]

    assert [answer["context"]["dropped_messages"] for answer in answers] == [0, 0, 0, 0]
    assert answers[-1]["context"]["summarized_messages"] > 0

    def billed() -> int:
        records = caller.get("/usage/records?limit=50").json["data"]
        return sum(record["session_id"] == session for record in records)

    wait_until(lambda: billed() > len(answers), 20, "the records, those of the summaries among them")


def test_a_long_session_is_refused_when_it_wants_that(caller: Caller):
    session = a_session(caller, history=2, context="error")
    statuses = [caller.post("/chat", {"session_id": session, "message": "More."}) for _ in range(3)]

    assert [(it.status, it.code) for it in statuses] == [(200, None), (200, None), (400, "context_overflow")]


def test_matches_are_counted(gateway: Gateway, caller: Caller):
    for _ in range(2):
        completions(caller, "BLOCK-IN-1", stream=False)
        completions(caller, "Count this.", stream=False)
    metrics = Caller(gateway.port, prefix="").bearing("metrics-token-of-the-tests")

    for series in (
        b'parley_guardrail_hits_total{action="block",rule="in-blocked",side="input"}',
        b'parley_cache_lookups_total{hit="yes"}',
    ):
        wait_until(lambda series=series: series in metrics.get("/metrics").raw, 20, series.decode())


def test_the_configuration_is_shown_without_running(gateway: Gateway):
    assert json.loads(gateway.cli("check"))["guardrails"]["in-masked"]["words"] == ["project falcon"]

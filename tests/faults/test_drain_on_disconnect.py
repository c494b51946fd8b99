"""A provider that bills an answer to its end whoever leaves: it is heard to its end, and counted as it counts."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("drain-on-disconnect")

DRAIN = 3.0
SLACK = 8.0
"""Seconds; the one stream that does not end by itself has 20."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Gateway]:
    config = f'[providers.scripted]\nbase_url = "{provider.base_url}"\non_disconnect = "drain"\n' + FAST
    folder = tmp_path_factory.mktemp("disconnect")
    gateway = Gateway(folder, config=config.replace("drain = 5.0", f"drain = {DRAIN}")).start()
    yield gateway
    gateway.end()


@pytest.fixture
def gateway(served: Gateway, provider: ScriptedProvider) -> Gateway:
    """One for all tests, of which each looks at the calls that the provider has seen since it began."""
    provider.forget()
    return served


class Leaver:
    """A client that sends one request."""

    def __init__(self, gateway: Gateway, path: str, body: dict[str, Any]) -> None:
        self.sock = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
        payload = json.dumps(body).encode()
        head = (
            f"POST /api/v1{path} HTTP/1.1\r\nHost: parley\r\nAuthorization: Bearer {gateway.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        self.sock.sendall(head.encode() + payload)

    def leave_after(self, mark: bytes) -> None:
        heard = b""
        while mark not in heard:
            piece = self.sock.recv(4096)
            assert piece, heard
            heard += piece
        self.sock.close()


def an_order(model: str, *, stream: bool = True) -> dict[str, Any]:
    return {"model": f"scripted/{model}", "messages": [{"role": "user", "content": "x"}], "stream": stream}


def records(gateway: Gateway, provider: ScriptedProvider) -> list[dict[str, Any]]:
    mine = {bill["id"] for bill in provider.bills()}
    found: list[dict[str, Any]] = gateway.call("GET", "/usage/records?limit=100")[1]["data"]
    return [record for record in found if record["request_id"] in mine]


def the_record(gateway: Gateway, provider: ScriptedProvider) -> dict[str, Any]:
    wait_until(lambda: len(records(gateway, provider)) == 1, 10, "recorded")
    return records(gateway, provider)[0]


def dialled(provider: ScriptedProvider, count: int = 1) -> None:
    wait_until(lambda: len(provider.bills()) == count, 5, "dialled")


def assert_counted(record: dict[str, Any], bill: dict[str, Any]) -> None:
    assert (record["state"], record["source"], record["error_code"]) == ("partial", "provider", "client_gone")
    assert record["prompt_tokens"] == bill["prompt_tokens"]
    assert record["completion_tokens"] == bill["completion_tokens"] == 5
    assert bill["ended"] == "complete"


def test_a_stream_is_heard_to_its_end_when_its_client_leaves(gateway: Gateway, provider: ScriptedProvider) -> None:
    Leaver(gateway, "/chat/completions", an_order("slow-400ms")).leave_after(b'"delta"')

    assert_counted(the_record(gateway, provider), provider.bills()[0])


def test_so_is_a_whole_answer(gateway: Gateway, provider: ScriptedProvider) -> None:
    client = Leaver(gateway, "/chat/completions", an_order("slow-250ms", stream=False))
    dialled(provider)
    client.sock.close()

    assert_counted(the_record(gateway, provider), provider.bills()[0])


def test_a_session_has_the_whole_answer_when_its_user_comes_back(gateway: Gateway, provider: ScriptedProvider) -> None:
    _, session = gateway.call("POST", "/sessions", {"ai_provider": "scripted", "model": "slow-400ms"})
    body = {"session_id": session["id"], "message": "go on"}
    Leaver(gateway, "/chat/stream", body).leave_after(b"event: delta")

    time.sleep(0.3)  # the client's end has been noticed
    assert gateway.call("POST", "/chat", body)[1]["error"]["code"] == "conversation_busy"
    assert_counted(the_record(gateway, provider), provider.bills()[0])
    messages = gateway.call("GET", f"/sessions/{session['id']}/messages")[1]["data"]
    assert [message["content"] for message in messages] == ["go on", "word1 word2 word3 word4 word5 "]


def test_what_nobody_reads_any_more_can_still_be_stopped(gateway: Gateway, provider: ScriptedProvider) -> None:
    _, session = gateway.call("POST", "/sessions", {"ai_provider": "scripted", "model": "drip"})
    Leaver(gateway, "/chat/stream", {"session_id": session["id"], "message": "go on"}).leave_after(b"event: delta")
    time.sleep(0.5)
    request_id = provider.bills()[0]["id"]

    assert gateway.call("POST", f"/chat/{request_id}/stop")[0] == 202

    assert the_record(gateway, provider)["error_code"] == "stopped"
    wait_until(lambda: provider.ended(request_id) == "client_gone", 2, "upstream closed")


def test_sixteen_are_heard_at_a_time_and_the_others_are_cut_and_estimated(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    clients = [Leaver(gateway, "/chat/completions", an_order("slow-500ms")) for _ in range(20)]
    dialled(provider, 20)
    for client in clients:
        client.leave_after(b'"delta"')

    wait_until(lambda: len(records(gateway, provider)) == 20, 15, "recorded")
    sources = [record["source"] for record in records(gateway, provider)]
    assert (sources.count("provider"), sources.count("estimated")) == (16, 4)
    assert [bill["ended"] for bill in provider.bills()].count("client_gone") == 4


def test_a_gateway_that_has_to_go_hears_the_rest_first(gateway: Gateway, provider: ScriptedProvider) -> None:
    Leaver(gateway, "/chat/completions", an_order("slow-300ms")).leave_after(b'"delta"')
    time.sleep(0.5)

    gateway.program.signal(signal.SIGTERM)
    assert gateway.program.wait(20) == 0

    gateway.start()
    assert_counted(the_record(gateway, provider), provider.bills()[0])


def test_a_gateway_that_has_to_go_does_not_wait_longer_than_for_any_stream(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    Leaver(gateway, "/chat/completions", an_order("drip")).leave_after(b'"delta"')
    time.sleep(0.5)

    started = time.monotonic()
    gateway.program.signal(signal.SIGTERM)
    assert gateway.program.wait(20) == 0

    assert time.monotonic() - started < DRAIN + SLACK
    assert "SIGKILL" not in gateway.program.log.read_text()
    gateway.start()
    record = the_record(gateway, provider)
    assert (record["state"], record["source"], record["error_code"]) == (
        "partial",
        "estimated",
        "server_shutting_down",
    )

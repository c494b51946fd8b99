"""Clients that leave, stop reading or ask for a stop: the provider is not left running, and what came is counted."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from statistics import median
from typing import Any, ClassVar

import pytest

from tests.servers.gateway import FAST, Gateway
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("clients")


@pytest.fixture(autouse=True)
def hung_up() -> Iterator[None]:
    """No client of a test outlives it."""
    yield
    while RawClient.opened:
        RawClient.opened.pop().close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, provider: ScriptedProvider) -> Iterator[Gateway]:
    patient = FAST.replace("headers = 2.0", "headers = 5.0").replace("idle = 2.0", "idle = 5.0")
    config = f'[providers.scripted]\nbase_url = "{provider.base_url}"\n' + patient
    gateway = Gateway(tmp_path_factory.mktemp("clients"), config=config).start()
    yield gateway
    gateway.end()


class RawClient:
    """A socket that sent one request."""

    opened: ClassVar[list[socket.socket]] = []

    def __init__(
        self, gateway: Gateway, path: str, body: dict[str, Any], receive_buffer: int = 0, key: str = ""
    ) -> None:
        self.sock = socket.socket()
        self.opened.append(self.sock)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", gateway.port))
        payload = json.dumps(body).encode()
        head = (
            f"POST /api/v1{path} HTTP/1.1\r\nHost: parley\r\nAuthorization: Bearer {key or gateway.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        self.sock.sendall(head.encode() + payload)

    def read_until(self, mark: bytes) -> bytes:
        heard = b""
        while mark not in heard:
            piece = self.sock.recv(4096)
            assert piece, heard
            heard += piece
        return heard

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def a_stream(model: str) -> dict[str, Any]:
    return {"model": f"scripted/{model}", "messages": [{"role": "user", "content": "x"}], "stream": True}


def request_id_of(head: bytes) -> str:
    line = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"x-request-id:"))
    return line.split(b":")[1].strip().decode()


def closed_early(provider: ScriptedProvider, request_id: str) -> bool:
    return bool(provider.bill(request_id)["ended"] == "client_gone")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_in_the_middle_closes_the_provider_and_is_counted_as_partial(
    gateway: Gateway, provider: ScriptedProvider, how: str
) -> None:
    client = RawClient(gateway, "/chat/completions", a_stream("slow-1200ms"))
    request_id = request_id_of(client.read_until(b"word2"))

    client.sock.close() if how == "close" else client.reset()

    wait_until(lambda: closed_early(provider, request_id), 5, "upstream closed")
    assert provider.bill(request_id)["sent"] == "word1 word2 ", "before the next word, which comes after 1.2 s"
    record = gateway.record(request_id)
    assert (record["state"], record["source"], record["error_code"]) == ("partial", "estimated", "client_gone")
    assert record["completion_tokens"] > 0


@pytest.fixture(scope="module")
def quiet_key(gateway: Gateway) -> str:
    return str(gateway.call("POST", "/keys", {"name": "quiet", "heartbeats": False})[1]["key"])


def test_a_stream_without_heartbeats_is_silent_until_its_first_word(gateway: Gateway, quiet_key: str) -> None:
    client = RawClient(gateway, "/chat/completions", a_stream("ttfb-3"), key=quiet_key)
    heard = client.read_until(b"[DONE]")

    assert b"word1" in heard
    assert b": ping" not in heard


@pytest.mark.parametrize("model", ["ttfb-4", "stall-after-3"])
def test_a_client_that_leaves_a_stream_without_heartbeats_is_noticed_all_the_same(
    gateway: Gateway, provider: ScriptedProvider, quiet_key: str, model: str
) -> None:
    provider.forget()
    client = RawClient(gateway, "/chat/completions", a_stream(model), key=quiet_key)
    wait_until(lambda: len(provider.bills()) == 1, 10, "dialled")
    request_id = provider.bills()[0]["id"]
    time.sleep(1.5)  # by now it waits, and the status line is no longer held back

    client.sock.close()
    left = time.monotonic()

    wait_until(lambda: closed_early(provider, request_id), 2, "upstream closed")
    assert gateway.record(request_id)["error_code"] == "client_gone"
    assert time.monotonic() - left < 3


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_the_first_byte_cancels_the_provider_and_pays_nothing(
    gateway: Gateway, provider: ScriptedProvider, *, stream: bool
) -> None:
    provider.forget()
    client = RawClient(gateway, "/chat/completions", a_stream("ttfb-4") | {"stream": stream})
    wait_until(lambda: len(provider.bills()) == 1, 10, "dialled")
    request_id = provider.bills()[0]["id"]

    client.sock.close()

    record = gateway.record(request_id)
    assert (record["state"], record["error_code"]) == ("failed", "client_gone")
    assert (record["cost"], record["total_tokens"]) == (0, 0)


def test_a_client_that_stops_reading_is_given_up_after_the_send_timeout(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    client = RawClient(gateway, "/chat/completions", a_stream("endless"), receive_buffer=4096)
    request_id = request_id_of(client.read_until(b'"delta"'))

    assert gateway.record(request_id, 15)["state"] == "partial"
    client.sock.close()


def test_a_turn_can_be_stopped_and_its_text_so_far_is_kept_and_marked(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    _, session = gateway.call("POST", "/sessions", {"ai_provider": "scripted", "model": "slow-500ms"})
    client = RawClient(gateway, "/chat/stream", {"session_id": session["id"], "message": "go on"})
    request_id = request_id_of(client.read_until(b"event: delta"))
    client.read_until(b"event: delta")

    assert gateway.call("POST", f"/chat/{request_id}/stop")[0] == 202
    tail = client.read_until(b"0\r\n\r\n")

    assert b"event: error" in tail
    assert b'"stopped"' in tail
    messages = gateway.call("GET", f"/sessions/{session['id']}/messages")[1]["data"]
    assert [message["state"] for message in messages] == ["complete", "incomplete"]
    assert messages[1]["content"]
    assert (
        gateway.call("POST", "/chat", {"session_id": session["id"], "message": "again", "model": "echo/echo"})[0] == 200
    )


def test_a_second_message_to_a_busy_session_is_refused_and_not_stored(gateway: Gateway) -> None:
    _, session = gateway.call("POST", "/sessions", {"ai_provider": "scripted", "model": "slow-500ms"})
    client = RawClient(gateway, "/chat/stream", {"session_id": session["id"], "message": "first"})
    client.read_until(b"event: delta")

    status, refusal = gateway.call("POST", "/chat", {"session_id": session["id"], "message": "second"})

    assert (status, refusal["error"]["code"], refusal["error"]["retryable"]) == (409, "conversation_busy", True)
    client.read_until(b"event: end")
    contents = [m["content"] for m in gateway.call("GET", f"/sessions/{session['id']}/messages")[1]["data"]]
    assert contents[0] == "first"
    assert len(contents) == 2


def test_health_stays_quick_while_a_hundred_streams_run(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.forget()
    clients = [RawClient(gateway, "/chat/completions", a_stream("slow-2000ms")) for _ in range(100)]
    wait_until(lambda: len(provider.bills()) == 100, 20, "a hundred streams")

    seconds = [health(gateway) for _ in range(5)]

    assert median(seconds) < 0.5
    assert "complete" not in {bill["ended"] for bill in provider.bills()}, "the streams were over before"
    for client in clients:
        client.sock.close()


def health(gateway: Gateway) -> float:
    started = time.monotonic()
    assert gateway.status("/livez") == 200
    return time.monotonic() - started

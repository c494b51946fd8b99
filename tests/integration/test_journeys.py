"""Stories of a newcomer, over HTTP, against the program as `make run` starts it."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.gateway import Gateway
from tests.servers.program import wait_until

pytestmark = pytest.mark.xdist_group("journeys")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("journeys")).start()
    yield gateway
    gateway.end()


def lines_of(gateway: Gateway, path: str, body: dict[str, object], accept: str) -> list[str]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json", "Accept": accept}
    connection.request("POST", f"/api/v1{path}", json.dumps(body), headers)
    answer = connection.getresponse()
    assert answer.status == 200
    text = answer.read().decode()
    connection.close()
    return text.splitlines()


def a_session(gateway: Gateway, **fields: object) -> str:
    status, session = gateway.call("POST", "/sessions", fields)
    assert status == 201
    return str(session["id"])


def test_a_first_completion_needs_only_the_printed_key(gateway: Gateway) -> None:
    status, answer = gateway.call(
        "POST", "/chat/completions", {"model": "echo/echo", "messages": [{"role": "user", "content": "Hello there"}]}
    )

    assert status == 200
    assert "Hello there" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


def test_a_session_remembers_what_was_said(gateway: Gateway) -> None:
    session_id = a_session(gateway)

    for text in ("first", "second"):
        status, answer = gateway.call("POST", "/chat", {"session_id": session_id, "message": text})
        assert status == 200, answer
    _, page = gateway.call("GET", f"/sessions/{session_id}/messages")

    assert [message["role"] for message in page["data"]] == ["user", "assistant", "user", "assistant"]
    assert page["data"][2]["content"] == "second"
    assert gateway.call("GET", f"/sessions/{session_id}")[1]["title"] == "first"


def test_a_streamed_turn_arrives_as_start_deltas_and_end(gateway: Gateway) -> None:
    session_id = a_session(gateway, title="streamed")
    body = {"session_id": session_id, "message": "one two three"}

    lines = lines_of(gateway, "/chat/stream", body, "text/event-stream")
    events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    payloads = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]

    assert events[0] == "start"
    assert set(events[1:-1]) == {"delta"}
    assert events[-1] == "end"
    assert "".join(payload["text"] for payload in payloads[1:-1]) == payloads[-1]["content"]


def test_the_same_turn_comes_as_json_lines_when_asked_for(gateway: Gateway) -> None:
    body = {"session_id": a_session(gateway), "message": "one two three"}

    *pieces, end = [json.loads(line) for line in lines_of(gateway, "/chat/stream", body, "application/x-ndjson")]

    assert "".join(piece["text"] for piece in pieces) == end["content"]
    assert end["usage"]["source"] == "provider"


def test_every_turn_is_in_the_ledger_and_in_the_totals(gateway: Gateway) -> None:
    session_id = a_session(gateway)
    _, answer = gateway.call("POST", "/chat", {"session_id": session_id, "message": "count me"})

    assert gateway.record(answer["request_id"])["state"] == "completed"

    total = len(gateway.call("GET", "/usage/records?limit=100")[1]["data"])
    wait_until(lambda: gateway.call("GET", "/usage")[1]["total"]["requests"] >= total, 20, "rollups")


def test_a_new_user_gets_a_key_of_their_own_and_sees_nothing_of_others(gateway: Gateway) -> None:
    session_id = a_session(gateway)
    gateway.cli("users", "create", "ann@example.com", "--role", "member", text="a long enough password\n")
    key = gateway.cli("keys", "create", "--user", "ann@example.com", "--name", "laptop")

    assert gateway.call("GET", "/sessions", key=key)[1]["data"] == []
    assert gateway.call("GET", f"/sessions/{session_id}", key=key)[0] == 404
    assert gateway.call("POST", "/chat", {"session_id": session_id, "message": "x"}, key=key)[0] == 404
    assert gateway.call("GET", "/key", key=key)[1]["name"] == "laptop"


def test_a_revoked_key_stops_working_within_five_seconds(gateway: Gateway) -> None:
    gateway.cli("users", "create", "bob@example.com", text="\n")
    key = gateway.cli("keys", "create", "--user", "bob@example.com", "--name", "lost")
    assert gateway.call("GET", "/key", key=key)[0] == 200
    key_id = next(line.split("\t")[0] for line in gateway.cli("keys", "list").splitlines() if line.endswith("lost"))

    gateway.cli("keys", "revoke", key_id)

    wait_until(lambda: gateway.call("GET", "/key", key=key)[0] == 401, 6, "revocation")


def test_a_key_with_a_request_limit_is_limited_and_told_so(gateway: Gateway) -> None:
    gateway.cli("users", "create", "carl@example.com", text="\n")
    key = gateway.cli("keys", "create", "--user", "carl@example.com", "--name", "slow", "--rpm", "3")

    answers = [gateway.call("GET", "/key", key=key) for _ in range(4)]

    assert [status for status, _ in answers] == [200, 200, 200, 429]
    assert [body["rest"]["requests"] for _, body in answers[:3]] == [2, 1, 0]


def test_what_is_not_http_is_refused_in_the_envelope_of_all_errors(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as line:
        line.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\nBad Name: x\r\n\r\n")
        head, _, body = b"".join(iter(lambda: line.recv(65_536), b"")).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["request_id"].encode() in head


def test_health_and_metrics_answer(gateway: Gateway) -> None:
    assert gateway.status("/livez") == 200
    assert gateway.status("/readyz") == 200
    assert gateway.status("/metrics") == 401


def test_the_log_has_one_json_line_per_request_and_no_key(gateway: Gateway) -> None:
    gateway.call("GET", "/key")

    def written() -> bool:
        lines = [json.loads(line) for line in gateway.program.log.read_text().splitlines() if line.startswith("{")]
        return any(line.get("route") == "/api/v1/key" for line in lines)

    wait_until(written, 20, "the line, which follows the answer")
    assert gateway.program.log.read_text().count(gateway.key) == 2, (
        "the key is in the announcement and its example only"
    )


def test_a_deleted_session_is_gone_but_its_turns_stay_in_the_ledger(gateway: Gateway) -> None:
    session_id = a_session(gateway)
    _, answer = gateway.call("POST", "/chat", {"session_id": session_id, "message": "soon gone"})

    assert gateway.call("DELETE", f"/sessions/{session_id}")[0] == 204

    assert gateway.call("GET", f"/sessions/{session_id}")[0] == 404
    assert gateway.call("GET", f"/sessions/{session_id}/messages")[0] == 404
    assert gateway.record(answer["request_id"])["state"] == "completed"


def test_sigterm_ends_it_with_exit_code_zero(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path).start()

    assert gateway.stop() == 0

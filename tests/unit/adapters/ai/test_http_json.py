"""Calls whose answers are one piece of JSON, on a transport that is scripted. The faults of a wire: the contracts."""

import json
from dataclasses import dataclass, field

import pytest

from adapters.ai.http_json import JsonCalls
from adapters.ai.openai_errors import refusal
from adapters.ai.profile import Link
from application.cancellation import Cancellation
from domain.provider_errors import ProviderError, UpstreamBadContent, UpstreamBadJson, UpstreamRejected
from tests.fakes import FrozenClock, RecordingRecorder

KEY = "sk-upstream-0123456789"


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


@dataclass
class Line:
    """A transport and its only exchange."""

    content: bytes
    answer: Answer = field(default_factory=Answer)
    sent: list[tuple[str, str, dict, bytes, str]] = field(default_factory=list)
    closed: bool = False

    def head(self, method: str, path: str, headers: dict) -> tuple[str, str, dict]:
        return method, path, dict(headers)

    def open(self, head: tuple, body: bytes, _cancellation: Cancellation, request_id: str) -> "Line":
        self.sent.append((*head, body, request_id))
        return self

    def generates_first(self) -> None:
        pass

    def body(self) -> bytes:
        return self.content

    def close(self) -> None:
        self.closed = True


class Exchanged(Line):
    """An exchange's `head` takes no arguments; a transport's does."""

    def head(self, *arguments: object):  # type: ignore[override]
        return super().head(*arguments) if arguments else None


def calls(line: Line) -> JsonCalls:
    return JsonCalls(Link(line, KEY, RecordingRecorder(), 5.0), lambda key: {"Authorization": f"Bearer {key}"}, refusal)


def a_cancellation() -> Cancellation:
    return Cancellation(60, FrozenClock().monotonic)


def test_a_post_sends_json_with_the_credential_and_the_request_id():
    line = Exchanged(b'{"ok": true}')

    assert calls(line).post("/embeddings", {"input": ["é"]}, a_cancellation(), "req_1") == {"ok": True}
    ((method, path, headers, body, request_id),) = line.sent
    assert (method, path, json.loads(body), request_id) == ("POST", "/embeddings", {"input": ["é"]}, "req_1")
    assert headers.items() >= {
        ("Authorization", f"Bearer {KEY}"),
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
        ("User-Agent", "parley"),
    }


def test_a_get_has_no_body_and_no_content_type():
    line = Exchanged(b"{}")
    calls(line).get("/tasks/1", a_cancellation())
    ((method, path, headers, body, _),) = line.sent

    assert (method, path, body) == ("GET", "/tasks/1", b"")
    assert "Content-Type" not in headers


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'"text"', b"null", b"\xff"])
def test_what_is_no_object_is_no_answer(content):
    with pytest.raises(UpstreamBadJson):
        calls(Exchanged(content)).get("/x", a_cancellation())


@pytest.mark.parametrize(
    ("status", "content"),
    [(400, b'{"error": {"message": "No."}}'), (200, b'{"error": {"message": "No.", "code": 400}}')],
)
def test_a_refusal_is_told_by_its_status_or_inside(status, content):
    line = Exchanged(content, Answer(status))

    with pytest.raises(UpstreamRejected, match="No"):
        calls(line).get("/x", a_cancellation())


def test_other_content_than_json_is_refused_and_the_connection_closed():
    line = Exchanged(b"<html>", Answer(headers={"content-type": "text/html"}))

    with pytest.raises(UpstreamBadContent):
        calls(line).get("/x", a_cancellation())
    assert line.closed


def test_no_error_tells_the_key():
    line = Exchanged(json.dumps({"error": {"message": f"What is {KEY}?", "param": KEY}}).encode(), Answer(400))

    with pytest.raises(ProviderError) as caught:
        calls(line).get("/x", a_cancellation())
    assert KEY not in f"{caught.value} {caught.value.message} {caught.value.param}"


def test_a_request_id_that_no_header_can_carry_stays_at_home():
    line = Exchanged(b"{}")
    calls(line).post("/x", {}, a_cancellation(), "req\r\nHost: evil")

    assert line.sent[0][-1] == ""

import json

import pytest

from application.cancellation import Cancellation
from domain.errors import StoppedByUser
from domain.provider_errors import UpstreamReset

CHAT = {"session_id": "sess_1", "message": "Hello?"}
FIELDS = ["id", "request_id", "session_id", "role", "content", "finish_reason", "model", "usage", "context"]
USAGE_FIELDS = ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cost", "source"]


def events(answer) -> list[tuple[str, dict]]:
    """Every event as its name and its data; comments are left out."""
    found = []
    for block in answer.text.split("\n\n"):
        if block and not block.startswith(":"):
            name, data = block.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def lines(answer) -> list[dict]:
    return [json.loads(line) for line in answer.text.splitlines() if line]


def _streamed(site, accept="*/*", **fields):
    return site.post("/api/v1/chat/stream", {**CHAT, **fields}, headers={"Accept": accept})


def test_a_turn_answers_with_the_stored_message(site):
    answer = site.post("/api/v1/chat", CHAT)

    assert answer.status_code == 200
    assert answer.json == {
        "id": answer.json["id"],
        "request_id": answer.headers["X-Request-Id"],
        "session_id": "sess_1",
        "role": "assistant",
        "content": "Hello",
        "finish_reason": "stop",
        "model": "acme/large",
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 3,
            "total_tokens": 15,
            "cached_tokens": 0,
            "cost": 1.8e-08,
            "source": "provider",
        },
        "context": {
            "tokens": answer.json["context"]["tokens"],
            "dropped_messages": 0,
            "summarized_messages": 0,
            "method": "chars/4",
        },
    }
    assert answer.json["id"].startswith("msg_")
    assert site.world.texts() == [("user", "Hello?", "complete"), ("assistant", "Hello", "complete")]


def test_the_fields_of_an_answer_keep_their_order(site):
    answer = site.post("/api/v1/chat", CHAT)

    assert list(answer.json) == (
        ["id", "request_id", "session_id", "role", "content", "finish_reason", "model", "usage", "context"]
    )
    assert list(answer.json["usage"]) == USAGE_FIELDS


def test_a_stream_starts_goes_on_and_ends_with_the_whole_answer(site):
    answer = _streamed(site)
    (start_name, start), *deltas, (end_name, end) = events(answer)

    assert (start_name, end_name) == ("start", "end")
    assert deltas == [("delta", {"text": "Hel"}), ("delta", {"text": "lo"})]
    assert end["content"] == "Hello"
    assert start == {
        "id": end["id"],
        "request_id": answer.headers["X-Request-Id"],
        "session_id": "sess_1",
        "model": "acme/large",
    }


def test_the_end_of_a_stream_has_the_body_of_a_whole_answer(site):
    whole = site.post("/api/v1/chat", CHAT).json
    streamed = events(_streamed(site))[-1][1]

    assert list(streamed) == list(whole)


def test_stream_true_in_the_body_streams_as_well(site):
    answer = site.post("/api/v1/chat", {**CHAT, "stream": True})

    assert [name for name, _ in events(answer)] == ["start", "delta", "delta", "end"]


def test_json_lines_carry_the_same(site):
    answer = _streamed(site, "application/x-ndjson")
    *texts, end = lines(answer)

    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert texts == [{"text": "Hel"}, {"text": "lo"}]
    assert end["content"] == "Hello"
    assert answer.headers["X-Accel-Buffering"] == "no"


def test_heartbeats_keep_a_stream_alive_in_either_dialect(site):
    site.world.script("a", [], "b")

    assert ": ping\n\n" in _streamed(site).text
    assert lines(_streamed(site, "application/x-ndjson"))[:3] == [{"text": "a"}, {"text": ""}, {"text": "b"}]


def test_a_stream_that_is_cut_ends_with_an_error_and_without_an_end(site):
    site.world.script("Hel", UpstreamReset())
    answer = _streamed(site)
    told = events(answer)[-1][1]

    assert [name for name, _ in events(answer)] == ["start", "delta", "error"]
    assert told["error"]["code"] == "upstream_reset"
    assert told["error"]["request_id"] == answer.headers["X-Request-Id"]
    assert site.world.texts()[-1] == ("assistant", "Hel", "incomplete")


def test_json_lines_that_are_cut_end_with_an_error(site):
    site.world.script("Hel", UpstreamReset())

    assert lines(_streamed(site, "application/x-ndjson"))[-1]["error"]["code"] == "upstream_reset"


@pytest.mark.parametrize("text", ["a\n\nevent: end\ndata: {}\n\n", "\r\n", "\u2028", '"'])
def test_no_text_can_break_out_of_its_event_or_line(site, text):
    site.world.script(text)

    assert [data["text"] for name, data in events(_streamed(site)) if name == "delta"] == [text]
    answer = _streamed(site, "application/x-ndjson")
    assert json.loads(answer.data.split(b"\n")[0]) == {"text": text}


def test_another_model_may_answer_one_turn(site):
    assert site.post("/api/v1/chat", {**CHAT, "model": "acme/large"}).status_code == 200
    assert site.post("/api/v1/chat", {**CHAT, "model": "acme/none"}).json["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/chat/stream"])
def test_a_foreign_session_does_not_exist(site, path):
    site.world.configure(user_id="usr_2")
    answer = site.post(path, CHAT)

    assert answer.status_code == 404
    assert site.world.model.prompts == []


@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/chat/stream"])
def test_a_busy_session_is_409_with_the_time_to_come_back(site, path):
    first = site.client.post("/api/v1/chat/stream", json=CHAT, headers=site.headers, buffered=False)
    answer = site.post(path, CHAT)
    first.close()

    assert answer.status_code == 409
    assert answer.json["error"]["code"] == "conversation_busy"
    assert answer.headers["Retry-After"] == "1"
    assert "x-should-retry" not in answer.headers


def test_a_running_generation_can_be_stopped(site):
    stream = site.client.post("/api/v1/chat/stream", json=CHAT, headers=site.headers, buffered=False)
    request_id = stream.headers["X-Request-Id"]
    answer = site.post(f"/api/v1/chat/{request_id}/stop")
    told = stream.get_data(as_text=True)
    stream.close()

    assert answer.status_code == 202
    assert answer.json == {"request_id": request_id, "status": "stopping"}
    assert '"code":"stopped"' in told
    assert "event: end" not in told


def test_what_does_not_run_cannot_be_stopped(site):
    assert site.post("/api/v1/chat/req_9/stop").status_code == 404


def test_a_generation_of_somebody_else_cannot_be_stopped(site):
    stream = site.client.post("/api/v1/chat/stream", json=CHAT, headers=site.headers, buffered=False)
    site.world.configure(user_id="usr_2")
    answer = site.post(f"/api/v1/chat/{stream.headers['X-Request-Id']}/stop")
    stream.close()

    assert answer.status_code == 404
    assert site.world.final().error_code == "client_gone"


def test_a_whole_answer_that_is_stopped_is_499(site, monkeypatch):
    def stopped(cancellation: Cancellation):
        raise StoppedByUser

    monkeypatch.setattr(Cancellation, "check", stopped)
    answer = site.post("/api/v1/chat", CHAT)

    assert answer.status_code == 499
    assert answer.json["error"]["code"] == "stopped"
    assert answer.json["error"]["type"] == "cancelled_error"

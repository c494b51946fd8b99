"""Keys whose streams show no signs of life."""

import pytest

PAUSED = ([], "a", [], [], "b", [])
PINGS = (b": ping", b"event: ping", b'{"text":""}')
TALK = {"messages": [{"role": "user", "content": "x"}]}


def streams(site):
    """Of every dialect: path, body, what is accepted."""
    session = site.post("/api/v1/sessions", {}).json["id"]
    turn = {"session_id": session, "message": "x"}
    asked = {**TALK, "model": "acme/large", "stream": True}
    return {
        "completions": ("/api/v1/chat/completions", asked, "*/*"),
        "messages": ("/api/v1/messages", {**asked, "max_tokens": 9}, "*/*"),
        "responses": ("/api/v1/responses", {"model": "acme/large", "input": "x", "stream": True}, "*/*"),
        "events": ("/api/v1/chat/stream", turn, "*/*"),
        "lines": ("/api/v1/chat/stream", turn, "application/x-ndjson"),
    }


def ask(site, token, dialect):
    site.world.script(*PAUSED)
    path, body, accepted = streams(site)[dialect]
    headers = {"Authorization": f"Bearer {token}", "Accept": accepted}
    answer = site.client.post(path, json=body, headers=headers, buffered=True)
    assert answer.status_code == 200, answer.text
    return answer.data


@pytest.mark.parametrize("dialect", ["completions", "messages", "responses", "events", "lines"])
def test_a_key_without_heartbeats_gets_nothing_but_the_answer_in_any_dialect(site, dialect):
    made = site.post("/api/v1/keys", {"name": "quiet", "heartbeats": False}).json
    quiet, lively = ask(site, made["key"], dialect), ask(site, site.token, dialect)

    assert not any(ping in quiet for ping in PINGS)
    assert any(ping in lively for ping in PINGS)
    assert quiet.count(b"\n") < lively.count(b"\n")
    assert b'"a"' in quiet
    assert b'"b"' in quiet


def test_a_key_can_be_made_quiet_and_lively_again(site):
    made = site.post("/api/v1/keys", {"name": "ci"}).json
    counts = []
    for heartbeats in (False, True):
        changed = site.client.patch(
            f"/api/v1/keys/{made['id']}", json={"heartbeats": heartbeats}, headers=site.headers, buffered=True
        )
        assert changed.json["heartbeats"] is heartbeats
        counts.append(ask(site, made["key"], "completions").count(b": ping"))

    assert counts == [0, 3]

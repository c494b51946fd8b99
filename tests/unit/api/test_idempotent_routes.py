"""Paid routes with an `Idempotency-Key`: executed once, answered as often as asked."""

import os
import socket
import zlib
from dataclasses import replace

import gevent
import pytest

from api import packing
from domain.errors import DatabaseUnavailable, RequestAbandoned, StoppedByUser
from domain.ledger import Kind, State
from domain.provider_errors import UpstreamFailed, UpstreamOverloaded, UpstreamRejected, UpstreamReset
from tests.builders import a_key, a_settled, a_token, a_user, an_entry

COMPLETIONS, CHAT, STREAM = "/api/v1/chat/completions", "/api/v1/chat", "/api/v1/chat/stream"
ASKED = {"model": "acme/large", "messages": [{"role": "user", "content": "Hello"}]}
SENT = {"session_id": "sess_1", "message": "Hello"}
LINES = {"Accept": "application/x-ndjson"}
WHOLE = [pytest.param(COMPLETIONS, ASKED, id="completion"), pytest.param(CHAT, SENT, id="chat")]
STREAMS = [
    pytest.param(COMPLETIONS, {**ASKED, "stream": True}, {}, b"data: [DONE]\n\n", id="chunks"),
    pytest.param(CHAT, {**SENT, "stream": True}, {}, b"event: end\n", id="events of chat"),
    pytest.param(STREAM, SENT, {}, b"event: end\n", id="events"),
    pytest.param(STREAM, SENT, LINES, b'"content":"Hello"', id="lines"),
]


def ask(site, path=COMPLETIONS, body=None, key="k-1", **headers):
    return site.post(path, ASKED if body is None else body, headers={"Idempotency-Key": key, **headers})


def executed(site):
    """How many calls the provider got, which is also how many are in the ledger."""
    finals = [entry for entry in site.world.begin.rows.ledger.values() if entry.kind is Kind.FINAL]
    assert len(finals) == len(site.world.model.prompts)
    return len(finals)


def assert_same(repeat, first, status=200):
    assert (repeat.status_code, repeat.data) == (status, first.data)
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert repeat.headers["Content-Type"] == first.headers["Content-Type"]


# ── replays ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("path", "body"), WHOLE)
def test_a_repeat_gets_the_same_answer_and_costs_nothing(site, path, body):
    first = ask(site, path, body)
    rows = site.world.begin.rows.copy()

    repeat = ask(site, path, body)

    assert_same(repeat, first)
    assert executed(site) == 1
    assert site.world.begin.rows == rows
    assert len(site.world.in_flight) == 0


def test_a_repeat_tells_who_answered_but_no_cost_and_a_request_id_of_its_own(site):
    first, repeat = ask(site), ask(site)

    assert first.headers["X-Parley-Cost"]
    assert "X-Parley-Cost" not in repeat.headers
    assert (repeat.headers["X-Parley-Provider"], repeat.headers["X-Parley-Model"]) == ("acme", "large")
    assert repeat.headers["X-Request-Id"] != first.headers["X-Request-Id"] == repeat.json["id"]


@pytest.mark.parametrize(("path", "body", "headers", "end"), STREAMS)
def test_a_stream_is_repeated_as_one_stream_with_its_usage_and_its_end(site, path, body, headers, end):
    site.world.script([], "Hel", [], "lo")
    first = ask(site, path, body, **headers)

    repeat = ask(site, path, body, **headers)

    pings = first.data.replace(b": ping\n\n", b"").replace(b'{"text":""}\n', b"")
    assert first.data != pings, "the script has pauses"
    assert repeat.data == pings
    assert end in repeat.data
    assert b'"total_tokens":15' in repeat.data
    assert repeat.headers["Content-Type"] == first.headers["Content-Type"]
    assert repeat.headers["X-Accel-Buffering"] == "no"
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert executed(site) == 1


def test_a_stream_is_kept_before_its_last_byte_is_out(site):
    answer = site.client.post(
        COMPLETIONS,
        json={**ASKED, "stream": True},
        headers={**site.headers, "Idempotency-Key": "k-1"},
        buffered=False,
    )
    for piece in answer.iter_encoded():
        if b"[DONE]" in piece:
            break

    assert ask(site, body={**ASKED, "stream": True}).headers["Idempotency-Replayed"] == "true"


def test_a_stream_that_nobody_reads_to_its_end_is_kept_whole(site):
    answer = site.client.post(
        COMPLETIONS, json={**ASKED, "stream": True}, headers={**site.headers, "Idempotency-Key": "k-1"}, buffered=False
    )
    next(answer.iter_encoded())
    answer.close()

    repeat = ask(site, body={**ASKED, "stream": True})

    assert b"[DONE]" in repeat.data
    assert site.world.final().state is State.COMPLETED
    assert len(site.world.in_flight) == 0


def test_a_client_that_leaves_does_not_end_a_call_that_it_can_ask_for_again(site):
    ours, theirs = socket.socketpair()

    def leave():
        theirs.close()
        gevent.sleep(0.01)

    site.world.script("Hel", leave, "lo")
    site.client.post(
        COMPLETIONS,
        json=ASKED,
        headers={**site.headers, "Idempotency-Key": "k-1"},
        environ_overrides={"gunicorn.socket": ours},
    )
    ours.close()

    assert ask(site).json["choices"][0]["message"]["content"] == "Hello"
    assert executed(site) == 1


# ── the same key for something else ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (COMPLETIONS, {**ASKED, "temperature": 1}),
        (COMPLETIONS, {**ASKED, "stream": True}),
        (CHAT, SENT),
        (STREAM, SENT),
    ],
)
def test_another_request_with_the_same_key_is_refused_and_not_executed(site, path, body):
    ask(site)

    answer = ask(site, path, body)

    assert (answer.status_code, answer.json["error"]["code"]) == (422, "idempotency_key_reused")
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.headers["x-should-retry"] == "false"
    assert executed(site) == 1


def test_the_form_of_a_stream_is_part_of_the_request(site):
    ask(site, STREAM, SENT)

    assert ask(site, STREAM, SENT, **LINES).status_code == 422


def test_neither_the_order_of_fields_nor_spaces_make_another_request(site):
    first = ask(site)
    site.headers |= {"Idempotency-Key": "k-1"}

    repeat = site.raw(COMPLETIONS, b'{"messages": [ {"content":"Hello","role":"user"} ],\n "model":"acme/large"}')

    assert_same(repeat, first)


def test_another_key_of_the_same_user_shares_and_another_user_does_not(site):
    ask(site)
    token, other = a_token(kid="second0000"), a_token(kid="other00000")
    with site.world.begin() as work:
        work.keys.add(a_key(token, id="key_2"))
        work.users.add(a_user(id="usr_2", email="bob@example.org"))
        work.keys.add(a_key(other, id="key_3", user_id="usr_2"))

    def by(given):
        headers = {"Authorization": f"Bearer {given}", "Idempotency-Key": "k-1"}
        return site.client.post(COMPLETIONS, json=ASKED, headers=headers, buffered=True)

    assert "Idempotency-Replayed" in by(token).headers
    assert "Idempotency-Replayed" in by(site.login()).headers
    assert "Idempotency-Replayed" not in by(other).headers
    assert executed(site) == 2


@pytest.mark.parametrize("key", ["", "k" * 256, "tab\there", "caf\xe9"])
def test_a_key_that_is_none_is_refused(site, key):
    answer = ask(site, key=key)

    assert (answer.status_code, answer.json["error"]["param"]) == (400, "Idempotency-Key")
    assert executed(site) == 0


# ── what is not kept ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "status"),
    [({**ASKED, "temperature": 9}, 400), ({**ASKED, "model": "acme/none"}, 404), ({**ASKED, "top_k": 1}, 400)],
)
def test_a_request_that_was_refused_leaves_its_key_free(site, body, status):
    assert ask(site, body=body).status_code == status

    assert ask(site).status_code == 200
    assert executed(site) == 1


def test_a_call_that_found_no_room_may_be_sent_again(site):
    site.world.in_flight.draining = True
    assert ask(site).status_code == 503
    site.world.in_flight.draining = False

    assert ask(site).status_code == 200


def test_a_session_that_was_busy_may_be_asked_again(site):
    busy = []
    site.world.script(lambda: busy.append(ask(site, CHAT, SENT, key="k-2")), "Hello")
    ask(site, CHAT, SENT)
    site.world.script("Hello")

    assert [answer.json["error"]["code"] for answer in busy] == ["conversation_busy"]
    assert ask(site, CHAT, SENT, key="k-2").status_code == 200


def test_while_the_first_is_running_a_repeat_is_told_to_come_back(site):
    repeats = []
    site.world.script(lambda: repeats.append(ask(site)), "Hello")

    ask(site)

    (repeat,) = repeats
    assert (repeat.status_code, repeat.json["error"]["code"]) == (409, "idempotency_in_progress")
    assert (repeat.headers["Retry-After"], repeat.json["error"]["retryable"]) == ("1", True)
    assert "x-should-retry" not in repeat.headers
    assert executed(site) == 1


def test_without_the_database_a_request_with_a_key_is_refused_although_it_would_pass_without(site):
    def fall():
        site.world.begin.down = DatabaseUnavailable(retry_after=2)

    site.app.before_request_funcs[None].append(fall)  # later than the look-up of the credential

    answer = ask(site)
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "db_unavailable")
    assert site.world.model.prompts == []
    site.world.begin.down = None
    assert site.post(COMPLETIONS, ASKED).status_code == 200


# ── what is kept although it went wrong ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UpstreamFailed(), 502),
        (UpstreamOverloaded(retry_after=7), 503),
        (UpstreamRejected(param="messages"), 400),
        (StoppedByUser(), 499),
        (RuntimeError("a bug"), 500),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_an_error_after_the_provider_was_asked_is_repeated_and_nothing_is_tried_again(site, error, status, streamed):
    site.world.script(error)
    first = ask(site, body={**ASKED, "stream": streamed})
    site.world.script("Hello")

    repeat = ask(site, body={**ASKED, "stream": streamed})

    assert first.status_code == status
    assert_same(repeat, first, status)
    assert (repeat.headers["x-should-retry"], repeat.headers.get("Retry-After")) == ("false", None)
    assert executed(site) == 1


@pytest.mark.parametrize(("path", "body", "headers", "_end"), STREAMS)
@pytest.mark.parametrize(("error", "status"), [(UpstreamReset(), 502), (RuntimeError("a bug"), 500)])
def test_a_stream_that_was_cut_is_repeated_as_its_error(site, path, body, headers, _end, error, status):
    site.world.script("Hel", error)
    first = ask(site, path, body, **headers)
    site.world.script("Hello")

    repeat = ask(site, path, body, **headers)

    assert (first.status_code, repeat.status_code) == (200, status)
    assert repeat.json["error"]["request_id"] == first.headers["X-Request-Id"]
    assert repeat.headers["Content-Type"] == "application/json"
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert executed(site) == 1


def test_a_stream_that_was_cut_after_its_reader_had_left_is_repeated_as_its_error(site):
    site.world.script("Hel", "lo", UpstreamReset())
    body = {**ASKED, "stream": True}
    answer = site.client.post(
        COMPLETIONS, json=body, headers={**site.headers, "Idempotency-Key": "k-1"}, buffered=False
    )
    next(answer.iter_encoded())
    answer.close()

    assert ask(site, body=body).json["error"]["code"] == "upstream_reset"


def test_what_a_dead_worker_left_is_told_as_abandoned(site):
    site.world.script("Hello")
    ask(site)
    (call,) = site.world.begin.rows.keyed.values()
    with site.world.begin() as work:
        work.idempotency.take_over(replace(call, reply=None, request_id="req_dead"))
    lost = an_entry(request_id="req_dead", state=State.ABANDONED)
    site.world.begin.apply([a_settled(request_id="req_dead", entries=(lost,))])

    answer = ask(site)

    assert (answer.status_code, answer.json["error"]["code"]) == (502, "request_abandoned")
    assert answer.json["error"]["retryable"] is False
    assert (answer.headers["x-should-retry"], answer.headers["Idempotency-Replayed"]) == ("false", "true")
    assert len(site.world.model.prompts) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_long_answer_is_repeated_byte_for_byte(site, streamed):
    site.world.script(os.urandom(2 << 20).hex(), os.urandom(2 << 20).hex())
    body = {**ASKED, "stream": streamed}
    first = ask(site, body=body)

    repeat = ask(site, body=body)

    (parts,) = site.world.begin.rows.keyed_parts.values()
    assert len(parts) >= 4
    assert_same(repeat, first)
    assert repeat.headers["Content-Length"] == str(len(first.data))
    assert executed(site) == 1


def test_a_long_answer_whose_key_went_to_another_request_meanwhile_is_cut_before_its_length(site):
    site.world.script(os.urandom(3 << 20).hex())
    ask(site)
    answer = site.client.post(
        COMPLETIONS, json=ASKED, headers={**site.headers, "Idempotency-Key": "k-1"}, buffered=False
    )
    (call,) = site.world.begin.rows.keyed.values()
    with site.world.begin() as work:
        work.idempotency.take_over(replace(call, reply=None, request_id="req_2"))

    read = []
    with pytest.raises(RequestAbandoned):
        read.extend(answer.iter_encoded())

    assert 0 < sum(map(len, read)) < answer.content_length


def test_an_answer_that_is_too_long_to_be_kept_is_given_once_and_then_told_as_abandoned(site, monkeypatch):
    monkeypatch.setattr(packing, "MOST", 4 << 20)
    long = os.urandom(5 << 20).hex()
    site.world.script(long)

    first, repeat = ask(site), ask(site)

    assert len(first.json["choices"][0]["message"]["content"]) == len(long)
    assert (repeat.status_code, repeat.json["error"]["code"]) == (502, "request_abandoned")
    assert "too long" in repeat.json["error"]["message"]


def test_what_is_too_long_to_be_kept_is_not_packed_to_its_end(site, monkeypatch):
    """It would hold up everybody else for as long as that takes."""
    monkeypatch.setattr(packing, "MOST", 4 << 20)
    packed, make = [], zlib.compressobj

    class Counting:
        def __init__(self, *arguments):
            self._packer = make(*arguments)
            self.flush = self._packer.flush

        def compress(self, piece):
            packed.append(len(piece))
            return self._packer.compress(piece)

    monkeypatch.setattr(zlib, "compressobj", Counting)
    site.world.script(os.urandom(20 << 20).hex())

    ask(site)

    assert 4 << 20 < sum(packed) < 12 << 20


def test_an_answer_that_could_not_be_kept_is_given_all_the_same_and_never_made_again(site):
    def fall():
        site.world.begin.down = DatabaseUnavailable()

    site.world.script("Hello", fall)
    first = ask(site)
    site.world.begin.down = None

    assert first.status_code == 200
    assert ask(site).json["error"]["code"] == "idempotency_in_progress"
    assert len(site.world.model.prompts) == 1


def test_without_a_key_every_request_is_executed_and_nothing_is_kept(site):
    for _ in range(2):
        assert "Idempotency-Replayed" not in site.post(COMPLETIONS, ASKED).headers

    assert executed(site) == 2
    assert site.world.begin.rows.keyed == {}

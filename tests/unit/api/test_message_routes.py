"""`POST /messages` and `/messages/count_tokens`, as Anthropic's SDKs see them."""

import socket

import orjson
import pytest

from api.dialect import Dialect, dialect_of, speaks
from api.v1.messages_blocks import BlockWriter
from application.facts import HttpServed
from application.model_ports import plan_of
from domain.completion import Delta
from domain.errors import DatabaseUnavailable, Overloaded
from domain.ledger import Kind, State
from domain.provider_errors import (
    ContextLengthExceeded,
    UpstreamIdleTimeout,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamReset,
)
from domain.user import Scope
from tests.builders import a_deployment, a_key, a_token
from tests.message_events import assembled, events_of

URL, COUNT = "/api/v1/messages", "/api/v1/messages/count_tokens"
ASK = {"model": "acme/large", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
TO_COUNT = {"model": "acme/large", "messages": ASK["messages"]}
BOTH = [pytest.param(URL, ASK, id="messages"), pytest.param(COUNT, TO_COUNT, id="count")]
ERROR = ["type", "message", "code", "param", "retryable", "provider"]


def told(answer, status, kind, code):
    """The error of an answer, after a look at its envelope."""
    assert answer.status_code == status
    assert list(answer.json) == ["type", "error", "request_id"]
    assert answer.json["type"] == "error"
    assert list(answer.json["error"]) == ERROR
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert (answer.json["error"]["type"], answer.json["error"]["code"]) == (kind, code)
    return answer.json["error"]


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_is_a_message(site):
    answer = site.post(URL, ASK)

    assert answer.status_code == 200
    assert answer.json["id"] == f"msg_{answer.headers['X-Request-Id'].partition('_')[2]}"
    assert answer.json["content"] == [{"type": "text", "text": "Hello"}]
    assert answer.json["usage"] == {
        "input_tokens": 12,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 3,
        "output_tokens_details": {"thinking_tokens": 0},
        "cost": 1.8e-08,
        "source": "provider",
    }
    assert answer.headers["request-id"] == answer.headers["X-Request-Id"]
    assert answer.headers["X-Parley-Provider"] == "acme"
    assert answer.headers["X-Parley-Attempts"] == "1"


def test_a_stream_is_the_same_message(site):
    whole = site.post(URL, ASK).json
    answer = site.post(URL, {**ASK, "stream": True})

    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert {**assembled(events_of([answer.data])), "id": ""} == {**whole, "id": ""}


def test_the_prompt_reaches_the_provider_in_the_shape_that_all_share(site):
    body = {**ASK, "system": "Be brief.", "stop_sequences": ["x"], "temperature": 0}
    site.post(URL, body)
    (prompt,) = site.world.model.prompts

    assert prompt.messages == [{"role": "system", "content": "Be brief."}, *ASK["messages"]]
    assert prompt.options == {"max_tokens": 100, "stop": ["x"], "temperature": 0}


def test_headers_and_query_of_anthropics_clients_are_welcome(site):
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "context-management-2025-06-27"}

    assert site.post(f"{URL}?beta=true", ASK, headers=headers).status_code == 200


def test_hints_that_no_provider_of_the_model_documents_are_left_out(site):
    body = {
        **ASK,
        "metadata": {"user_id": "u"},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "service_tier": "standard_only",
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    }

    assert site.post(URL, body).status_code == 200
    assert site.world.model.prompts[0].options == {"max_tokens": 100}


def test_a_provider_that_knows_no_max_tokens_is_asked_without(site):
    site.world.models.named["app"] = plan_of(a_deployment(site.world.model, "app/chat", options=["inputs"]))

    assert site.post(URL, {**ASK, "model": "app"}).status_code == 200
    assert site.world.model.prompts[0].options == {}


def test_what_no_provider_of_the_model_documents_is_refused_under_anthropics_name(site):
    format_ = {"format": {"type": "json_schema", "schema": {}}}

    assert told(site.post(URL, {**ASK, "top_k": 1}), 400, "invalid_request_error", "unsupported_parameter")
    for streamed in (False, True):
        answer = site.post(URL, {**ASK, "output_config": format_, "stream": streamed})
        error = told(answer, 400, "invalid_request_error", "unsupported_parameter")
        assert error["param"] == "output_config.format"


def test_a_heartbeat_is_a_ping(site):
    site.world.script("a", [], "b")

    assert site.post(URL, {**ASK, "stream": True}).text.count('event: ping\ndata: {"type":"ping"}\n\n') == 1


def test_a_body_of_two_megabytes_is_welcome_for_its_images(site):
    source = {"type": "base64", "media_type": "image/png", "data": "A" * 2_000_000}
    messages = [{"role": "user", "content": [{"type": "image", "source": source}]}]

    assert site.raw(URL, orjson.dumps({**ASK, "messages": messages})).status_code == 200
    assert site.raw(COUNT, orjson.dumps({**TO_COUNT, "messages": messages})).status_code == 200


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [UpstreamReset(provider="acme"), ZeroDivisionError("secret detail")])
def test_a_stream_that_is_cut_ends_with_the_error(site, error):
    site.world.script("Hel", error)
    answer = site.post(URL, {**ASK, "stream": True})
    last = events_of([answer.data])[-1]

    assert answer.status_code == 200
    assert "message_stop" not in answer.text
    assert "secret" not in answer.text
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert last["request_id"] == answer.headers["X-Request-Id"]
    assert site.world.final().state is State.PARTIAL


def test_more_calls_than_can_be_told_apart_cut_the_stream(site):
    calls = [{"index": at, "id": f"t{at}", "function": {"name": "f", "arguments": "{"}} for at in range(1_001)]
    site.world.script(Delta([{"index": 0, "delta": {"tool_calls": calls}, "finish_reason": None}]))
    answer = site.post(URL, {**ASK, "stream": True})

    assert events_of([answer.data])[-1]["error"]["code"] == "max_output_exceeded"
    assert len(site.world.in_flight) == 0
    assert (site.world.final().state, site.world.final().error_code) == (State.PARTIAL, "max_output_exceeded")
    assert site.world.model.closed == 1


def test_a_stream_that_cannot_be_written_is_booked_as_our_own_fault(site, monkeypatch):
    monkeypatch.setattr(BlockWriter, "text", lambda *_: 1 / 0)
    site.world.script("Hel", "lo")
    answer = site.post(URL, {**ASK, "stream": True})

    assert events_of([answer.data])[-1]["error"]["code"] == "internal_error"
    assert site.world.final().error_code == "internal_error"


def test_a_client_that_leaves_in_the_middle_is_settled(site):
    answer = site.client.post(URL, json={**ASK, "stream": True}, headers=site.headers, buffered=False)
    next(answer.iter_encoded())
    answer.close()

    assert site.world.final().state is State.PARTIAL
    assert site.world.model.closed == 1
    assert len(site.world.in_flight) == 0
    assert len(site.world.record.of(HttpServed)) == 1


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("path", "body"), BOTH)
def test_refusals_before_the_provider_have_anthropics_envelope(site, path, body):
    anonymous = site.anonymous()
    told(anonymous.post(path, json=body), 401, "authentication_error", "unauthenticated")
    told(site.post(path, {**body, "model": "acme/none"}), 404, "not_found_error", "model_not_found")
    told(site.raw(path, b"{"), 400, "invalid_request_error", "invalid_json")
    told(site.raw(path, b"{}", "text/plain"), 415, "invalid_request_error", "unsupported_media_type")
    error = told(site.post(path, {**body, "x": 1}), 400, "invalid_request_error", "unknown_field")

    assert (error["param"], error["retryable"], error["provider"]) == ("x", False, None)


@pytest.mark.parametrize(("path", "body"), BOTH)
def test_a_thread_is_refused_so_that_an_sdk_goes_on_without(site, path, body):
    answer = site.post(path, {**body, "thread": {"type": "create"}})

    error = answer.json["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", "thread")
    assert error["details"] == {"error_code": "thread_unsupported_request"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("Context size 8 exceeded.", "prompt is too long: Context size 8 exceeded."),
        ("Prompt is too long: 9 tokens > 8 maximum", "Prompt is too long: 9 tokens > 8 maximum"),
    ],
)
def test_a_conversation_that_is_too_long_is_told_in_the_words_that_clients_look_for(site, words, message):
    site.world.script(ContextLengthExceeded(words, provider="acme"))

    error = told(site.post(URL, ASK), 400, "invalid_request_error", "context_length_exceeded")
    assert error["message"] == message


@pytest.mark.parametrize("path", [URL, COUNT])
@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "BREW"])
def test_a_wrong_method_is_told_in_the_dialect_of_the_path(site, path, method):
    answer = site.client.open(path, method=method, headers=site.headers)

    told(answer, 405, "invalid_request_error", "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("path", [URL, COUNT])
def test_a_body_that_is_too_large_is_413(site, path):
    answer = site.client.open(
        path,
        method="POST",
        headers=site.headers,
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "25000001"},
    )

    told(answer, 413, "request_too_large", "request_too_large")


@pytest.mark.parametrize(
    ("error", "status", "kind", "wait"),
    [
        (UpstreamRateLimited(retry_after=7, provider="acme"), 429, "rate_limit_error", "7"),
        (UpstreamOverloaded(provider="acme"), 503, "overloaded_error", "2"),
        (UpstreamIdleTimeout(provider="acme"), 504, "timeout_error", None),
        (UpstreamReset(provider="acme"), 502, "api_error", None),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_provider_that_fails_keeps_its_real_status_and_headers(site, error, status, kind, wait, streamed):
    site.world.script(error)
    answer = site.post(URL, {**ASK, "stream": streamed})

    assert told(answer, status, kind, error.code)["provider"] == "acme"
    assert answer.headers.get("Retry-After") == wait
    assert answer.headers["X-Parley-Provider"] == "acme"


def test_our_own_failures_are_told_in_the_dialect_as_well(site, monkeypatch):
    def refuse(*_):
        raise Overloaded

    monkeypatch.setattr(site.world.in_flight, "enter", refuse)
    told(site.post(URL, ASK), 503, "overloaded_error", "overloaded")
    monkeypatch.undo()
    site.world.begin.down = DatabaseUnavailable()
    told(site.post(URL, ASK), 503, "overloaded_error", "db_unavailable")


def test_an_unexpected_error_tells_nothing_but_the_request_id(site):
    site.world.script(ZeroDivisionError("secret detail"))
    answer = site.post(URL, ASK)

    told(answer, 500, "api_error", "internal_error")
    assert "secret" not in answer.text


def test_whoever_guesses_waits_and_is_told_so_in_the_dialect(site):
    guess = {"x-api-key": a_token(secret="t" * 43)}
    answers = [site.anonymous().post(URL, headers=guess, json=ASK) for _ in range(21)]

    told(answers[0], 401, "authentication_error", "unauthenticated")
    told(answers[-1], 429, "rate_limit_error", "rate_limited")
    assert answers[-1].headers["Retry-After"] == "60"


def test_other_paths_keep_the_other_envelope(site):
    for answer in (site.get("/api/v1/messages/batches"), site.client.get("/api/v1/chat/completions")):
        assert "type" not in answer.json


def test_a_dialect_is_declared_at_the_view_and_survives_decorators_above(app):
    @speaks(Dialect.MESSAGES)
    def view():
        """A view."""

    app.add_url_rule("/x", "x", view)

    assert dialect_of(app, "x") is Dialect.MESSAGES
    assert {name for name in app.view_functions if dialect_of(app, name) is Dialect.MESSAGES} == {
        "x",
        "messages.create_message",
        "messages.count_message_tokens",
    }


# ── the credential ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("path", "body"), BOTH)
def test_the_key_may_come_as_x_api_key(site, path, body):
    answer = site.anonymous().post(path, headers={"x-api-key": site.token}, json=body)

    assert answer.status_code == 200


@pytest.mark.parametrize(("path", "body"), BOTH)
@pytest.mark.parametrize("key", ["", "x", f" {a_token()}", f"Bearer {a_token()}", f"{a_token()},{a_token()}", "ü"])
def test_an_x_api_key_that_is_none_is_refused(site, path, body, key):
    answer = site.anonymous().post(path, headers={"x-api-key": key.encode().decode("latin-1")}, json=body)

    told(answer, 401, "authentication_error", "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("path", "body"), BOTH)
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Basic eDp5"])
def test_where_there_is_authorization_it_decides(site, path, body, authorization):
    both = {"Authorization": authorization, "x-api-key": site.token}
    good = {**site.headers, "x-api-key": "x"}

    assert site.anonymous().post(path, headers=both, json=body).status_code == 401
    assert site.anonymous().post(path, headers=good, json=body).status_code == 200


@pytest.mark.parametrize(("path", "body"), BOTH)
def test_where_there_is_an_x_api_key_no_cookie_helps(site, path, body):
    page = site.page_headers(site.login())

    assert site.anonymous().post(path, headers=page, json=body).status_code == 200
    for key in ("", "x", a_token(secret="t" * 43)):
        assert site.anonymous().post(path, headers={**page, "x-api-key": key}, json=body).status_code == 401


@pytest.mark.parametrize(("path", "body"), BOTH)
def test_a_key_without_the_scope_is_refused_before_its_body_is_read(site, path, body):
    token = a_token(kid="z" * 10)
    with site.world.begin() as work:
        work.keys.add(a_key(token, id="key_2", scopes=frozenset({Scope.USAGE_READ})))
    answer = site.anonymous().post(path, headers={"x-api-key": token}, data=b"not even json")

    told(answer, 403, "permission_error", "forbidden")


@pytest.mark.parametrize(("path", "body"), BOTH)
def test_a_key_may_use_its_own_models_only(site, path, body):
    token = a_token(kid="z" * 10)
    with site.world.begin() as work:
        work.keys.add(a_key(token, id="key_2", models=("acme/other",)))
    answer = site.anonymous().post(path, headers={"x-api-key": token}, json=body)

    told(answer, 403, "permission_error", "model_not_allowed")
    assert site.world.model.prompts == []


# ── counting ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_count_asks_nobody_and_costs_nothing(site):
    answer = site.post(COUNT, {**TO_COUNT, "system": "Be brief.", "tools": [{"name": "f", "input_schema": {}}]})

    assert answer.status_code == 200
    assert list(answer.json) == ["input_tokens"]
    assert answer.json["input_tokens"] > site.post(COUNT, TO_COUNT).json["input_tokens"] > 0
    assert site.world.model.prompts == []
    assert site.world.begin.rows.ledger == {}
    assert "X-Parley-Cost" not in answer.headers


# ── once and only once ───────────────────────────────────────────────────────────────────────────────────────────

KEYED = {"Idempotency-Key": "k-1"}


def finals(site):
    return [entry for entry in site.world.begin.rows.ledger.values() if entry.kind is Kind.FINAL]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_repeat_gets_the_same_answer_without_its_pauses(site, streamed):
    body = {**ASK, "stream": streamed}
    site.world.script([], "Hel", [], "lo")
    first, repeat = (site.post(URL, body, headers=KEYED) for _ in range(2))

    assert repeat.data == first.data.replace(b'event: ping\ndata: {"type":"ping"}\n\n', b"")
    assert b"ping" in first.data or not streamed
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert repeat.headers["Content-Type"] == first.headers["Content-Type"]
    assert len(finals(site)) == 1


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("error", [UpstreamReset(), RuntimeError("a bug")])
def test_an_error_is_kept_and_repeated_in_the_dialect(site, error, streamed):
    site.world.script("Hel", error)
    body = {**ASK, "stream": streamed}
    first = site.post(URL, body, headers=KEYED)
    site.world.script("Hello")
    repeat = site.post(URL, body, headers=KEYED)

    assert repeat.json["type"] == "error"
    assert repeat.json["error"]["type"] == "api_error"
    assert repeat.json["request_id"] == first.headers["X-Request-Id"]
    assert repeat.headers["x-should-retry"] == "false"
    assert len(finals(site)) == 1


def test_a_key_of_another_request_is_refused_in_the_dialect_of_the_second(site):
    site.post("/api/v1/chat/completions", {"model": "acme/large", "messages": ASK["messages"]}, headers=KEYED)

    told(site.post(URL, ASK, headers=KEYED), 422, "invalid_request_error", "idempotency_key_reused")


def test_a_client_that_leaves_does_not_end_a_call_that_it_can_ask_for_again(site):
    ours, theirs = socket.socketpair()
    site.world.script("Hel", theirs.close, "lo")
    site.client.post(URL, json=ASK, headers={**site.headers, **KEYED}, environ_overrides={"gunicorn.socket": ours})
    ours.close()

    assert site.post(URL, ASK, headers=KEYED).json["content"][0]["text"] == "Hello"

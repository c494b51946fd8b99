import json
import re

import jsonschema
import pytest
from openapi_spec_validator import validate

from api.openapi import build_document
from api.v1.completion_request import completion_request
from api.v1.messages_request import message_request
from domain.completion import Delta
from domain.errors import InvalidRequest
from domain.provider_errors import UpstreamReset

UNDOCUMENTED = {"/api/v1/openapi.json", "/api/v1/docs", "/api/v1/docs/<name>"}
"""The document itself and the page that shows it."""
ANTHROPICS = {"/api/v1/messages", "/api/v1/messages/count_tokens"}
"""Routes that speak another dialect."""
PAID = {
    "createChatCompletion",
    "createEmbeddings",
    "createImageJob",
    "createImages",
    "createMessage",
    "createResponse",
    "sendMessage",
    "streamMessage",
}
STRANGERS = ("register", "confirm", "login", "password/forgot", "password/reset", "oidc", "oidc/start", "oidc/callback")


@pytest.fixture(scope="module")
def document(shared_site):
    return build_document(shared_site.app)


@pytest.fixture(scope="module")
def operations(document):
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict)
    }


def test_the_document_is_valid_openapi_3_1(document):
    validate(document)

    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Parley"


def test_the_document_has_every_route_and_no_other(shared_site, operations):
    rules = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in shared_site.app.url_map.iter_rules()
        if rule.rule not in UNDOCUMENTED
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert set(operations) == rules


def test_every_operation_has_a_name_of_its_own_a_summary_and_a_tag(operations):
    names = [operation["operationId"] for operation in operations.values()]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name) for name in names)
    assert all(operation["summary"] and len(operation["tags"]) == 1 for operation in operations.values())


def test_all_but_health_and_what_is_for_strangers_need_the_bearer_token(operations):
    open_to_all = {path for (_, path), operation in operations.items() if "security" not in operation}

    assert open_to_all == {"/livez", "/readyz", *(f"/api/v1/auth/{name}" for name in STRANGERS)}
    for (_, path), operation in operations.items():
        beside = [{"apiKey": []}] if path in ANTHROPICS else []
        assert operation.get("security") in (None, [{"bearer": []}, *beside])


def headers(operation):
    return [it["name"] for it in operation.get("parameters", ()) if it["in"] == "header"]


def test_every_operation_documents_its_errors_with_the_one_envelope(operations):
    for (_, path), operation in operations.items():
        errors = {status: told for status, told in operation["responses"].items() if status >= "400"}
        if path != "/readyz":
            name = "MessagesError" if path in ANTHROPICS else "Error"
            for told in errors.values():
                assert told["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}
        if "requestBody" in operation:
            assert {"429", "500", "503"} <= set(errors)
        if "security" in operation:
            assert {"401", "403", "429", "500", "503"} <= set(errors)
        if "{" in path:
            assert "404" in errors
        if "requestBody" in operation:
            assert {"400", "408", "413", "415"} <= set(errors)
        paid = operation["operationId"] in PAID
        assert ("422" in errors) == paid == ("Idempotency-Key" in headers(operation))


def test_every_reference_leads_somewhere_and_every_schema_is_used(document):
    text = json.dumps(document)
    named = set(re.findall(r"#/components/schemas/(\w+)", text))

    assert named == set(document["components"]["schemas"])


def test_streams_are_described_event_by_event(operations, document):
    for method, path, event in (
        ("POST", "/api/v1/chat/stream", "ChatEvent"),
        ("POST", "/api/v1/chat/completions", "ChatCompletionEvent"),
        ("POST", "/api/v1/messages", "MessagesEvent"),
    ):
        content = operations[method, path]["responses"]["200"]["content"]
        assert content["text/event-stream"]["schema"] == {"$ref": f"#/components/schemas/{event}"}
        assert document["components"]["schemas"][event].get("type") != "string"
    assert "application/x-ndjson" in operations["POST", "/api/v1/chat/stream"]["responses"]["200"]["content"]


def test_inputs_are_closed_and_outputs_may_grow(document):
    schemas = document["components"]["schemas"]

    for name in (
        "KeyRequest",
        "KeyChangeRequest",
        "KeyLimitsRequest",
        "RegisterRequest",
        "LoginRequest",
        "ProfileRequest",
    ):
        assert schemas[name]["additionalProperties"] is False
    for name in ("SessionRequest", "SessionChangeRequest", "ConfigRequest", "ChatRequest", "ChatCompletionRequest"):
        assert schemas[name]["additionalProperties"] is False
    for name in ("Session", "ChatAnswer", "ChatCompletion", "Error", "Model", "Usage"):
        assert "additionalProperties" not in schemas[name]


def _validator(document, name):
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(
    "body",
    [
        {"model": "a", "messages": [{"role": "user", "content": "x"}], "temperature": None, "stop": None},
        {"model": "a", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}], "tool_choice": None},
        {"model": "a", "messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}], "response_format": None},
        {"model": "a b", "messages": [{"role": "user", "content": "x"}]},
        {"model": "a", "messages": [{"role": "root", "content": "x"}]},
        {"model": "a", "messages": [{"role": "user", "content": [{"type": "text"}]}]},
        {"model": "a", "messages": []},
        {"messages": [{"role": "user", "content": "x"}]},
        {"model": "a", "messages": [{"role": "user", "content": "x"}], "n": 0},
        {"model": "a", "messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function"}]},
        {"model": "a", "messages": [{"role": "user", "content": "x"}], "tool_choice": "maybe"},
    ],
    ids=str,
)
def test_what_the_document_says_of_a_completion_is_what_is_enforced(document, body):
    try:
        completion_request(body)
    except InvalidRequest:
        accepted = False
    else:
        accepted = True

    assert _validator(document, "ChatCompletionRequest").is_valid(body) is accepted


def test_answers_are_as_documented(shared_site, document):
    asked = {"model": "acme/large", "messages": [{"role": "user", "content": "Hello"}]}
    answers = {
        "ChatCompletion": shared_site.post("/api/v1/chat/completions", asked),
        "MessagesAnswer": shared_site.post("/api/v1/messages", {**asked, "max_tokens": 9}),
        "MessagesCount": shared_site.post("/api/v1/messages/count_tokens", asked),
        "MessagesError": shared_site.post("/api/v1/messages", asked),
        "ChatAnswer": shared_site.post("/api/v1/chat", {"session_id": "sess_1", "message": "Hello"}),
        "SessionPage": shared_site.get("/api/v1/sessions"),
        "MessagePage": shared_site.get("/api/v1/sessions/sess_1/messages"),
        "Export": shared_site.get("/api/v1/sessions/sess_1/export"),
        "ModelList": shared_site.get("/api/v1/models"),
        "Usage": shared_site.get("/api/v1/usage"),
        "RecordPage": shared_site.get("/api/v1/usage/records"),
        "OwnKey": shared_site.get("/api/v1/key"),
        "Key": shared_site.get("/api/v1/keys/key_1"),
        "KeyPage": shared_site.get("/api/v1/keys"),
        "Me": shared_site.get("/api/v1/me"),
        "LoginList": shared_site.ask("GET", "/api/v1/auth/logins", shared_site.login()),
        "Ready": shared_site.get("/readyz"),
        "Error": shared_site.get("/api/v1/sessions/none"),
    }

    for name, answer in answers.items():
        _validator(document, name).validate(answer.json)


def test_events_are_as_documented(shared_site, document):
    body = {"session_id": "sess_1", "message": "Hello"}
    events = shared_site.post("/api/v1/chat/stream", body).text.strip().split("\n\n")

    for event in events:
        name, data = (line.partition(": ")[2] for line in event.split("\n"))
        _validator(document, "ChatEvent").validate({"event": name, "data": data})
        content = document["components"]["schemas"][f"Chat{name.title()}Event"]["properties"]["data"]["contentSchema"]
        _validator(document, content["$ref"].rpartition("/")[2]).validate(json.loads(data))


def test_events_of_messages_are_as_documented(clean_site, document):
    calls = [{"index": at, "id": f"t{at}", "function": {"name": "f", "arguments": "{}"}} for at in range(2)]
    details = [{"type": "thinking", "index": 0, "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
    inner = {"tool_calls": calls, "reasoning_details": details}
    delta = Delta([{"index": 0, "delta": inner, "finish_reason": None}], "a", "b")
    clean_site.world.script(delta, [], UpstreamReset())
    whole = {"model": "acme/large", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9}
    cut = clean_site.post("/api/v1/messages", {**whole, "stream": True}).text
    clean_site.world.script("Hel", "lo")
    events = (cut + clean_site.post("/api/v1/messages", {**whole, "stream": True}).text).strip().split("\n\n")
    schemas = document["components"]["schemas"]

    seen = set()
    for event in events:
        name, data = (line.partition(": ")[2] for line in event.split("\n"))
        _validator(document, "MessagesEvent").validate({"event": name, "data": data})
        schema = schemas[f"Messages{name.title().replace('_', '')}Event"]
        content = {**schema["properties"]["data"]["contentSchema"], "components": document["components"]}
        jsonschema.Draft202012Validator(content).validate(json.loads(data))
        seen.add(name)
    assert len(seen) == 8


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 1},
        {"max_tokens": 1, "system": None, "tools": None, "tool_choice": None, "thinking": None},
        {"max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"max_tokens": 1, "messages": [{"role": "user", "content": [{"type": "tool_use"}]}]},
        {"max_tokens": 1, "messages": [{"role": "root", "content": "x"}]},
        {"max_tokens": 1, "tools": [{"name": "f", "input_schema": {}, "type": None, "cache_control": None}]},
        {"max_tokens": 1, "tools": [{"name": "f", "input_schema": {}, "defer_loading": True}]},
        {"max_tokens": 1, "thinking": {"type": "enabled"}},
        {"max_tokens": 1, "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}},
        {"max_tokens": 0},
        {"max_tokens": 1, "temperature": 2},
        {"max_tokens": 1, "container": "c"},
        {},
    ],
    ids=str,
)
def test_what_the_document_says_of_a_message_is_what_is_enforced(document, body):
    whole = {"model": "a", "messages": [{"role": "user", "content": "x"}], **body}
    try:
        message_request(whole)
    except InvalidRequest:
        accepted = False
    else:
        accepted = True

    assert _validator(document, "MessagesRequest").is_valid(whole) is accepted


def test_the_document_is_served_as_it_is_built(shared_site, document):
    answer = shared_site.anonymous().get("/api/v1/openapi.json")

    assert answer.json == document
    assert answer.headers["Content-Type"] == "application/json"

"""What the document says of responses holds for what is sent; nothing here may be mixed with a `site` of one's own."""

import json

import jsonschema
import pytest

from api.openapi import build_document
from api.v1.responses_documentation import EVENTS
from api.v1.responses_request import response_request
from domain.completion import Delta
from domain.errors import InvalidRequest

URL = "/api/v1/responses"
ASKED = {"model": "acme/large", "input": "Hello"}
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}


def events(answer):
    """(event, data) of every event."""
    blocks = [block for block in answer.text.split("\n\n") if block]
    told = [[line.partition(": ")[2] for line in block.split("\n")] for block in blocks]
    return [(name, json.loads(content)) for name, content in told]


@pytest.fixture(scope="module")
def document(shared_site):
    return build_document(shared_site.app)


def _validator(document, name):
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema.Draft202012Validator(schema)


def test_a_response_is_as_documented(shared_site, document):
    validator = _validator(document, "ResponseAnswer")

    validator.validate(shared_site.post(URL, ASKED).json)
    validator.validate(shared_site.post(URL, {**ASKED, "tools": [TOOL], "reasoning": {"summary": "auto"}}).json)


def test_events_of_a_response_are_as_documented(shared_site, document, monkeypatch):
    branches = document["components"]["schemas"]["ResponseEvent"]["oneOf"]
    contents = {it["properties"]["event"]["enum"][0]: it["properties"]["data"]["contentSchema"] for it in branches}
    call = {**CALL, "index": 0}
    steps = [
        Delta([{"index": 0, "delta": delta, "finish_reason": None}])
        for delta in ({"reasoning_content": "h"}, {"content": "a"}, {"refusal": "n"}, {"tool_calls": [call]})
    ]
    monkeypatch.setattr(shared_site.world.model, "_scripts", [steps])
    seen = set()
    for more in ({}, {"reasoning": {"summary": "auto"}}, {"tools": [{"type": "custom", "name": "weather"}]}):
        for name, event in events(shared_site.post(URL, {**ASKED, **more, "stream": True})):
            seen.add(name.removeprefix("response."))
            schema = {**contents[name], "components": document["components"]}
            jsonschema.Draft202012Validator(schema).validate(event)
            _validator(document, "ResponseEvent").validate({"event": name, "data": json.dumps(event)})

    assert set(EVENTS) - seen == {"incomplete", "failed", "output_text.annotation.added"}


@pytest.mark.parametrize(
    "body",
    [
        ASKED,
        {**ASKED, "input": [{"role": "user", "content": "x"}], "temperature": None, "tools": None},
        {
            **ASKED,
            "input": [{"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "x"}]}],
        },
        {**ASKED, "tools": [TOOL], "tool_choice": {"type": "function", "name": "weather"}},
        {**ASKED, "tools": [{"type": "web_search", "external_web_access": False}]},
        {**ASKED, "tools": [{"type": "web_search"}]},
        {**ASKED, "text": {"format": {"type": "json_schema", "name": "a", "schema": {}}}},
        {**ASKED, "input": [{"role": "root", "content": "x"}]},
        {**ASKED, "input": [{"type": "item_reference", "id": "x"}]},
        {**ASKED, "input": []},
        {**ASKED, "previous_response_id": "resp_1"},
        {**ASKED, "background": True},
        {**ASKED, "top_k": 1},
        {"model": "acme/large"},
        {"input": "x"},
    ],
    ids=str,
)
def test_what_the_document_says_of_a_response_request_is_what_is_enforced(document, body):
    try:
        response_request(body)
    except InvalidRequest:
        accepted = False
    else:
        accepted = True

    assert _validator(document, "ResponseRequest").is_valid(body) is accepted

"""What the OpenAPI document says of a response: the answer, and every event of its stream."""

from api.v1.completion_messages import FREE, Schema, ref
from api.v1.documentation import COMPLETION, Doc

_STRING: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_BOOLEAN: Schema = {"type": "boolean"}
_OBJECTS: Schema = {"type": "array", "items": FREE}


def _open(properties: Schema, *required: str) -> Schema:
    """An object that may grow."""
    return {"type": "object", "properties": properties, "required": list(required or properties)}


def _only(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _texts(kind: str) -> Schema:
    return {"type": "array", "items": _open({"type": _only(kind), "text": _STRING})}


_STATUS = _only("in_progress", "completed", "incomplete")
_PARTS = ("ResponseAnsweredText", "ResponseAnsweredRefusal", "ResponseAnsweredReasoning")
_ITEMS = (
    *("ResponseAnsweredMessage", "ResponseAnsweredThought"),
    *("ResponseAnsweredFunctionCall", "ResponseAnsweredCustomCall"),
)
"""Named, as generators of clients want the branches of a union."""
_PART: Schema = {"anyOf": [ref(name) for name in _PARTS]}
_SUMMARY_PART = _open({"type": _only("summary_text"), "text": _STRING})
_SETTING: Schema = {"description": "As it was asked for; null where the provider chose."}
_IN_ITEM = {"item_id": _STRING, "output_index": _COUNT}
_IN_CONTENT = {**_IN_ITEM, "content_index": _COUNT}
_IN_SUMMARY = {**_IN_ITEM, "summary_index": _COUNT}
_RESPONSE = {"response": ref("ResponseAnswer")}
_ITEM = {"output_index": _COUNT, "item": ref("ResponseOutputItem")}
_DELTA = {"delta": _STRING}
_FAILURE = {
    "code": _STRING,
    "message": _STRING,
    "param": {"type": ["string", "null"]},
    "error": ref("ErrorDetail"),
}

EVENTS: dict[str, Schema] = {
    "created": _RESPONSE,
    "in_progress": _RESPONSE,
    "output_item.added": _ITEM,
    "content_part.added": {**_IN_CONTENT, "part": _PART},
    "output_text.delta": {**_IN_CONTENT, **_DELTA, "logprobs": _OBJECTS},
    "output_text.annotation.added": {**_IN_CONTENT, "annotation_index": _COUNT, "annotation": FREE},
    "output_text.done": {**_IN_CONTENT, "text": _STRING, "logprobs": _OBJECTS},
    "refusal.delta": {**_IN_CONTENT, **_DELTA},
    "refusal.done": {**_IN_CONTENT, "refusal": _STRING},
    "reasoning_text.delta": {**_IN_CONTENT, **_DELTA},
    "reasoning_text.done": {**_IN_CONTENT, "text": _STRING},
    "reasoning_summary_part.added": {**_IN_SUMMARY, "part": _SUMMARY_PART},
    "reasoning_summary_text.delta": {**_IN_SUMMARY, **_DELTA},
    "reasoning_summary_text.done": {**_IN_SUMMARY, "text": _STRING},
    "reasoning_summary_part.done": {**_IN_SUMMARY, "part": _SUMMARY_PART},
    "function_call_arguments.delta": {**_IN_ITEM, **_DELTA},
    "function_call_arguments.done": {**_IN_ITEM, "arguments": _STRING},
    "custom_tool_call_input.delta": {**_IN_ITEM, **_DELTA},
    "custom_tool_call_input.done": {**_IN_ITEM, "input": _STRING},
    "content_part.done": {**_IN_CONTENT, "part": _PART},
    "output_item.done": _ITEM,
    "completed": _RESPONSE,
    "incomplete": _RESPONSE,
    "failed": _RESPONSE,
}
"""Without the `response.` of their names; each has its `type` and its `sequence_number` beside these members."""


def _event(name: str, members: Schema) -> Schema:
    """The `data` of an event is text that holds JSON."""
    told = _only(name)
    content = _open({"type": told, **members, "sequence_number": _COUNT})
    return _open({"event": told, "data": {**_STRING, "contentMediaType": "application/json", "contentSchema": content}})


_CALLED = {"id": _STRING, "status": _STATUS, "call_id": _STRING, "name": _STRING}

RESPONSE_ANSWER_SCHEMAS: dict[str, Schema] = {
    "ResponseUsage": _open(
        {
            "input_tokens": _COUNT,
            "input_tokens_details": _open({"cached_tokens": _COUNT, "cache_write_tokens": _COUNT}),
            "output_tokens": _COUNT,
            "output_tokens_details": _open({"reasoning_tokens": _COUNT}),
            "total_tokens": _COUNT,
            "cost": {"type": ["number", "null"], "description": "Null when the model's price is not known."},
            "source": {**_only("provider", "estimated", "none"), "description": "Who counted."},
        }
    ),
    "ResponseAnsweredText": _open(
        {"type": _only("output_text"), "text": _STRING, "annotations": _OBJECTS, "logprobs": _OBJECTS}
    ),
    "ResponseAnsweredRefusal": _open({"type": _only("refusal"), "refusal": _STRING}),
    "ResponseAnsweredReasoning": _open({"type": _only("reasoning_text"), "text": _STRING}),
    "ResponseAnsweredMessage": _open(
        {
            "type": _only("message"),
            "id": _STRING,
            "status": _STATUS,
            "role": _only("assistant"),
            "content": {"type": "array", "items": _PART},
        }
    ),
    "ResponseAnsweredThought": _open(
        {
            "type": _only("reasoning"),
            "id": _STRING,
            "status": _STATUS,
            "summary": _texts("summary_text"),
            "content": _texts("reasoning_text"),
            "encrypted_content": {**_STRING, "description": "To be sent back unchanged."},
        },
        "type",
        "id",
        "status",
        "summary",
    ),
    "ResponseAnsweredFunctionCall": _open({"type": _only("function_call"), **_CALLED, "arguments": _STRING}),
    "ResponseAnsweredCustomCall": _open({"type": _only("custom_tool_call"), **_CALLED, "input": _STRING}),
    "ResponseOutputItem": {"anyOf": [ref(name) for name in _ITEMS]},
    "ResponseAnswer": _open(
        {
            "id": _STRING,
            "object": _only("response"),
            "created_at": {"type": "integer", "description": "Unix time."},
            "status": _only("in_progress", "completed", "incomplete", "failed"),
            "completed_at": {"type": ["integer", "null"]},
            "error": _or_null(ref("ErrorDetail")),
            "incomplete_details": _or_null(_open({"reason": _only("max_output_tokens", "content_filter")})),
            "model": {**_STRING, "description": "`provider/model` that answers."},
            "output": {"type": "array", "items": ref("ResponseOutputItem")},
            "parallel_tool_calls": _BOOLEAN,
            "instructions": _SETTING,
            "metadata": FREE,
            "temperature": _SETTING,
            "text": FREE,
            "tool_choice": _SETTING,
            "tools": _OBJECTS,
            "top_p": _SETTING,
            "usage": _or_null(ref("ResponseUsage")),
        }
    ),
    "ResponseEvent": {
        "oneOf": [*(_event(f"response.{name}", members) for name, members in EVENTS.items()), _event("error", _FAILURE)]
    },
}

RESPONSE: Doc = {
    "parameters": COMPLETION["parameters"],
    "operationId": "createResponse",
    "description": "Stateless: the whole conversation is the `input`, and nothing of it is kept. With `stream: true` "
    "the answer comes as Server-Sent Events. The last one is `response.completed` or `response.incomplete`; a stream "
    "that was cut ends with `error` and `response.failed`, which say why. Comments keep the connection alive.",
    "requestBody": {"required": True, "content": {"application/json": {"schema": ref("ResponseRequest")}}},
    "responses": {
        "200": {
            "description": "The response",
            "content": {
                "application/json": {"schema": ref("ResponseAnswer")},
                "text/event-stream": {"schema": ref("ResponseEvent")},
            },
        }
    },
}

"""What flask-smorest cannot read off the views of Anthropic's dialect: their answers, their events, their errors."""

from typing import Any

from api.v1.completion_messages import FREE, Schema, ref
from api.v1.documentation import COMPLETION

Doc = dict[str, Any]

_CREDENTIAL = (
    "`x-api-key` is read here where there is no `Authorization`. Headers for versions and betas are ignored, as is "
    "the query."
)


def _json(name: str) -> Doc:
    return {"application/json": {"schema": ref(name)}}


def _described(name: str, description: str, request: str, **content: Doc) -> Doc:
    return {
        "operationId": name,
        "description": f"{description} {_CREDENTIAL}",
        "requestBody": {"required": True, "content": _json(request)},
        "responses": {"200": {"description": "The answer", "content": content}},
    }


MESSAGE: Doc = {
    "parameters": COMPLETION["parameters"],
    **_described(
        "createMessage",
        "With `stream: true` the answer comes as Server-Sent Events: `message_start`, for each block "
        "`content_block_start`, its deltas and `content_block_stop`, then `message_delta` with the usage, and "
        "`message_stop`. A stream without `message_stop` was cut; the `error` before its end says why.",
        "MessagesRequest",
        **_json("MessagesAnswer"),
        **{"text/event-stream": {"schema": ref("MessagesEvent")}},
    ),
}
COUNT_TOKENS: Doc = _described(
    "countMessageTokens",
    "An estimate, made here: no provider is asked, nothing is billed.",
    "MessagesCountRequest",
    **_json("MessagesCount"),
)

_COUNT: Schema = {"type": "integer", "minimum": 0}
_INDEX: Schema = {"index": _COUNT}
_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
_STOPPED: Schema = {
    "stop_reason": {"type": ["string", "null"], "description": "`end_turn`, `max_tokens`, `stop_sequence`, …"},
    "stop_sequence": {"type": ["string", "null"]},
}
_TYPES = (
    *("invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error"),
    *("request_too_large", "rate_limit_error", "timeout_error", "overloaded_error", "api_error"),
)


def _object(properties: Schema, *optional: str) -> Schema:
    """May grow within v1."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _only(name: str) -> Schema:
    return {"type": "string", "enum": [name]}


def _event(name: str, **members: Schema) -> Schema:
    payload = _object({"type": _only(name), **members})
    text = {"type": "string", "contentMediaType": "application/json", "contentSchema": payload}
    return _object({"event": _only(name), "data": text})


_EVENTS: dict[str, Schema] = {
    "message_start": _event("message_start", message=ref("MessagesStart")),
    "content_block_start": _event("content_block_start", **_INDEX, content_block=ref("MessagesAnswerBlock")),
    "content_block_delta": _event("content_block_delta", **_INDEX, delta=ref("MessagesDelta")),
    "content_block_stop": _event("content_block_stop", **_INDEX),
    "message_delta": _event("message_delta", delta=_object(_STOPPED), usage=ref("MessagesUsage")),
    "message_stop": _event("message_stop"),
    "ping": _event("ping"),
    "error": _event("error", error=ref("MessagesErrorDetail"), request_id={"type": "string"}),
}


def _words(name: str) -> str:
    return "".join(word.title() for word in name.split("_"))


_HEAD: Schema = {
    "id": {"type": "string"},
    "type": _only("message"),
    "role": _only("assistant"),
    "model": {"type": "string", "description": "`provider/model` that answered."},
    "content": {"type": "array", "items": ref("MessagesAnswerBlock")},
    **_STOPPED,
}

MESSAGES_ANSWER_SCHEMAS: dict[str, Schema] = {
    "MessagesUsage": _object(
        {
            **dict.fromkeys(_COUNTS, _COUNT),
            "output_tokens_details": _object({"thinking_tokens": _COUNT}),
            "cost": {"type": ["number", "null"], "description": "Null when the model's price is not known."},
            "source": {"type": "string", "enum": ["provider", "estimated", "none"], "description": "Who counted."},
        }
    ),
    "MessagesAnswerBlock": {
        "type": "object",
        "oneOf": [
            _object({"type": _only("text"), "text": {"type": "string"}}),
            _object({"type": _only("thinking"), "thinking": {"type": "string"}, "signature": {"type": "string"}}),
            _object({"type": _only("redacted_thinking"), "data": {"type": "string"}}),
            ref("MessagesAnswerCall"),
        ],
    },
    "MessagesAnswerCall": _object(
        {"type": _only("tool_use"), "id": {"type": "string"}, "name": {"type": "string"}, "input": FREE}
    ),
    "MessagesDelta": {
        "type": "object",
        "oneOf": [
            _object({"type": _only(f"{kind}_delta"), member: {"type": "string"}})
            for kind, member in (
                ("text", "text"),
                ("thinking", "thinking"),
                ("signature", "signature"),
                ("input_json", "partial_json"),
            )
        ],
    },
    "MessagesAnswer": _object({**_HEAD, "usage": ref("MessagesUsage")}),
    "MessagesStart": _object(
        {**_HEAD, "usage": {**_object(dict.fromkeys(_COUNTS, _COUNT)), "description": "Zeros: nobody has counted yet."}}
    ),
    **{f"Messages{_words(name)}Event": schema for name, schema in _EVENTS.items()},
    "MessagesEvent": {"oneOf": [ref(f"Messages{_words(name)}Event") for name in _EVENTS]},
    "MessagesCount": _object({"input_tokens": _COUNT}),
    "MessagesErrorDetail": _object(
        {
            "type": {"type": "string", "enum": list(_TYPES)},
            "message": {"type": "string"},
            "code": {"type": "string", "description": "What to compare, as on all routes."},
            "param": {"type": ["string", "null"]},
            "retryable": {"type": "boolean"},
            "provider": {"type": ["string", "null"]},
            "details": _object({"error_code": _only("thread_unsupported_request")}),
        },
        "details",
    ),
    "MessagesError": _object(
        {"type": _only("error"), "error": ref("MessagesErrorDetail"), "request_id": {"type": "string"}}
    ),
}

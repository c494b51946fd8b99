"""What flask-smorest cannot read off the code of a view: bodies and streams that are written by hand."""

from typing import Any

from api.v1.completion_messages import FREE, Schema, ref
from domain.idempotency import HEADER, KEY_PATTERN

Doc = dict[str, Any]

NO_CONTENT: Doc = {"responses": {"204": {"description": "Done; there is nothing to say."}}}
_LINES: Schema = {
    "type": "string",
    "contentMediaType": "application/x-ndjson",
    "contentSchema": ref("AuditLine"),
    "description": "The schema is that of each line.",
}
AUDIT_EXPORT: Doc = {
    "operationId": "adminExportAudit",
    "description": "Each line is an entry. An export that was cut ends with a line that holds an error.",
    "responses": {
        "200": {
            "description": "JSON lines",
            "content": {"application/x-ndjson": {"schema": _LINES}},
        }
    },
}
OIDC_START: Doc = {
    "operationId": "startOidc",
    "responses": {"302": {"description": "To the identity provider, with a cookie that it must come back with"}},
}
OIDC_CALLBACK: Doc = {
    "operationId": "finishOidc",
    "description": "What fails is told to the login page, as `#error=<code>`.",
    "parameters": [
        {"in": "query", "name": name, "required": False, "schema": {"type": "string"}} for name in ("state", "code")
    ],
    "responses": {"303": {"description": "To the start page, with the cookie of a login, or back to the login page"}},
}
MODEL_PATH: Doc = {
    "in": "path",
    "name": "model_id",
    "required": True,
    "description": "`provider/model`; the name may contain slashes.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}
_ONCE: Doc = {
    "parameters": [
        {
            "in": "header",
            "name": HEADER,
            "required": False,
            "description": "The request is executed once, however often it is sent with this key: a repeat gets the "
            "answer of the first, with `Idempotency-Replayed: true`. Kept for 24 hours.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": KEY_PATTERN},
        }
    ]
}


def or_conflict(description: str, done: Doc | None = None) -> Doc:
    """`done` with a 409 beside it."""
    told = {"description": description, "content": {"application/json": _json("Error")}}
    return {"responses": {**(done or {}).get("responses", {}), "409": told}}


def _json(name: str) -> Doc:
    return {"schema": ref(name)}


def _answer(description: str, **content: Doc) -> Doc:
    return {"200": {"description": description, "content": content}}


_WHOLE = {"application/json": _json("ChatAnswer")}
_STREAMED = {"text/event-stream": _json("ChatEvent"), "application/x-ndjson": _json("ChatLine")}

COMPLETION: Doc = {
    **_ONCE,
    "operationId": "createChatCompletion",
    "description": "With `stream: true` the answer comes as Server-Sent Events whose `data` are chunks, the last one "
    "with the usage, and then `[DONE]`. A stream without `[DONE]` was cut; the chunk before its end says why.",
    "requestBody": {"required": True, "content": {"application/json": _json("ChatCompletionRequest")}},
    "responses": _answer(
        "The answer", **{"application/json": _json("ChatCompletion"), "text/event-stream": _json("ChatCompletionEvent")}
    ),
}
CHAT: Doc = {
    **_ONCE,
    "operationId": "sendMessage",
    "responses": _answer("The answer; with `stream: true` a stream of it", **_WHOLE, **_STREAMED),
}
CHAT_STREAM: Doc = {
    **_ONCE,
    "operationId": "streamMessage",
    "description": "Server-Sent Events: `start`, then `delta` …, then `end`; when the answer was cut, an `error` "
    "instead of `end`. With `Accept: application/x-ndjson` the same as JSON lines. Comments and empty texts keep the "
    "connection alive.",
    "responses": _answer("The answer while it is written", **_STREAMED),
}
EXPORT: Doc = {
    "operationId": "exportSession",
    "responses": _answer(
        "A file", **{"application/json": _json("Export"), "text/markdown": {"schema": {"type": "string"}}}
    ),
}

_COUNT = {"type": "integer", "minimum": 0}
_NAMED: Schema = {
    "id": {"type": "string", "description": "The request id."},
    "created": {"type": "integer", "description": "Unix time."},
    "model": {"type": "string", "description": "`provider/model` that answered."},
    "system_fingerprint": {"type": "string"},
    "service_tier": {"type": "string"},
}


def _open(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _event(name: str, payload: Schema) -> Schema:
    return _open({"event": {"type": "string", "enum": [name]}, "data": _encoded(payload)}, "event", "data")


def _encoded(schema: Schema) -> Schema:
    """The `data` of an event is text that holds JSON."""
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}


ANSWER_SCHEMAS: dict[str, Schema] = {
    "CompletionUsage": _open(
        {
            "prompt_tokens": _COUNT,
            "completion_tokens": _COUNT,
            "total_tokens": _COUNT,
            "prompt_tokens_details": _open(
                {"cached_tokens": _COUNT, "cache_write_tokens": _COUNT}, "cached_tokens", "cache_write_tokens"
            ),
            "completion_tokens_details": _open({"reasoning_tokens": _COUNT}, "reasoning_tokens"),
            "cost": {"type": ["number", "null"], "description": "Null when the model's price is not known."},
            "source": {"type": "string", "enum": ["provider", "estimated", "none"], "description": "Who counted."},
        },
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cost",
        "source",
    ),
    "ChatCompletion": _open(
        {
            **_NAMED,
            "object": {"type": "string", "enum": ["chat.completion"]},
            "choices": {"type": "array", "items": FREE, "description": "As the provider made them, in OpenAI's shape."},
            "usage": ref("CompletionUsage"),
        },
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
    ),
    "ChatCompletionChunk": _open(
        {
            **_NAMED,
            "object": {"type": "string", "enum": ["chat.completion.chunk"]},
            "choices": {"type": "array", "items": FREE},
            "usage": {"anyOf": [ref("CompletionUsage"), {"type": "null"}]},
            "error": ref("ErrorDetail"),
        },
        "id",
        "object",
        "created",
        "model",
        "choices",
    ),
    "ChatCompletionEvent": _open(
        {
            "data": {
                **_encoded({"anyOf": [ref("ChatCompletionChunk"), ref("Error")]}),
                "description": "A chunk, or `[DONE]` at the very end. A cut is told in a chunk and then alone.",
            }
        },
        "data",
    ),
    "ChatStart": _open(
        {
            "id": {"type": "string", "description": "Of the message that is being written."},
            "request_id": {"type": "string"},
            "session_id": {"type": "string"},
            "model": {"type": "string"},
        },
        "id",
        "request_id",
        "session_id",
        "model",
    ),
    "ChatDelta": _open({"text": {"type": "string"}}, "text"),
    "ChatEvent": {
        "oneOf": [ref("ChatStartEvent"), ref("ChatDeltaEvent"), ref("ChatEndEvent"), ref("ChatErrorEvent")],
    },
    "ChatStartEvent": _event("start", ref("ChatStart")),
    "ChatDeltaEvent": _event("delta", ref("ChatDelta")),
    "ChatEndEvent": _event("end", ref("ChatAnswer")),
    "ChatErrorEvent": _event("error", ref("Error")),
    "ChatLine": {"anyOf": [ref("ChatDelta"), ref("ChatAnswer"), ref("Error")]},
    "AuditLine": {"anyOf": [ref("AuditEntry"), ref("Error")]},
}

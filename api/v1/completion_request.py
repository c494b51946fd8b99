"""The request of a chat completion: OpenAI's documented parameters, checked; the rest is refused or the provider's."""

import re
from dataclasses import dataclass
from typing import Any

from api.shapes import Compiler, Mismatch
from api.v1.completion_messages import (
    FREE,
    MESSAGE_SCHEMAS,
    Schema,
    array,
    closed,
    nullable,
    only,
    ref,
    sent_back,
    tagged,
    text,
)
from application.completions import CompletionOrder
from domain.completion import JsonObject
from domain.errors import InvalidRequest, TooManyMessages, UnknownField

MESSAGES = 2_000
MODEL = text(200, 1, pattern="^[!-~]+$", description="`provider/model`, or a bare name that one provider lists.")

_BOOLEAN: Schema = {"type": "boolean"}
_NAME = text(128, 1)
_LONG = text(100_000)


def _number(least: float, most: float) -> Schema:
    return {"type": "number", "minimum": least, "maximum": most}


def _integer(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


_PARAMETERS: dict[str, Schema] = {
    "models": array(MODEL, 8),
    "audio": ref("AudioOptions"),
    "frequency_penalty": _number(-2, 2),
    "function_call": {"anyOf": [only("none", "auto"), ref("FunctionName")]},
    "functions": array(ref("FunctionDefinition"), 512, 1),
    "logit_bias": {"type": "object", "additionalProperties": _number(-100, 100)},
    "logprobs": _BOOLEAN,
    "max_completion_tokens": _integer(1, 10_000_000),
    "max_tokens": _integer(1, 10_000_000),
    "metadata": {"type": "object", "additionalProperties": text(512)},
    "modalities": array(text(16), 4, 1),
    "moderation": ref("ModerationOptions"),
    "n": _integer(1, 8),
    "parallel_tool_calls": _BOOLEAN,
    "prediction": ref("Prediction"),
    "presence_penalty": _number(-2, 2),
    "prompt_cache_key": text(512),
    "prompt_cache_options": ref("CacheOptions"),
    "prompt_cache_retention": text(16),
    "reasoning_effort": text(16, description="What the provider documents: `none`, `low`, `high` …"),
    "response_format": tagged(
        "type", {"text": "TextFormat", "json_object": "JsonObjectFormat", "json_schema": "JsonSchemaFormat"}
    ),
    "safety_identifier": text(512),
    "seed": {"type": "integer"},
    "service_tier": text(16),
    "stop": {"anyOf": [text(1_000), array(text(1_000), 16)]},
    "store": _BOOLEAN,
    "stream": _BOOLEAN,
    "stream_options": ref("StreamOptions"),
    "temperature": _number(0, 2),
    "tool_choice": {
        "anyOf": [
            only("none", "auto", "required"),
            tagged("type", {"function": "FunctionChoice", "custom": "CustomChoice", "allowed_tools": "AllowedChoice"}),
        ]
    },
    "tools": array(tagged("type", {"function": "FunctionTool", "custom": "CustomTool"}), 512),
    "top_logprobs": _integer(0, 20),
    "top_p": _number(0, 1),
    "user": text(512),
    "verbosity": text(16),
    "web_search_options": ref("WebSearchOptions"),
}

_OPTION_SCHEMAS: dict[str, Schema] = {
    "Voice": closed({"id": text(64)}, "id"),
    "AudioOptions": closed({"format": text(16), "voice": {"anyOf": [text(64), ref("Voice")]}}, "format", "voice"),
    "CacheOptions": closed({"mode": text(16), "ttl": text(8)}),
    "ModerationOptions": closed({"model": text(200), "policy": nullable(FREE)}, "model"),
    "Prediction": closed(
        {"type": only("content"), "content": {"anyOf": [text(200_000), array(ref("TextPart"), 1_000, 1)]}},
        "type",
        "content",
    ),
    "StreamOptions": closed({"include_usage": _BOOLEAN, "include_obfuscation": _BOOLEAN}),
    "Place": closed({"city": text(100), "country": text(100), "region": text(100), "timezone": text(100)}),
    "UserLocation": closed({"type": only("approximate"), "approximate": ref("Place")}, "type", "approximate"),
    "WebSearchOptions": closed({"search_context_size": text(16), "user_location": nullable(ref("UserLocation"))}),
}

_TOOL_SCHEMAS: dict[str, Schema] = {
    "FunctionName": closed({"name": _NAME}, "name"),
    "FunctionDefinition": closed(
        {"name": _NAME, "description": nullable(_LONG), "parameters": nullable(FREE), "strict": nullable(_BOOLEAN)},
        "name",
    ),
    "FunctionTool": closed({"type": only("function"), "function": ref("FunctionDefinition")}, "type", "function"),
    "Grammar": closed({"definition": _LONG, "syntax": text(16)}, "definition", "syntax"),
    "GrammarFormat": closed({"type": only("grammar"), "grammar": ref("Grammar")}, "type", "grammar"),
    "CustomDefinition": closed(
        {
            "name": _NAME,
            "description": nullable(_LONG),
            "format": tagged("type", {"text": "TextFormat", "grammar": "GrammarFormat"}),
        },
        "name",
    ),
    "CustomTool": closed({"type": only("custom"), "custom": ref("CustomDefinition")}, "type", "custom"),
    "FunctionChoice": closed({"type": only("function"), "function": ref("FunctionName")}, "type", "function"),
    "CustomChoice": closed({"type": only("custom"), "custom": ref("FunctionName")}, "type", "custom"),
    "AllowedTools": closed({"mode": only("auto", "required"), "tools": array(FREE, 512)}, "mode", "tools"),
    "AllowedChoice": closed(
        {"type": only("allowed_tools"), "allowed_tools": ref("AllowedTools")}, "type", "allowed_tools"
    ),
}

_FORMAT_SCHEMAS: dict[str, Schema] = {
    "TextFormat": closed({"type": only("text")}, "type"),
    "JsonObjectFormat": closed({"type": only("json_object")}, "type"),
    "JsonSchema": closed(
        {"name": _NAME, "description": nullable(_LONG), "schema": nullable(FREE), "strict": nullable(_BOOLEAN)},
        "name",
    ),
    "JsonSchemaFormat": closed({"type": only("json_schema"), "json_schema": ref("JsonSchema")}, "type", "json_schema"),
}

COMPLETION_SCHEMAS: dict[str, Schema] = {
    **MESSAGE_SCHEMAS,
    **_OPTION_SCHEMAS,
    **_TOOL_SCHEMAS,
    **_FORMAT_SCHEMAS,
    "ChatCompletionRequest": closed(
        {
            "model": MODEL,
            "messages": array(ref("ChatMessage"), MESSAGES, 1),
            **{name: nullable(schema) for name, schema in _PARAMETERS.items()},
        },
        "model",
        "messages",
        description="OpenAI's documented parameters. Parameters that only the provider of the model documents are "
        "accepted as well; what it does not document is refused by name.",
    ),
}

_REFUSED = re.compile(
    r"(api(base|version|type|keys?)|userconfig|customhost|customllmprovider|modellist|organization|project"
    r"|extra\w*|litellm\w*|(aws|azure|vertex|gcp)\w+"
    r"|\w*(url|urls|uri|host|hostname|endpoint|headers?|callbacks?|webhooks?|prox(y|ies)"
    r"|secret|password|credentials?|apikey|authorization|(access|auth|bearer|session|ad)token))"
)
"""Destinations, credentials and callbacks under any of their names, written without `_` and `-` in lower case."""

_REQUIRED = ("model", "messages")
_NOT_OPTIONS = frozenset({"model", "models", "messages", "stream", "stream_options"})
_compiler = Compiler(COMPLETION_SCHEMAS)
_CHECKS = {
    name: _compiler.check(schema)
    for name, schema in {**_PARAMETERS, "model": MODEL, "messages": array(ref("ChatMessage"), MESSAGES, 1)}.items()
}


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """The order has the parameters that were given a value; `usage` is `stream_options.include_usage` if given."""

    order: CompletionOrder
    streamed: bool
    usage: bool | None


def completion_request(body: Any) -> CompletionRequest:
    """Raises UnknownField, TooManyMessages or InvalidRequest with the path of the field. A null is not given at all."""
    if type(body) is not dict:
        raise InvalidRequest("The body must be a JSON object.")
    messages = body.get("messages")
    if type(messages) is list and len(messages) > MESSAGES:
        raise TooManyMessages(param="messages")
    for name in _REQUIRED:
        if name not in body:
            raise InvalidRequest(f"{name}: is required.", param=name)
    options = _options(body)
    usage = (body.get("stream_options") or {}).get("include_usage")
    models = tuple(dict.fromkeys([body["model"], *(body.get("models") or ())]))
    order = CompletionOrder(models, sent_back(body["messages"]), options)
    return CompletionRequest(order, bool(body.get("stream")), usage)


def _options(body: JsonObject) -> dict[str, Any]:
    """Check every field; returns those that go on to the provider."""
    options = {}
    for name, value in body.items():
        check = _CHECKS.get(name)
        if check is None:
            refuse_routing(name, value)
        elif value is not None or name in _REQUIRED:
            try:
                check(value)
            except Mismatch as mismatch:
                raise mismatch.under(name).refusal() from None
        if value is not None and name not in _NOT_OPTIONS:
            options[name] = value
    return options


def refuse_routing(name: str, value: Any, path: str = "") -> None:
    """Where a request goes, with which credential, and whom it tells about it is never the client's to choose."""
    here = f"{path}.{name}" if path else name
    if _REFUSED.fullmatch(name.replace("_", "").replace("-", "").lower()):
        raise UnknownField(f"{here[:200]}: is not accepted here.", param=here[:200])
    members = value if isinstance(value, list) else [value]
    for member in members:
        if isinstance(member, dict):
            for inner, deeper in member.items():
                refuse_routing(inner, deeper, here)

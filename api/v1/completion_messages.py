"""The messages of a chat completion: who may say what, by role. JSON Schemas, for the document and for the checks."""

from collections.abc import Mapping
from typing import Any

from domain.completion import JsonObject

Schema = dict[str, Any]

TEXT_LENGTH = 200_000
"""Characters of text in one message."""

FREE: Schema = {"type": "object", "additionalProperties": True}


def closed(properties: Schema, *required: str, **more: Any) -> Schema:
    """An object that has these members and no others."""
    schema = {"type": "object", "properties": properties, "additionalProperties": False, **more}
    return {**schema, "required": list(required)} if required else schema


def text(most: int, least: int = 0, **more: Any) -> Schema:
    return {"type": "string", "maxLength": most, **({"minLength": least} if least else {}), **more}


def only(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def array(items: Schema, most: int, least: int = 0) -> Schema:
    return {"type": "array", "items": items, "maxItems": most, **({"minItems": least} if least else {})}


def nullable(schema: Schema) -> Schema:
    # Generators of clients make names of an enum's values; one of a boolean may stand alone only.
    if "type" in schema and "oneOf" not in schema and (schema["type"] != "boolean" or "enum" not in schema):
        nothing = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
        return {**schema, "type": [schema["type"], "null"], **nothing}
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def tagged(tag: str, branches: dict[str, str]) -> Schema:
    """One of several named objects, told apart by the member `tag`."""
    mapping = {value: f"#/components/schemas/{name}" for value, name in branches.items()}
    return {
        "type": "object",
        "oneOf": [ref(name) for name in dict.fromkeys(branches.values())],
        "discriminator": {"propertyName": tag, "mapping": mapping},
    }


_TEXT = text(TEXT_LENGTH)
_NAME = text(128, 1)
_ENCODED = text(25_000_000)
_URL = {**text(25_000_000, 1), "pattern": "^(data:|https?://)"}
_CACHING = {"cache_control": ref("CacheControl"), "prompt_cache_breakpoint": ref("CacheBreakpoint")}


def _part(kind: str, content: Schema) -> Schema:
    return closed({"type": only(kind), kind: content, **_CACHING}, "type", kind)


def _content(part: str) -> Schema:
    return {"anyOf": [_TEXT, array(ref(part), 1_000, 1)]}


def _message(content: Schema | None, *required: str, roles: tuple[str, ...], **members: Schema) -> Schema:
    properties = {"role": only(*roles), **({"content": content} if content else {}), "name": nullable(_NAME)}
    return closed({**properties, **members}, "role", *required)


_FUNCTION = {"name": _NAME, "arguments": text(1_000_000)}
_DROPPED: Schema = {"description": "Of an answer that is sent back, partly OpenAI's SDKs' own. Not passed on."}
_CALL = {"id": text(256), "index": {"type": "integer", "minimum": 0}}

MESSAGE_SCHEMAS: dict[str, Schema] = {
    "CacheControl": closed({"type": only("ephemeral"), "ttl": text(8)}, "type"),
    "CacheBreakpoint": closed({"mode": only("explicit"), "ttl": text(8)}, "mode"),
    "ImageUrl": closed({"url": _URL, "detail": text(16)}, "url"),
    "VideoUrl": closed({"url": _URL}, "url"),
    "InputAudio": closed({"data": _ENCODED, "format": text(16)}, "data", "format"),
    "InputFile": closed({"file_data": _ENCODED, "filename": text(255)}, "file_data"),
    "TextPart": _part("text", _TEXT),
    "RefusalPart": _part("refusal", _TEXT),
    "ImagePart": _part("image_url", ref("ImageUrl")),
    "AudioPart": _part("input_audio", ref("InputAudio")),
    "VideoPart": _part("video_url", ref("VideoUrl")),
    "FilePart": _part("file", ref("InputFile")),
    "UserPart": tagged(
        "type",
        {
            "text": "TextPart",
            "image_url": "ImagePart",
            "input_audio": "AudioPart",
            "video_url": "VideoPart",
            "file": "FilePart",
        },
    ),
    "AssistantPart": tagged("type", {"text": "TextPart", "refusal": "RefusalPart"}),
    "FunctionCall": closed(_FUNCTION, "name", "arguments"),
    "CalledFunction": closed({**_FUNCTION, "parsed_arguments": _DROPPED}, "name", "arguments"),
    "CustomCall": closed({"name": _NAME, "input": text(1_000_000)}, "name", "input"),
    "FunctionToolCall": closed(
        {**_CALL, "type": only("function"), "function": ref("CalledFunction")}, "id", "type", "function"
    ),
    "CustomToolCall": closed({**_CALL, "type": only("custom"), "custom": ref("CustomCall")}, "id", "type", "custom"),
    "ToolCall": tagged("type", {"function": "FunctionToolCall", "custom": "CustomToolCall"}),
    "SystemMessage": _message(_content("TextPart"), "content", roles=("system", "developer")),
    "UserMessage": _message(_content("UserPart"), "content", roles=("user",)),
    "AssistantMessage": _message(
        nullable(_content("AssistantPart")),
        roles=("assistant",),
        refusal=nullable(_TEXT),
        tool_calls=nullable(array(ref("ToolCall"), 512)),
        function_call=nullable(ref("FunctionCall")),
        audio=nullable({**FREE, "properties": {"id": text(256)}}),
        annotations=nullable(array(FREE, 1_000)),
        reasoning_content=nullable(_TEXT),
        reasoning=nullable(_TEXT),
        reasoning_details=nullable(array(FREE, 1_000)),
        prefix=nullable({"type": "boolean"}),
        partial=nullable({"type": "boolean"}),
        images=_DROPPED,
        parsed=_DROPPED,
    ),
    "ToolMessage": _message(_content("TextPart"), "content", "tool_call_id", roles=("tool",), tool_call_id=text(256)),
    "FunctionMessage": _message(nullable(_TEXT), "content", "name", roles=("function",)),
    "ChatMessage": tagged(
        "role",
        {
            "system": "SystemMessage",
            "developer": "SystemMessage",
            "user": "UserMessage",
            "assistant": "AssistantMessage",
            "tool": "ToolMessage",
            "function": "FunctionMessage",
        },
    ),
}


def sent_back(messages: list[JsonObject]) -> list[JsonObject]:
    """`messages`, which have been checked, without what is only in answers. The given ones stay as they are."""
    return [_plain(message) for message in messages] if any(map(_is_enriched, messages)) else messages


_ENRICHMENTS = frozenset({"images", "parsed", "parsed_arguments"})


def _is_enriched(message: JsonObject) -> bool:
    if "parsed" in message or "images" in message:
        return True
    return any("parsed_arguments" in call.get("function", ()) for call in message.get("tool_calls") or ())


def _plain(message: JsonObject) -> JsonObject:
    plain = _without(message)
    if plain.get("tool_calls"):
        plain["tool_calls"] = [
            {**call, "function": _without(call["function"])} if "function" in call else call
            for call in plain["tool_calls"]
        ]
    return plain


def _without(holder: Mapping[str, Any]) -> JsonObject:
    return {name: value for name, value in holder.items() if name not in _ENRICHMENTS}

"""Whole answers in Anthropic's dialect, and what they share with its streams."""

from typing import Any

import orjson

from api.v1.bodies import money
from api.v1.messages_conversion import CARRIER
from application.completions import CompletionAnswer
from domain.completion import JsonObject
from domain.members import object_of, objects_of, text_of
from domain.usage import Usage

_STOP_REASONS = {
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_DEPTH = 26
"""Levels of an input: a request may have 32, and six of them are around the input that comes back in it."""
UNREADABLE = "invalid_json"
"""The member that holds what a model wrote as the input of a tool where that is no JSON object: the tool refuses it
then, and the model is told what it wrote."""


def message_body(answer: CompletionAnswer) -> dict[str, Any]:
    choice = answer.completion.choices[0]
    message, marker = choice["message"], choice.get("stop_sequence")
    content = _content(message, answer.request_id)
    called = any(block["type"] == "tool_use" for block in content)
    return {
        **message_head(answer.request_id, answer.model),
        "content": content,
        "stop_reason": stop_reason(
            answer.completion.finish, marker, called=called, refused=bool(message.get("refusal"))
        ),
        "stop_sequence": marker,
        "usage": message_usage(answer.usage, answer.cost),
    }


def message_head(request_id: str, model: str) -> dict[str, Any]:
    return {"id": f"msg_{own_part(request_id)}", "type": "message", "role": "assistant", "model": model}


def own_part(request_id: str) -> str:
    """What is left of an id without its prefix."""
    return request_id.partition("_")[2]


def message_usage(usage: Usage, cost: int | None) -> dict[str, Any]:
    """Anthropic's usage object, with what it cost and who counted. Its input tokens exclude those of the cache."""
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached_input,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "cost": money(cost),
        "source": usage.source,
    }


def stop_reason(finish: str, stop_sequence: object, *, called: bool, refused: bool) -> str:
    """A good end is told by what the answer has; some providers end calls of tools with `stop`."""
    if finish in _STOP_REASONS:
        return _STOP_REASONS[finish]
    if called:
        return "tool_use"
    if refused:
        return "refusal"
    return "stop_sequence" if stop_sequence is not None else "end_turn"


def signed_block(detail: JsonObject) -> JsonObject | None:
    """A block for a provider's own piece of reasoning that is whole in itself; None for kinds that are not known."""
    if detail.get("type") == "redacted_thinking":
        return {"type": "redacted_thinking", "data": text_of(detail, "data")}
    if detail.get("type") == "thought_signature":
        carried = [text_of(detail, "signature"), detail.get("tool_call_id")]
        return {"type": "redacted_thinking", "data": CARRIER + orjson.dumps(carried).decode()}
    return None


def call_id(request_id: str, position: int) -> str:
    """For a call to which its provider gave no id."""
    return f"toolu_{own_part(request_id)}_{position}"


def _content(message: JsonObject, request_id: str) -> list[JsonObject]:
    blocks = _thoughts(message)
    blocks += [{"type": "text", "text": text} for text in _texts(message) if text]
    blocks += [_tool_use(call, call_id(request_id, at)) for at, call in enumerate(objects_of(message, "tool_calls"))]
    return blocks


def _thoughts(message: JsonObject) -> list[JsonObject]:
    """Blocks that a provider signed; the bare text of its reasoning only where they do not tell it already."""
    details = [_thought(detail) for detail in objects_of(message, "reasoning_details")]
    blocks = [block for block in details if block is not None]
    text = text_of(message, "reasoning_content") or text_of(message, "reasoning")
    if text and all(block["type"] != "thinking" for block in blocks):
        blocks.insert(0, {"type": "thinking", "thinking": text, "signature": ""})
    return blocks


def _thought(detail: JsonObject) -> JsonObject | None:
    if detail.get("type") == "thinking":
        return {
            "type": "thinking",
            "thinking": text_of(detail, "thinking"),
            "signature": text_of(detail, "signature"),
        }
    return signed_block(detail)


def _texts(message: JsonObject) -> list[str]:
    content = message.get("content")
    texts = (
        [content] if isinstance(content, str) else [text_of(part, "text") for part in objects_of(message, "content")]
    )
    return [*texts, text_of(message, "refusal")]


def _tool_use(call: JsonObject, spare_id: str) -> JsonObject:
    named = object_of(call, "function")
    return {
        "type": "tool_use",
        "id": text_of(call, "id") or spare_id,
        "name": text_of(named, "name"),
        "input": _input(named.get("arguments")),
    }


def _input(arguments: object) -> JsonObject:
    if isinstance(arguments, dict):  # some write the object where its text is due
        return arguments
    text = arguments if isinstance(arguments, str) else ""
    if not text.strip():
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) and not _is_deeper(value, _DEPTH) else {UNREADABLE: text}


def _is_deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (levels == 0 or any(_is_deeper(item, levels - 1) for item in inner))

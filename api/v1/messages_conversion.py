"""Turns of Anthropic's dialect into messages of OpenAI's shape, which all providers are given.

What one turn of Anthropic's holds may be several messages of OpenAI's: each result of a tool is one of its own.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from domain.completion import JsonObject

CARRIER = "parley:thought_signature:"
"""What begins the data of a redacted block that carries a signature of Gemini's, for which Anthropic has no block."""


def canonical_messages(body: JsonObject) -> list[JsonObject]:
    """`body` has been checked."""
    messages: list[JsonObject] = []
    if body.get("system"):
        messages.append({"role": "system", "content": _text_content(body["system"])})
    for turn in body["messages"]:
        messages.extend(_TURNS[turn["role"]](turn["content"]))
    if body.get("cache_control") is not None:
        _mark_last(messages[-1], cache_control_of(body))
    return messages


def _system(content: str | list[JsonObject]) -> list[JsonObject]:
    return [{"role": "system", "content": _text_content(content)}]


def _user(content: str | list[JsonObject]) -> list[JsonObject]:
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    results = [_result(block) for block in content if block["type"] == "tool_result"]
    parts = _parts(block for block in content if block["type"] != "tool_result")
    return [*results, {"role": "user", "content": _lean(parts)}] if parts else results


def _assistant(content: str | list[JsonObject]) -> list[JsonObject]:
    if isinstance(content, str):
        return [{"role": "assistant", "content": content}]
    return [_said(blocks) for blocks in _thought_by_thought(content)]


def _thought_by_thought(content: list[JsonObject]) -> list[list[JsonObject]]:
    """A message has its reasoning before its text, so what was proven to be thought after a text begins another one.

    Calls stay together, because their results follow all of them.
    """
    runs: list[list[JsonObject]] = [[]]
    kinds: set[str] = set()
    for block in content:
        if _is_proven(block) and "text" in kinds and "tool_use" not in kinds:
            runs.append([])
            kinds.clear()
        runs[-1].append(block)
        kinds.add(block["type"])
    return runs


def _is_proven(block: JsonObject) -> bool:
    if block["type"] == "redacted_thinking":
        return not block["data"].startswith(CARRIER)
    return block["type"] == "thinking" and bool(block["signature"])


def _said(blocks: list[JsonObject]) -> JsonObject:
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    texts = _parts(block for block in blocks if block["type"] == "text")
    message: JsonObject = {"role": "assistant", "content": _lean(texts) if texts else None if calls else ""}
    if calls:
        message["tool_calls"] = calls
    return message | _reasoning([block for block in blocks if block["type"] in _THOUGHTS])


_TURNS = {"system": _system, "user": _user, "assistant": _assistant}
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})


# ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _parts(blocks: Iterable[JsonObject]) -> list[JsonObject]:
    return [part for block in blocks for part in _marked(_PARTS[block["type"]](block), block)]


def _text(block: JsonObject) -> list[JsonObject]:
    return [_text_part(block["text"])]


def _image(block: JsonObject) -> list[JsonObject]:
    source = block["source"]
    return [{"type": "image_url", "image_url": {"url": source.get("url") or _inlined(source)}}]


def _document(block: JsonObject) -> list[JsonObject]:
    source, title, context = block["source"], block.get("title"), block.get("context")
    if source["type"] == "base64":
        named = {"filename": title} if title else {}
        file = {"type": "file", "file": {"file_data": _inlined(source), **named}}
        return [_text_part(context), file] if context else [file]
    head = [line for line in (title, context) if line]
    if source["type"] == "text":
        return [_text_part("\n\n".join([*head, source["data"]]))]
    inner = source["content"]
    parts = [_text_part(inner)] if isinstance(inner, str) else _parts(inner)
    return [_text_part("\n\n".join(head)), *parts] if head else parts


def _search_result(block: JsonObject) -> list[JsonObject]:
    texts = (inner["text"] for inner in block["content"])
    return [_text_part("\n\n".join([block["title"], block["source"], *texts]))]


_PARTS = {"text": _text, "image": _image, "document": _document, "search_result": _search_result}


def _result(block: JsonObject) -> JsonObject:
    content = block.get("content") or ""
    parts = [_text_part(content)] if isinstance(content, str) and content else _parts(content)
    failed = {"is_error": True} if block.get("is_error") else {}
    return {
        "role": "tool",
        "tool_call_id": block["tool_use_id"],
        "content": _lean(_marked(parts, block)) if parts else "",
        **failed,
    }


def _call(block: JsonObject) -> JsonObject:
    arguments = orjson.dumps(block["input"]).decode()
    call = {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}
    return call if block.get("cache_control") is None else {**call, "cache_control": cache_control_of(block)}


def _reasoning(blocks: list[JsonObject]) -> JsonObject:
    """Blocks that a provider signed go back to it as they are; text that nobody signed is anybody's."""
    if all(block["type"] == "thinking" and not block["signature"] for block in blocks):
        text = "\n\n".join(block["thinking"] for block in blocks)
        return {"reasoning_content": text} if text else {}
    return {"reasoning_details": [_detail(block) for block in blocks]}


def _detail(block: JsonObject) -> JsonObject:
    if block["type"] == "redacted_thinking" and block["data"].startswith(CARRIER):
        return _carried(block["data"][len(CARRIER) :]) or dict(block)
    return dict(block)


def _carried(text: str) -> JsonObject | None:
    """None for what was not made here."""
    try:
        carried = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    match carried:
        case [str(signature), None]:
            return {"type": "thought_signature", "signature": signature}
        case [str(signature), str(call_id)]:
            return {"type": "thought_signature", "signature": signature, "tool_call_id": call_id}
    return None


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _text_content(content: str | list[JsonObject]) -> str | list[JsonObject]:
    return content if isinstance(content, str) else _lean(_parts(content))


def _text_part(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _inlined(source: JsonObject) -> str:
    return f"data:{source['media_type']};base64,{source['data']}"


def _lean(parts: list[JsonObject]) -> str | list[JsonObject]:
    """A single text may be a string, and some providers accept nothing else."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        text: str = parts[0]["text"]
        return text
    return parts


def _marked(parts: list[JsonObject], block: JsonObject) -> list[JsonObject]:
    """A block that is the end of what is to be cached ends with its last part."""
    if parts and block.get("cache_control") is not None:
        parts[-1].setdefault("cache_control", cache_control_of(block))
    return parts


def _mark_last(message: JsonObject, cache_control: JsonObject) -> None:
    """The marker of a whole request belongs to its last block that can be cached."""
    content = message["content"]
    if message.get("tool_calls"):
        message["tool_calls"][-1].setdefault("cache_control", cache_control)
    elif isinstance(content, list):
        content[-1].setdefault("cache_control", cache_control)
    elif content:
        message["content"] = [{**_text_part(content), "cache_control": cache_control}]


def cache_control_of(holder: JsonObject) -> dict[str, Any]:
    """The marker of a block or a tool; for whom it is cached is not the client's to choose."""
    return {name: value for name, value in holder["cache_control"].items() if name != "scope"}

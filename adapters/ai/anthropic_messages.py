"""Messages of OpenAI's shape as Anthropic's system prompt and turns."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapters.ai.conversation import (
    Call,
    Part,
    calls_of,
    details_of,
    file_of,
    inline,
    parts_of,
    texts_of,
    unsupported,
    url_of,
)
from domain.completion import JsonObject
from domain.errors import InvalidRequest
from domain.members import text_of
from domain.texts import is_textless

_PICTURES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
_FOREIGN = re.compile(r"[^A-Za-z0-9-]")
_SYSTEM = frozenset({"system", "developer"})


def system_of(messages: Iterable[Mapping[str, Any]]) -> list[JsonObject]:
    """The texts of all system messages, wherever they stand: Anthropic has one place for them."""
    system = [(at, message) for at, message in enumerate(messages) if message.get("role") in _SYSTEM]
    return [_text(part) for at, message in system for part in texts_of(message, f"messages.{at}")]


def turns_of(messages: Iterable[Mapping[str, Any]]) -> list[JsonObject]:
    """Turns of `user` and `assistant`, each merged from all messages in a row that are its.

    A turn without anything in it is left out. Raises UnsupportedParameter or InvalidRequest with the path of what has
    no place in them.
    """
    turns: list[JsonObject] = []
    for at, message in enumerate(messages):
        if message.get("role") in _SYSTEM:
            continue
        role, blocks = _turn(message, f"messages.{at}")
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise InvalidRequest("messages: this provider needs a message that is not of the system.", param="messages")
    return [{**turn, "content": _results_first(turn["content"])} for turn in turns]


def _results_first(blocks: Sequence[JsonObject]) -> list[JsonObject]:
    """The results of tools come before everything else of their turn, as Anthropic demands."""
    return sorted(blocks, key=lambda block: block["type"] != "tool_result")


def marked(block: JsonObject, source: Mapping[str, Any]) -> JsonObject:
    """`block` with the marker of what is to be cached, where `source` has one."""
    marker = source.get("cache_control")
    return {**block, "cache_control": marker} if isinstance(marker, dict) else block


def _turn(message: Mapping[str, Any], path: str) -> tuple[str, list[JsonObject]]:
    role = message.get("role")
    if role == "assistant":
        return "assistant", _assistant(message, path)
    if role == "tool":
        return "user", [_result(message, path)]
    if role == "user":
        return "user", [_block(part) for part in parts_of(message, path)]
    raise unsupported(f"{path}.role", "is not supported by this provider.")


# ── what an assistant said ───────────────────────────────────────────────────────────────────────────────────────


def _assistant(message: Mapping[str, Any], path: str) -> list[JsonObject]:
    """Reasoning goes back only with the signature that proves whose it is; nobody else's is accepted."""
    if message.get("audio"):
        raise unsupported(f"{path}.audio", "is not supported by this provider.")
    thoughts = _thoughts(message)
    texts = [_text(part) for part in texts_of(message, path)]
    refusal = text_of(message, "refusal")
    if refusal.strip():
        texts.append({"type": "text", "text": refusal})
    return [*thoughts, *texts, *(_tool_use(call) for call in calls_of(message, path))]


def _thoughts(message: Mapping[str, Any]) -> list[JsonObject]:
    """A stream tells the text that a signature is for beside it, so that is where it comes back."""
    signed = [detail for detail in details_of(message, "thinking", "redacted_thinking") if _signed(detail)]
    textless = [detail for detail in signed if is_textless(detail)]
    if len(textless) == 1:
        told = {**textless[0], "thinking": text_of(message, "reasoning_content")}
        signed = [told if detail is textless[0] else detail for detail in signed]
    return [thought(detail) for detail in signed]


def _signed(detail: JsonObject) -> bool:
    return bool(text_of(detail, "signature") or text_of(detail, "data"))


def thought(detail: JsonObject) -> JsonObject:
    """A block of thinking, with what belongs to one and nothing else."""
    names = ("type", "data") if detail["type"] == "redacted_thinking" else ("type", "thinking", "signature")
    return {name: text_of(detail, name) for name in names}


def _tool_use(call: Call) -> JsonObject:
    return marked({"type": "tool_use", "id": _id(call.id), "name": call.name, "input": call.input}, call.body)


def _id(text: str) -> str:
    """Anthropic refuses ids with other characters than these, and other providers make them."""
    return _FOREIGN.sub(_escaped, text) or "_"


def _escaped(found: re.Match[str]) -> str:
    character = found.group()
    return character if character == "_" else f"_{ord(character):x}_"


# ── what a user said ─────────────────────────────────────────────────────────────────────────────────────────────


def _result(message: Mapping[str, Any], path: str) -> JsonObject:
    blocks = [_block(part) for part in parts_of(message, path)]
    result: JsonObject = {"type": "tool_result", "tool_use_id": _id(text_of(message, "tool_call_id"))}
    if blocks:
        result["content"] = blocks
    if message.get("is_error") is True:
        result["is_error"] = True
    return marked(result, message)


def _block(part: Part) -> JsonObject:
    made = _BLOCKS.get(part.kind)
    if made is None:
        raise unsupported(part.path, f"{part.kind or 'this'} is not supported by this provider.")
    return marked(made(part), part.body)


def _text(part: Part) -> JsonObject:
    return marked({"type": "text", "text": part.text}, part.body)


def _image(part: Part) -> JsonObject:
    """By its https address Anthropic fetches it, not the gateway."""
    url, path = url_of(part), f"{part.path}.image_url.url"
    if url.startswith("https://"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    picture = inline(url, path)
    if picture.media_type not in _PICTURES:
        raise unsupported(path, "this provider takes pictures in JPEG, PNG, GIF and WebP.")
    source = {"type": "base64", "media_type": picture.media_type, "data": picture.encoded}
    return {"type": "image", "source": source}


def _document(part: Part) -> JsonObject:
    file, name = file_of(part)
    titled = {"title": name} if name else {}
    if file.media_type == "application/pdf":
        source = {"type": "base64", "media_type": file.media_type, "data": file.encoded}
        return {"type": "document", "source": source, **titled}
    text = file.text if file.media_type.startswith("text/") else None
    if text is None:
        raise unsupported(f"{part.path}.file.file_data", "this provider takes PDF and text in UTF-8.")
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, **titled}


_BLOCKS = {"text": _text, "refusal": _text, "image_url": _image, "file": _document}

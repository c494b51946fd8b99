"""Messages of OpenAI's shape as Gemini's system instruction and contents."""

import mimetypes
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

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
from domain.members import object_of, text_of

UNSIGNED = "skip_thought_signature_validator"
"""What Google documents for calls that another model made, or whose signature a client lost: Gemini 3 and later refuse
calls without any. https://ai.google.dev/gemini-api/docs/thought-signatures"""

_SYSTEM = frozenset({"system", "developer"})
_YOUTUBE = frozenset({"youtube.com", "www.youtube.com", "youtu.be"})


def system_of(messages: Iterable[Mapping[str, Any]]) -> list[JsonObject]:
    """The texts of all system messages, wherever they stand: Gemini has one place for them."""
    system = [(at, message) for at, message in enumerate(messages) if message.get("role") in _SYSTEM]
    return [_text(part) for at, message in system for part in texts_of(message, f"messages.{at}")]


def contents_of(messages: Iterable[Mapping[str, Any]], *, signed: bool) -> list[JsonObject]:
    """Contents of `user` and `model`, each merged from all messages in a row that are its.

    `signed`: the model refuses calls of tools without a signature. Raises UnsupportedParameter or InvalidRequest with
    the path of what has no place in them.
    """
    contents: list[JsonObject] = []
    names: dict[str, str] = {}
    for at, message in enumerate(messages):
        if message.get("role") in _SYSTEM:
            continue
        role, parts = _content(message, f"messages.{at}", names, signed=signed)
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        elif parts:
            contents.append({"role": role, "parts": parts})
    if not contents:
        raise InvalidRequest("messages: this provider needs a message that is not of the system.", param="messages")
    return contents


def _content(
    message: Mapping[str, Any], path: str, names: dict[str, str], *, signed: bool
) -> tuple[str, list[JsonObject]]:
    """`names` are those of the functions that were called so far, by the ids of the calls."""
    role = message.get("role")
    if role == "assistant":
        calls = calls_of(message, path)
        names |= {call.id: call.name for call in calls}
        return "model", _model(message, path, calls, signed=signed)
    if role == "tool":
        return "user", [_response(message, path, names)]
    if role == "user":
        return "user", [_part(part) for part in parts_of(message, path)]
    raise unsupported(f"{path}.role", "is not supported by this provider.")


# ── what a model said ────────────────────────────────────────────────────────────────────────────────────────────


def _model(message: Mapping[str, Any], path: str, calls: list[Call], *, signed: bool) -> list[JsonObject]:
    if message.get("audio"):
        raise unsupported(f"{path}.audio", "is not supported by this provider.")
    signatures = {
        text_of(detail, "tool_call_id"): text_of(detail, "signature")
        for detail in details_of(message, "thought_signature")
        if text_of(detail, "signature")
    }
    texts = [_text(part) for part in texts_of(message, path)]
    refusal = text_of(message, "refusal")
    if refusal.strip():
        texts.append({"text": refusal})
    if "" in signatures:
        _sign(texts, signatures[""])
    made = [_call(call, signatures.get(call.id)) for call in calls]
    if signed and made:
        made[0].setdefault("thoughtSignature", UNSIGNED)
    return [*texts, *made]


def _sign(texts: list[JsonObject], signature: str) -> None:
    """It belongs to the end of the text; where there is none, a part of its own holds it."""
    if not texts:
        texts.append({"text": ""})
    texts[-1]["thoughtSignature"] = signature


def _call(call: Call, signature: str | None) -> JsonObject:
    told = {"id": call.id} if call.id else {}
    part: JsonObject = {"functionCall": {**told, "name": call.name, "args": call.input}}
    return {**part, "thoughtSignature": signature} if signature else part


# ── what a user said ─────────────────────────────────────────────────────────────────────────────────────────────


def _response(message: Mapping[str, Any], path: str, names: Mapping[str, str]) -> JsonObject:
    """Gemini wants to hear the name of the function again, which only its call knows."""
    call_id = text_of(message, "tool_call_id")
    if call_id not in names:
        raise InvalidRequest(f"{path}.tool_call_id: no call has this id.", param=f"{path}.tool_call_id")
    parts = list(parts_of(message, path))
    said = "\n\n".join(part.text for part in parts if part.kind == "text")
    media = [_part(part) for part in parts if part.kind != "text"]
    outcome = "error" if message.get("is_error") is True else "output"
    told = {"id": call_id} if call_id else {}
    response: JsonObject = {**told, "name": names[call_id], "response": {outcome: said}}
    return {"functionResponse": {**response, "parts": media} if media else response}


def _part(part: Part) -> JsonObject:
    made = _PARTS.get(part.kind)
    if made is None:
        raise unsupported(part.path, f"{part.kind or 'this'} is not supported by this provider.")
    return made(part)


def _text(part: Part) -> JsonObject:
    return {"text": part.text}


def _media(part: Part) -> JsonObject:
    """By its https address Google fetches it, not the gateway; YouTube's need no type."""
    url, path = url_of(part), f"{part.path}.{part.kind}.url"
    if not url.startswith("https://"):
        return _inline_part(url, path)
    host, name = _split(url, path)
    if part.kind == "video_url" and host in _YOUTUBE:
        return {"fileData": {"fileUri": url}}
    kind, _ = mimetypes.guess_type(name)
    if kind is None:
        raise unsupported(path, "this provider needs an address that ends as its kind of file does, or a data URL.")
    return {"fileData": {"fileUri": url, "mimeType": kind}}


def _audio(part: Part) -> JsonObject:
    audio = object_of(part.body, "input_audio")
    inline = {"mimeType": f"audio/{text_of(audio, 'format') or 'wav'}", "data": text_of(audio, "data")}
    return {"inlineData": inline}


def _file(part: Part) -> JsonObject:
    file, _ = file_of(part)
    return {"inlineData": {"mimeType": file.media_type, "data": file.encoded}}


def _inline_part(url: str, path: str) -> JsonObject:
    file = inline(url, path)
    return {"inlineData": {"mimeType": file.media_type, "data": file.encoded}}


def _split(url: str, path: str) -> tuple[str, str]:
    """Host and path. Raises InvalidRequest."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidRequest(f"{path}: is no URL.", param=path) from None
    return parts.hostname or "", parts.path


_PARTS = {
    "text": _text,
    "refusal": _text,
    "image_url": _media,
    "video_url": _media,
    "input_audio": _audio,
    "file": _file,
}

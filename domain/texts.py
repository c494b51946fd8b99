"""Where the texts are in messages and options of OpenAI's shape: everywhere, because models read all of it."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import is_
from typing import Any

from domain.completion import JsonObject
from domain.escapes import unescaped

Change = Callable[[str], str]
"""Returns the very same object for a text that stays as it is."""
Sealed = Callable[[str, Any], bool]
"""Whether the value under that name is nobody's text."""

_WORDS = """
    role content text type refusal reasoning reasoning_content reasoning_details name index id function tool_calls
    arguments system developer user assistant tool image_url url detail auto low medium high minimal xhigh max none
    required file filename file_data file_id input_audio audio data format video_url cache_control ephemeral ttl
    is_error description parameters strict custom input object string number integer boolean array null properties
    items enum const default title additionalProperties anyOf oneOf allOf not $defs $ref definitions pattern minimum
    maximum minLength maxLength minItems maxItems uniqueItems json_object json_schema schema enabled disabled adaptive
    budget_tokens thinking redacted_thinking thought_signature signature tool_call_id annotations transcript wav mp3
    flex standard priority approximate
"""
_VOCABULARY = frozenset(_WORDS.split())
"""What the shape itself consists of. Nobody says anything by it, and a rule about such a word would spoil all."""

_TEXT_FILE = re.compile(r"data:\s*text/", re.IGNORECASE)
_SEALED = frozenset({"data", "file_data", "file_id", "id", "signature", "tool_call_id"})


def rewritten(value: Any, change: Change, sealed: Sealed = lambda _name, _value: False) -> Any:
    """`value`, which is JSON, with all its texts changed, the names in it too; the same object where none is."""
    if isinstance(value, str):
        return value if value in _VOCABULARY else change(value)
    if isinstance(value, list):
        items = [rewritten(item, change, sealed) for item in value]
        return value if all(map(is_, items, value)) else items
    if isinstance(value, dict):
        made = {rewritten(name, change): _member(name, inner, change, sealed) for name, inner in value.items()}
        same = len(made) == len(value) and all(map(is_, made.values(), value.values())) and made.keys() == value.keys()
        return value if same else made
    return value


def message(given: JsonObject, change: Change) -> JsonObject:
    """A message with all its texts changed. A thought that was changed loses the signature that was made of it."""
    made: JsonObject = rewritten(given, change, _is_sealed)
    details = given.get("reasoning_details")
    if made is given or not isinstance(details, list):
        return made
    retold = made.get("reasoning_content") is not given.get("reasoning_content")
    pairs = zip(made["reasoning_details"], details, strict=True)
    kept = [new if new is old and not (retold and is_textless(old)) else unsigned(new) for new, old in pairs]
    return {**made, "reasoning_details": kept}


def is_textless(detail: Any) -> bool:
    """A signature that came alone, from a stream, is one of the text beside it."""
    return isinstance(detail, dict) and detail.get("type") == "thinking" and "thinking" not in detail


def seamless(given: JsonObject, spanned: Callable[[Sequence[str]], bool]) -> JsonObject:
    """A message with those of its neighbouring text parts as one that are `spanned`. A model reads them so anyway."""
    content = given.get("content")
    if not isinstance(content, list):
        return given
    parts: list[Any] = []
    for is_text, run in groupby(content, _is_text):
        texts = list(run)
        joined = is_text and len(texts) > 1 and spanned([part["text"] for part in texts])
        parts += [_one(texts)] if joined else texts
    return given if len(parts) == len(content) else {**given, "content": parts}


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _one(parts: Sequence[JsonObject]) -> JsonObject:
    """What stands beside the last text, such as a mark for a cache, is about all that comes before it."""
    return {**parts[-1], "text": "".join(part["text"] for part in parts)}


def _member(name: str, value: Any, change: Change, sealed: Sealed) -> Any:
    if not isinstance(value, str):
        return rewritten(value, change, sealed)
    if name == "file_data" and _TEXT_FILE.match(value):
        return _document(value, change)
    if sealed(name, value):
        return value
    return _arguments(value, change) if name == "arguments" else rewritten(value, change)


def _is_sealed(name: str, value: Any) -> bool:
    """Pictures, sounds and files are not looked at; ids and signatures mean something to programs only."""
    return name in _SEALED or (name == "url" and value.startswith("data:"))


def _arguments(text: str, change: Change) -> str:
    """JSON in a text: what is escaped in it is looked at as it reads."""
    if "\\" in text:
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            read = unescaped(text).text
            made = change(read)
            return text if made is read else made
        made = rewritten(parsed, change)
        text = text if made is parsed else json.dumps(made, ensure_ascii=False)
    return change(text)


def _document(url: str, change: Change) -> str:
    head, encoded, body = url.partition(";base64,")
    if not encoded:
        return change(url)
    try:
        text = base64.b64decode(body).decode(errors="replace")
    except binascii.Error:
        return url  # no provider can read it either
    made = change(text)
    return url if made is text else f"{head};base64,{base64.b64encode(made.encode()).decode()}"


def unsigned(detail: Any) -> Any:
    """Without the signature that was made of its words."""
    if not isinstance(detail, dict):
        return detail
    return {name: value for name, value in detail.items() if name != "signature"}

"""Messages and tools as they go to a provider of OpenAI's wire."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.ai.quirks import Quirks
from domain.completion import JsonObject

Message = Mapping[str, Any]

_REASONING, _DETAILS = "reasoning_content", "reasoning_details"
_EXTENSIONS = frozenset({_REASONING, _DETAILS, "is_error"})
_OF_ANSWERS = frozenset({"annotations", "reasoning"})
"""What only answers have, and their readers send back; `reasoning` is an older name of `reasoning_content`."""
_MARKERS = frozenset({"cache_control", "prompt_cache_breakpoint"})
"""Of what is to be cached; parts of a content, calls of tools and tools may have them."""
_INDEX = frozenset({"index"})
"""The place of a call within a stream."""
_OURS = frozenset({"redacted_thinking", "thinking", "thought_signature"})
"""Pieces of reasoning of wires that are not this one."""
_SHOWN_BELOW = {"type": "text", "text": "The user's next message shows the result."}


def spoken(messages: Sequence[Message], quirks: Quirks) -> Sequence[Message]:
    """Without what this provider does not know. The given messages stay as they are."""
    markers = _MARKERS - quirks.keeps
    unknown = (_EXTENSIONS - quirks.keeps) | _OF_ANSWERS
    sent = [_known(message, unknown, markers) for message in messages]
    if not quirks.tools_show:
        sent = _shown_by_user(sent)
    if quirks.prefill and sent and sent[-1].get("role") == "assistant" and not sent[-1].get("tool_calls"):
        sent[-1] = {**sent[-1], quirks.prefill: True}
    return sent


def offered(tools: Any, quirks: Quirks) -> Any:
    """Tools without the markers that this provider does not know."""
    return _unmarked(tools, _MARKERS - quirks.keeps)


def _shown_by_user(messages: list[Message]) -> list[Message]:
    """OpenAI takes nothing but text as a tool's result: whatever else there is follows all results of the turn."""
    sent: list[Message] = []
    waiting: list[JsonObject] = []
    for message in messages:
        shown = _images_of(message)
        if waiting and message.get("role") != "tool":
            sent.append({"role": "user", "content": waiting})
            waiting = []
        sent.append(_as_text(message) if shown else message)
        waiting += shown
    return [*sent, {"role": "user", "content": waiting}] if waiting else sent


def _images_of(message: Message) -> list[JsonObject]:
    """What a tool's result has besides text."""
    content = message.get("content")
    if type(content) is not list or message.get("role") != "tool":
        return []
    return [part for part in content if part.get("type") != "text"]


def _as_text(result: Message) -> Message:
    texts = [part for part in result["content"] if part.get("type") == "text"]
    return {**result, "content": [*texts, _SHOWN_BELOW]}


def _known(message: Message, unknown: frozenset[str], markers: frozenset[str]) -> Message:
    if message.get("role") == "assistant":
        message = _said(message, unknown, markers)
    elif not unknown.isdisjoint(message):
        message = _without(message, unknown)
    content = message.get("content")
    return message if type(content) is not list else _replaced(message, "content", _unmarked(content, markers))


def _said(message: Message, unknown: frozenset[str], markers: frozenset[str]) -> Message:
    """SDKs send an answer back with all of its members, and a null is none; but the content may have to be there."""
    told = _thought(message)
    if not unknown.isdisjoint(told) or None in told.values():
        told = {
            name: value
            for name, value in told.items()
            if name not in unknown and (value is not None or name == "content")
        }
    calls = told.get("tool_calls")
    if not calls:
        return told
    return _replaced(told, "tool_calls", _unmarked(calls, _INDEX | markers))


def _thought(message: Message) -> Message:
    """With its reasoning as text where others told it in pieces, and without pieces that are not of this wire."""
    details = message.get(_DETAILS)
    if not details and not message.get("reasoning"):
        return message
    own = [detail for detail in details or () if detail.get("type") not in _OURS]
    text = message.get(_REASONING) or message.get("reasoning") or _text_of(details or ())
    return {**_without(message, frozenset({_DETAILS})), **({_DETAILS: own} if own else {}), _REASONING: text or None}


def _text_of(details: Sequence[JsonObject]) -> str:
    texts = (detail.get("thinking") for detail in details if detail.get("type") == "thinking")
    return "".join(text for text in texts if isinstance(text, str))


def _replaced(message: Message, name: str, value: Any) -> Message:
    return message if value is message[name] else {**message, name: value}


def _unmarked(parts: Any, markers: frozenset[str]) -> Any:
    """The same list where there is nothing to leave out."""
    if all(markers.isdisjoint(part) for part in parts):
        return parts
    return [_without(part, markers) for part in parts]


def _without(part: Message, names: frozenset[str]) -> Message:
    return {name: value for name, value in part.items() if name not in names}

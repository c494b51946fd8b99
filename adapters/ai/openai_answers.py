"""What is said in answers of OpenAI's wire, whole or in pieces: brought into the canonical form, in place.

Servers add members of their own at every level of an answer. Those that neither OpenAI nor a provider of ours documents
for clients are left out, and so is what is not of its documented type: nothing goes on to a client as it came.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from adapters.ai.call_ids import CallIds
from domain.completion import JsonObject
from domain.members import object_of, text_of

_CHOICE = frozenset({"delta", "finish_reason", "index", "logprobs", "message"})
_USUAL = {"content": str, "reasoning_content": str}
"""What most pieces have and nothing else; they are looked at no further."""


def trim(choice: JsonObject) -> None:
    """Without the members that nobody documents."""
    if not _CHOICE.issuperset(choice):
        for name in choice.keys() - _CHOICE:
            del choice[name]
    if not isinstance(choice.get("logprobs"), dict | None):
        del choice["logprobs"]


def settle(said: JsonObject) -> None:
    """Bring a message, or the delta of one, into the canonical form. Its calls of tools are left to `Calls`.

    Reasoning has one name; content is text, not a list of chunks of which some are reasoning.
    """
    for name, value in said.items():
        if type(value) is not _USUAL.get(name):
            _settle(said)
            break


def _settle(said: JsonObject) -> None:
    reasoning = [text_of(said, "reasoning")]
    content = said.get("content")
    if isinstance(content, list):
        reasoning.append("".join(_texts(chunk["thinking"]) for chunk in content if _thinks(chunk)))
    for name, value in list(said.items()):
        keep = _KEPT.get(name)
        kept = keep(value) if keep else None
        if kept is not None:
            said[name] = kept
        elif value is not None or keep is None:
            del said[name]
    told = next((text for text in reasoning if text), "")
    if told and not said.get("reasoning_content"):
        said["reasoning_content"] = told


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _content(value: Any) -> str | None:
    return _texts(value) if isinstance(value, list) else _text(value)


def _role(value: Any) -> str | None:
    """Whatever a provider says: it is the assistant who answers."""
    return None if value is None else "assistant"


def _object(value: Any) -> JsonObject | None:
    return value if isinstance(value, dict) else None


def _objects(value: Any) -> list[JsonObject] | None:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else None


def _function(value: Any) -> JsonObject | None:
    if not isinstance(value, dict):
        return None
    return {**_named(value), "arguments": _arguments(value.get("arguments"))}


_KEPT: Mapping[str, Callable[[Any], Any]] = {
    "annotations": _objects,
    "audio": _object,
    "content": _content,
    "function_call": _function,
    "images": _objects,
    "reasoning_content": _text,
    "reasoning_details": _objects,
    "refusal": _text,
    "role": _role,
    "tool_calls": _objects,
}


def _thinks(chunk: Any) -> bool:
    return isinstance(chunk, dict) and isinstance(chunk.get("thinking"), list)


def _texts(chunks: list[Any]) -> str:
    texts = (chunk.get("text") for chunk in chunks if isinstance(chunk, dict))
    return "".join(text for text in texts if isinstance(text, str))


# ── calls of tools ───────────────────────────────────────────────────────────────────────────────────────────────


class Calls:
    """The calls of tools in one choice. Each gets a place and an id that no other has, whatever its provider gave.

    Some servers give all calls the same index, none, or no ids; some repeat id and name in every piece.
    """

    def __init__(self, request_id: str, choice: int, spend: Callable[[int], None]) -> None:
        """`spend` is told how many characters have arrived, and may raise."""
        self._ids = CallIds(request_id, choice)
        self._spend = spend
        self._places: dict[int | None, tuple[int, str]] = {}
        """By the provider's index: the place, and the provider's id."""
        self._last: tuple[int, str] | None = None

    def whole(self, calls: list[JsonObject]) -> list[JsonObject]:
        """Calls that came in one piece."""
        return [self._begun(call) for call in calls]

    def pieces(self, pieces: list[JsonObject]) -> list[JsonObject]:
        """Pieces that belong to no call are left out."""
        taken = (self._piece(piece) for piece in pieces)
        return [piece for piece in taken if piece is not None]

    def _piece(self, piece: JsonObject) -> JsonObject | None:
        index = piece.get("index")
        at = index if type(index) is int else None
        name, own_id = text_of(_called(piece), "name"), text_of(piece, "id")
        known = self._last if at is None and not name else self._places.get(at)
        if known is None or (name and (at is None or (own_id and own_id != known[1]))):
            if not name and not own_id:
                return None
            known = self._places[at] = self._last = (len(self._ids), own_id)
            return {"index": known[0], **self._begun(piece)}
        return {"index": known[0], **self._more(piece)}

    def _begun(self, call: JsonObject) -> JsonObject:
        called = _called(call)
        kind, written = ("custom", "input") if "custom" in call else ("function", "arguments")
        body = {**_named(called), written: _arguments(called.get(written))}
        self._spend(len(body[written]))
        return {"id": self._ids.give(text_of(call, "id")), "type": kind, kind: body}

    def _more(self, piece: JsonObject) -> JsonObject:
        kind, written = ("custom", "input") if "custom" in piece else ("function", "arguments")
        text = _arguments(_called(piece).get(written))
        self._spend(len(text))
        return {kind: {written: text}}


def _called(call: JsonObject) -> JsonObject:
    return object_of(call, "custom" if "custom" in call else "function")


def _named(called: JsonObject) -> JsonObject:
    return {"name": text_of(called, "name")}


def _arguments(value: Any) -> str:
    """Some servers write the object where its text is due."""
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return value if isinstance(value, str) else ""

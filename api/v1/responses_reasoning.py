"""The reasoning of a model on its way through a client that keeps the conversation.

OpenAI lets a client carry reasoning that it cannot read as `encrypted_content`. Ours is packed and not encrypted: it
holds nothing but what a chat completion shows as `reasoning_content` and `reasoning_details`.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass, field

import orjson

from api.json_body import parse
from domain.completion import JsonObject
from domain.errors import InvalidRequest

_OURS = "parley.1."
_TEXTS = ("text", "summary")
_BROKEN = "was changed: send it back as it came, or leave it out."


@dataclass(slots=True)
class Reasoning:
    """`text` is what the model thought, `details` the provider's own blocks, which it wants back unchanged."""

    text: str = ""
    details: list[JsonObject] = field(default_factory=list)

    @property
    def thinks(self) -> bool:
        """Whether there is more than signatures of what was said or called."""
        return bool(self.text) or any(block.get("type") != "thought_signature" for block in self.details)

    def add(self, other: "Reasoning") -> None:
        self.text += other.text
        self.details += other.details

    def message(self) -> JsonObject:
        """The members that it adds to a message of the assistant."""
        members: JsonObject = {"reasoning_content": self.text} if self.text else {}
        return {**members, "reasoning_details": self.details} if self.details else members


def reasoning_of(message: JsonObject) -> Reasoning:
    """Of a whole message, by either name of its text."""
    details = message.get("reasoning_details")
    blocks = [block for block in details if isinstance(block, dict)] if isinstance(details, list) else []
    text = message.get("reasoning_content") or message.get("reasoning")
    return Reasoning(text if isinstance(text, str) else _thoughts(blocks), blocks)


def packed(reasoning: Reasoning) -> str:
    kept: JsonObject = {"details": reasoning.details} if reasoning.details else {}
    if reasoning.text != _thoughts(reasoning.details):
        kept["text"] = reasoning.text
    return _OURS + b64encode(orjson.dumps(kept)).decode()


def unpacked(content: str, param: str) -> Reasoning | None:
    """None for what another service packed, which nobody here can read. Raises InvalidRequest for broken ones."""
    if not content.startswith(_OURS):
        return None
    try:
        kept = parse(b64decode(content[len(_OURS) :], validate=True))
    except (NotBase64, ValueError, InvalidRequest):
        raise InvalidRequest(f"{param}: {_BROKEN}", param=param) from None
    if not isinstance(kept, dict):
        raise InvalidRequest(f"{param}: {_BROKEN}", param=param)
    text, details = kept.get("text"), kept.get("details", [])
    if not isinstance(details, list) or not all(isinstance(block, dict) for block in details):
        raise InvalidRequest(f"{param}: {_BROKEN}", param=param)
    return Reasoning(text if isinstance(text, str) else _thoughts(details), details)


class DetailsInPieces:
    """Puts the blocks of a stream together; `thinking` is closed by its signature, which comes after its text."""

    def __init__(self) -> None:
        self.blocks: list[JsonObject] = []
        self._thought: list[str] = []
        self._places: dict[tuple[object, object], JsonObject] = {}

    def hear(self, text: str) -> None:
        self._thought.append(text)

    def add(self, piece: JsonObject) -> None:
        block = {name: value for name, value in piece.items() if name != "index"}
        kind, index = piece.get("type"), piece.get("index")
        if kind == "thinking":
            thought, self._thought = "".join(self._thought), []
            self.blocks.append({"type": "thinking", "thinking": thought, **block})
        elif index is None or (kind, index) not in self._places:
            self.blocks.append(block)
            self._places[kind, index] = block
        else:
            _extend(self._places[kind, index], block)


def _extend(block: JsonObject, more: JsonObject) -> None:
    """Some services cut a block of their own into fragments with the same type and index."""
    for name, value in more.items():
        before = block.get(name)
        both = name in _TEXTS and isinstance(before, str) and isinstance(value, str)
        block[name] = f"{before}{value}" if both else value


def _thoughts(details: list[JsonObject]) -> str:
    texts = (block.get("thinking") for block in details if block.get("type") == "thinking")
    return "".join(text for text in texts if isinstance(text, str))

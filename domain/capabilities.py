"""What a model is known to be unable to do."""

from collections.abc import Iterable, Mapping
from typing import Any

from domain.completion import ModelCard

PREFILL = "prefill"
"""It goes on with an answer that somebody has begun."""

_SAID_OF_ALL = frozenset({"chat", "stream"})
"""A card that says no more than this says nothing about what the model cannot do."""


def knows(card: ModelCard) -> bool:
    """Whether the card tells apart what the model can do from what it cannot."""
    return not _SAID_OF_ALL.issuperset(card.capabilities)


def reasons(card: ModelCard) -> bool:
    """False only for a model that is known not to."""
    return not knows(card) or "reasoning" in card.capabilities


def lacking(card: ModelCard, options: Mapping[str, Any], *, images: bool) -> str | None:
    """The field that the model is known not to take: `tools`, `response_format` or `messages` (with images in them)."""
    wanted = []
    if options.get("tools"):
        wanted.append(("tools", "tools"))
    if _is_schema(options.get("response_format")):
        wanted.append(("json_schema", "response_format"))
    if images:
        wanted.append(("vision", "messages"))
    if not wanted or not knows(card):
        return None
    return next((field for capability, field in wanted if capability not in card.capabilities), None)


def has_images(messages: Iterable[Mapping[str, Any]]) -> bool:
    return any(_shows(message.get("content")) for message in messages)


def _shows(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") == "image_url" for part in content
    )


def _is_schema(response_format: Any) -> bool:
    return isinstance(response_format, dict) and response_format.get("type") == "json_schema"

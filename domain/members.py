"""Members of JSON objects that somebody else wrote, whatever was written."""

from collections.abc import Mapping
from typing import Any

from domain.completion import JsonObject


def text_of(holder: Mapping[str, Any], name: str) -> str:
    """Empty unless it is text."""
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def object_of(holder: Mapping[str, Any], name: str) -> JsonObject:
    """Empty unless it is an object."""
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def objects_of(holder: Mapping[str, Any], name: str) -> list[JsonObject]:
    """The objects of a list, none when it is no list."""
    value = holder.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []

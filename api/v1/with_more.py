"""Answers that show an entity and something beside it."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Any


def with_more(entity: Any, **more: object) -> SimpleNamespace:
    """The fields of a dataclass and `more`, as if they were one object; its schema picks what is shown."""
    return SimpleNamespace(**{field.name: getattr(entity, field.name) for field in fields(entity)}, **more)

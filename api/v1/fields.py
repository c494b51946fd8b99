"""Fields that take no liberties: a number is not a text, a truth value is not a number, 1.0 is not an integer."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
from marshmallow import validate

from domain.usage import NANO

_DIGITS = re.compile(r"[0-9]{1,9}")


class StrictFloat(ma.fields.Float):
    def _validated(self, value: Any) -> float:
        if type(value) not in {int, float}:
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class StrictBoolean(ma.fields.Boolean):
    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if type(value) is not bool:
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class QueryInteger(ma.fields.Integer):
    """Digits only; Python would also take `1_0`, blanks and other scripts' digits."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if not isinstance(value, str) or not _DIGITS.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class Time(ma.fields.DateTime):
    """RFC 3339, UTC."""

    def _serialize(self, value: datetime | None, *_: Any, **__: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Money(ma.fields.Float):
    """Nano-units as units of the currency; null is unknown."""

    def _serialize(self, value: int | None, *_: Any, **__: Any) -> float | None:  # type: ignore[override] # nano-units
        return None if value is None else value / NANO


class Sum(ma.fields.Integer):
    """Of several attributes."""

    def __init__(self, *names: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._names = names

    def serialize(self, attr: str, obj: Any, *_: Any, **__: Any) -> int:  # noqa: ARG002 - marshmallow's signature
        return sum(getattr(obj, name) for name in self._names)


class Word(ma.fields.String):
    """Printable ASCII without spaces: ids, and names that may end up in a header."""

    def __init__(self, most: int, *, metadata: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        described = {"pattern": "^[!-~]+$", **(metadata or {})}
        super().__init__(validate=[validate.Length(1, most), _is_word], metadata=described, **kwargs)


def note(text: str, **more: Any) -> dict[str, Any]:
    """Metadata of a field: what the OpenAPI document says about it."""
    return {"description": text, **more}


def _is_word(value: str) -> None:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ma.ValidationError("Only printable ASCII characters.")

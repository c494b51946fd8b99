"""Compiles the JSON Schemas of the OpenAPI document into checks, so that what is documented is what is enforced.

A subset of JSON Schema: `type`, `enum`, bounds, `pattern`, `properties`, `required`, `additionalProperties`, `items`,
`$ref`, `anyOf` whose branches differ in their JSON type, and `oneOf` with a discriminator. Stricter than JSON Schema
in one point: 1.0 is not an integer.

A check returns None for a value that fits and raises a Mismatch for one that does not; the path to the offending field
is put together only then.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from domain.errors import InvalidRequest, UnknownField

Schema = Mapping[str, Any]
Check = Callable[[Any], None]

_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}
_ARTICLES = {"integer": "an integer", "object": "an object", "array": "an array", "null": "null"}
_SHOWN = 60


class Mismatch(ValueError):
    """`path` grows from the inside out while the error travels to the top."""

    def __init__(self, message: str, *, unknown: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.unknown = unknown
        self.path: list[str] = []

    def under(self, key: object) -> "Mismatch":
        self.path.append(str(key)[:_SHOWN])
        return self

    def refusal(self) -> InvalidRequest:
        param = ".".join(reversed(self.path)) or None
        kind = UnknownField if self.unknown else InvalidRequest
        return kind(f"{param}: {self.message}" if param else self.message, param=param)


class Compiler:
    """`components` are the schemas that a `$ref` may name."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components
        self._compiled: dict[str, Check] = {}

    def check(self, schema: Schema) -> Check:
        if "$ref" in schema:
            return self._referenced(schema["$ref"].rpartition("/")[2])
        if "oneOf" in schema:
            return self._tagged(schema)
        if "anyOf" in schema:
            return _by_type([(branch_types(self._resolve(branch)), self.check(branch)) for branch in schema["anyOf"]])
        types = branch_types(schema)
        if not types:
            return _anything
        return _by_type([((name,), self._of_type(name, schema)) for name in types])

    def _referenced(self, name: str) -> Check:
        if name not in self._compiled:
            self._compiled[name] = self.check(self._components[name])
        return self._compiled[name]

    def _resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._components[schema["$ref"].rpartition("/")[2]]
        return schema

    def _tagged(self, schema: Schema) -> Check:
        discriminator = schema["discriminator"]
        tag = discriminator["propertyName"]
        checks = {value: self.check({"$ref": ref}) for value, ref in discriminator["mapping"].items()}
        known = ", ".join(checks)

        def check(value: Any) -> None:
            if type(value) is not dict:
                raise Mismatch(_must_be(["object"]))
            chosen = value.get(tag)
            branch = checks.get(chosen) if type(chosen) is str else None
            if branch is None:
                raise Mismatch(f"must be one of {known}.").under(tag)
            branch(value)

        return check

    def _of_type(self, name: str, schema: Schema) -> Check:
        if name == "object":
            return self._object(schema)
        if name == "array":
            return self._array(schema)
        if "enum" in schema and name != "null":
            return _one_of([value for value in schema["enum"] if value is not None])
        if name == "string":
            return _length(schema)
        return _range(schema) if name in {"integer", "number"} else _anything

    def _object(self, schema: Schema) -> Check:
        checks = {name: self.check(inner) for name, inner in schema.get("properties", {}).items()}
        required = tuple(schema.get("required", ()))
        extra = schema.get("additionalProperties", True)
        other = self.check(extra) if isinstance(extra, Mapping) else _anything if extra else None
        return _members(checks, required, other) if checks or required or other is not _anything else _anything

    def _array(self, schema: Schema) -> Check:
        item = self.check(schema.get("items", {}))
        least, most = schema.get("minItems", 0), schema.get("maxItems", float("inf"))

        def check(value: list[Any]) -> None:
            if not least <= len(value) <= most:
                raise Mismatch(f"has {len(value):,} items; {_span(least, most)} are accepted.")
            index = 0
            try:
                for index, inner in enumerate(value):  # noqa: B007 - the position of the item that failed
                    item(inner)
            except Mismatch as mismatch:
                raise mismatch.under(index) from None

        return check


def _members(checks: Mapping[str, Check], required: tuple[str, ...], other: Check | None) -> Check:
    """`other` checks members that are not named; None refuses them."""

    def check(value: dict[str, Any]) -> None:
        for key, inner in value.items():
            member = checks.get(key, other)
            if member is None:
                raise Mismatch("is not accepted here.", unknown=True).under(key)
            if member is not _anything:
                try:
                    member(inner)
                except Mismatch as mismatch:
                    raise mismatch.under(key) from None
        for key in required:
            if key not in value:
                raise Mismatch("is required.").under(key)

    return check


def branch_types(schema: Schema) -> list[str]:
    """The JSON types that a schema admits; none named means any."""
    found = schema.get("type", [])
    if isinstance(found, list):
        return found
    return [found]


def _by_type(branches: list[tuple[list[str] | tuple[str, ...], Check]]) -> Check:
    checks = {python: check for names, check in branches for name in names for python in _PYTHON[name]}
    message = _must_be([name for names, _ in branches for name in names])

    def check(value: Any) -> None:
        # `type` and not `isinstance`: a bool is an int in Python, but not in JSON
        branch = checks.get(type(value))
        if branch is None:
            raise Mismatch(message)
        if branch is not _anything:
            branch(value)

    return check


def _anything(value: Any) -> None:
    """Free-form: whatever is JSON."""


def _one_of(values: list[Any]) -> Check:
    allowed = frozenset(values)
    message = f"must be one of {', '.join(map(str, values))}."

    def check(value: Any) -> None:
        if value not in allowed:
            raise Mismatch(message)

    return check


def _length(schema: Schema) -> Check:
    if not {"minLength", "maxLength", "pattern"} & schema.keys():
        return _anything
    least, most = schema.get("minLength", 0), schema.get("maxLength", float("inf"))
    pattern: str = schema.get("pattern", "")
    # Python's `$` also matches before a last newline, JSON Schema's does not
    matches = re.compile(f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern).search

    def check(value: str) -> None:
        if not least <= len(value) <= most:
            raise Mismatch(f"has {len(value):,} characters; {_span(least, most)} are accepted.")
        if not matches(value):
            raise Mismatch("does not have the form that is accepted here.")

    return check


def _range(schema: Schema) -> Check:
    if "minimum" not in schema and "maximum" not in schema:
        return _anything
    least, most = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))

    def check(value: float) -> None:
        if not least <= value <= most:
            raise Mismatch(f"must be {_span(least, most)}.")

    return check


def _span(least: float, most: float) -> str:
    if most == float("inf"):
        return f"at least {least:,}"
    return f"at most {most:,}" if least in {0, float("-inf")} else f"{least:,} to {most:,}"


def _must_be(names: list[str]) -> str:
    return f"must be {' or '.join(_ARTICLES.get(name, f'a {name}') for name in names)}."

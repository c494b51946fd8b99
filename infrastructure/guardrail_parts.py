"""Guardrails as `parley.toml` names them."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import validate

from adapters import guardrails
from application.guardrails import Rule
from domain.guardrail import Action, Side


def _texts() -> ma.fields.List[str]:
    return ma.fields.List(ma.fields.String(validate=validate.Length(1, 1_000)), validate=validate.Length(1, 1_000))


class Guardrail(ma.Schema):
    """At least one of `regex`, `personal`, `words` and `hook`. `failure` says what happens when one of them fails."""

    class Meta:
        unknown = ma.RAISE

    regex = _texts()
    personal = ma.fields.List(ma.fields.String(validate=validate.OneOf(list(guardrails.PERSONAL))))
    words = _texts()
    hook = ma.fields.String()
    action = ma.fields.String(required=True, validate=validate.OneOf([action.value for action in Action]))
    on = ma.fields.List(
        ma.fields.String(validate=validate.OneOf([side.value for side in Side])),
        load_default=lambda: [side.value for side in Side],
        validate=validate.Length(1),
    )
    failure = ma.fields.String(load_default="closed", validate=validate.OneOf(["open", "closed"]))

    @ma.validates_schema
    def check(self, table: Mapping[str, Any], **_: Any) -> None:
        try:
            found = _finders(table)
        except ValueError as error:
            raise ma.ValidationError(str(error)) from None
        if not found:
            raise ma.ValidationError("needs at least one of regex, personal, words and hook")


def rules(tables: Mapping[str, Mapping[str, Any]]) -> list[Rule]:
    """By name, in the order of the file: the first that blocks is the one that is told of."""
    return [
        Rule(
            name,
            guardrails.together(_finders(table)),
            Action(table["action"]),
            frozenset(map(Side, table["on"])),
            closed=table["failure"] == "closed",
        )
        for name, table in tables.items()
    ]


def _finders(table: Mapping[str, Any]) -> list[guardrails.Find]:
    made = {"regex": guardrails.expressions, "personal": guardrails.personal, "words": guardrails.words}
    found = [make(table[name]) for name, make in made.items() if table.get(name)]
    return [*found, guardrails.hook(table["hook"])] if table.get("hook") else found

"""The shapes of API keys."""

from datetime import UTC, datetime, timedelta
from typing import Any

import marshmallow as ma
from marshmallow import validate

from api.v1.blueprint import Output, Strict
from api.v1.fields import StrictBoolean, Time, Word, note
from api.v1.limit_schemas import MOST_PER_MINUTE, BudgetIn, BudgetOut, BudgetStateOut
from api.v1.schemas import PageIn
from api.v1.usage_schemas import TotalOut
from application.keys import NAME_LENGTH, OVERLAP, KeyOrder
from domain.limits import Kind, Limits, Unit, Window
from domain.user import EVERYDAY, Scope

MOST_MODELS = 100
LONGEST_OVERLAP = timedelta(days=30)

_SCOPES = note("Empty: all of the user's role.")
_MODELS = note("`provider/model`, or `provider/*` for all of one provider. Empty: all.")
_HEARTBEATS = note("Whether a stream that waits shows signs of life, which some clients take for content.")
_NAME = {"pattern": r"\S"}


class Moment(ma.fields.AwareDateTime):
    """A point in time with its offset from UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        moment: datetime = super()._deserialize(value, attr, data, **kwargs)
        try:
            return moment.astimezone(UTC)
        except OverflowError:  # the first and the last day of the calendar
            raise self.make_error("invalid", input=value, obj_type="datetime") from None


def _limit(text: str) -> ma.fields.Integer:
    return ma.fields.Integer(
        strict=True, allow_none=True, validate=validate.Range(1, MOST_PER_MINUTE), metadata=note(text)
    )


def _limited(text: str) -> ma.fields.Integer:
    return ma.fields.Integer(required=True, allow_none=True, metadata=note(text))


class KeyLimitsIn(Strict):
    """What is null or not named does not limit."""

    rpm = _limit("Requests per minute.")
    tpm = _limit("Tokens per minute.")
    concurrency = _limit("Calls at the same time.")
    budgets = ma.fields.List(
        ma.fields.Nested(BudgetIn),
        validate=validate.Length(max=len(Unit) * len(Window)),
        metadata=note("At most one per unit and window."),
    )

    @ma.post_load
    def limits(self, fields: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "budgets" not in fields:
            return fields
        budgets = tuple(fields["budgets"])
        if len({(it.unit, it.window) for it in budgets}) < len(budgets):
            raise ma.ValidationError("Only one budget per unit and window.", "budgets")
        return {**fields, "budgets": budgets}


class KeyChangeIn(Strict):
    """Changes only what it names, inside `limits` as well; limits can only be made tighter."""

    name = ma.fields.String(validate=validate.Length(1, NAME_LENGTH), metadata=_NAME)
    scopes = ma.fields.List(
        ma.fields.Enum(Scope, by_value=ma.fields.String), validate=validate.Length(max=len(Scope)), metadata=_SCOPES
    )
    models = ma.fields.List(Word(200), validate=validate.Length(max=MOST_MODELS), metadata=_MODELS)
    limits = ma.fields.Nested(KeyLimitsIn)
    heartbeats = StrictBoolean(metadata=_HEARTBEATS)
    expires_at = Moment(allow_none=True, metadata=note("Null: never."))

    @ma.post_load
    def change(self, fields: dict[str, Any], **_: Any) -> Any:
        """In the collections that the application uses."""
        kinds = {"scopes": frozenset, "models": tuple}
        return {name: kinds[name](value) if name in kinds else value for name, value in fields.items()}


class KeyIn(KeyChangeIn):
    """Only the name is needed."""

    name = ma.fields.String(required=True, validate=validate.Length(1, NAME_LENGTH), metadata=_NAME)
    scopes = ma.fields.List(
        ma.fields.Enum(Scope, by_value=ma.fields.String),
        validate=validate.Length(max=len(Scope)),
        metadata=note(f"Without it: {', '.join(sorted(EVERYDAY))}. {_SCOPES['description']}"),
    )
    team_id = Word(64, allow_none=True, metadata=note("A team that you lead, whose members share the key."))

    @ma.post_load
    def change(self, fields: dict[str, Any], **_: Any) -> KeyOrder:
        fields = super().change(fields)
        return KeyOrder(**{**fields, "limits": Limits(**fields.get("limits", {}))})


class RotationIn(Strict):
    overlap_seconds = ma.fields.Integer(
        strict=True,
        load_default=int(OVERLAP.total_seconds()),
        validate=validate.Range(0, int(LONGEST_OVERLAP.total_seconds())),
        metadata=note("How long the old key goes on."),
    )


class KeyPageIn(PageIn):
    team_id = Word(64, load_default=None, metadata=note("The keys of a team that you are in, instead of your own."))


class KeyLimitsOut(Output):
    """Null does not limit."""

    rpm = _limited("Requests per minute.")
    tpm = _limited("Tokens per minute.")
    concurrency = _limited("Calls at the same time.")
    budgets = ma.fields.List(ma.fields.Nested(BudgetOut), required=True)
    shadow = ma.fields.Boolean(required=True, metadata=note("Everything is measured and nothing refused."))


class KeyOut(Output):
    """A key without its secret."""

    id = ma.fields.String(required=True)
    kid = ma.fields.String(required=True, metadata=note("The public part of the token."))
    last4 = ma.fields.String(required=True)
    name = ma.fields.String(required=True)
    user_id = ma.fields.String(required=True)
    team_id = ma.fields.String(required=True, allow_none=True, metadata=note("The team that shares the key."))
    scopes = ma.fields.Function(
        lambda key: sorted(key.scopes),
        required=True,
        metadata={"type": "array", "items": {"type": "string"}, **_SCOPES},
    )
    models = ma.fields.List(ma.fields.String(), required=True, metadata=_MODELS)
    limits = ma.fields.Nested(KeyLimitsOut, required=True)
    heartbeats = ma.fields.Boolean(required=True, metadata=_HEARTBEATS)
    expires_at = Time(required=True, allow_none=True)
    revoked_at = Time(required=True, allow_none=True)
    replaced_by = ma.fields.String(
        required=True, allow_none=True, metadata=note("The key that a rotation made; this one ends soon.")
    )
    last_used_at = Time(required=True, allow_none=True, metadata=note("About a minute coarse."))
    created_at = Time(required=True)


class NewKeyOut(KeyOut):
    """The only time that the token is shown."""

    key = ma.fields.String(required=True, metadata=note("The token to send as `Authorization: Bearer`."))


class KeyPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(KeyOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class OwnUseOut(Output):
    today = ma.fields.Nested(TotalOut, required=True)
    month = ma.fields.Nested(TotalOut, required=True)


class RestOut(Output):
    """What is left of the request limit, this request counted."""

    requests = ma.fields.Integer(required=True, attribute="remaining")
    resets_in = ma.fields.Integer(required=True, attribute="reset", metadata=note("Seconds."))


class OwnBudgetOut(BudgetStateOut):
    of = ma.fields.String(
        required=True,
        validate=validate.OneOf([str(kind) for kind in Kind]),
        metadata=note("Whose budget it is; a call needs room in all of them."),
    )


class OwnKeyOut(KeyOut):
    """The key of this request, with what it has used and what is left."""

    use = ma.fields.Nested(OwnUseOut, required=True)
    rest = ma.fields.Nested(RestOut, required=True, allow_none=True, metadata=note("Null without a request limit."))
    budgets = ma.fields.List(ma.fields.Nested(OwnBudgetOut), required=True, metadata=note("All that apply."))

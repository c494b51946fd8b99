"""The shapes of limits, budgets and everybody's keys."""

from decimal import Decimal
from typing import Any

import marshmallow as ma
from marshmallow import validate

from api.v1.blueprint import Output, Strict
from api.v1.fields import StrictBoolean, Time, Word, note
from api.v1.schemas import PageIn
from domain.limits import Budget, Kind, Limits, Unit, Window
from domain.usage import NANO

MOST_PER_MINUTE = 1_000_000_000
MOST = 9_000_000_000
"""Of money: as much as 64 bits of nano-units hold."""

ALL = "all"

_PLACES = 9
_EXACT_DIGITS = 15
_UNITS = validate.OneOf([str(unit) for unit in Unit])
_WINDOWS = validate.OneOf([str(window) for window in Window])
_KINDS = validate.OneOf([str(kind) for kind in Kind])
_AMOUNT = note("Money in units of the currency, with at most nine decimals; or tokens.")
_RPM, _TPM = note("Requests per minute."), note("Tokens per minute.")
_CONCURRENCY = note("Calls at the same time.")
_SHADOW = note("Measure everything and refuse nothing.")


class Amount(ma.fields.Float):
    """A number exactly as it was written; more digits than a double keeps are refused, not rounded."""

    def _validated(self, value: Any) -> Decimal:  # type: ignore[override] # exact
        if type(value) not in {int, float}:
            raise self.make_error("invalid", input=value)
        amount = Decimal(str(value))
        if type(value) is float and len(amount.as_tuple().digits) > _EXACT_DIGITS:
            raise ma.ValidationError(f"Only numbers of at most {_EXACT_DIGITS} digits.")
        return amount


class BudgetIn(Strict):
    unit = ma.fields.String(required=True, validate=_UNITS)
    window = ma.fields.String(required=True, validate=_WINDOWS, metadata=note("Of the UTC calendar."))
    amount = Amount(required=True, validate=validate.Range(0, MOST), metadata=_AMOUNT)

    @ma.post_load
    def budget(self, fields: dict[str, Any], **_: Any) -> Budget:
        """In nano-units, or whole tokens."""
        unit, amount = Unit(fields["unit"]), fields["amount"]
        scaled = amount * NANO if unit is Unit.MONEY else amount
        if scaled != int(scaled):
            only = f"at most {_PLACES} decimals" if unit is Unit.MONEY else "whole tokens"
            raise ma.ValidationError(f"Only {only}.", "amount")
        return Budget(unit, Window(fields["window"]), int(scaled))


def _limit(metadata: dict[str, Any]) -> ma.fields.Integer:
    within = validate.Range(1, MOST_PER_MINUTE)
    return ma.fields.Integer(strict=True, load_default=None, allow_none=True, validate=within, metadata=metadata)


def _limited(metadata: dict[str, Any], attribute: str) -> ma.fields.Integer:
    return ma.fields.Integer(required=True, allow_none=True, attribute=attribute, metadata=metadata)


class LimitsIn(Strict):
    """The whole of it: what is not named does not limit."""

    rpm = _limit(_RPM)
    tpm = _limit(_TPM)
    concurrency = _limit(_CONCURRENCY)
    shadow = StrictBoolean(load_default=False, metadata=_SHADOW)
    budgets = ma.fields.List(
        ma.fields.Nested(BudgetIn),
        load_default=list,
        validate=validate.Length(max=len(Unit) * len(Window)),
        metadata=note("At most one per unit and window."),
    )

    @ma.post_load
    def limits(self, fields: dict[str, Any], **_: Any) -> Limits:
        budgets = fields["budgets"]
        if len({(it.unit, it.window) for it in budgets}) < len(budgets):
            raise ma.ValidationError("Only one budget per unit and window.", "budgets")
        return Limits(**{**fields, "budgets": tuple(budgets)})


class InUnit(ma.fields.Float):
    """An amount as `BudgetIn` takes it: nano-units as units of the currency, tokens as they are."""

    def _serialize(self, value: int, attr: str | None, obj: Any, **_: Any) -> float:  # type: ignore[override] # of a budget
        del attr
        return value / NANO if getattr(obj, "budget", obj).unit is Unit.MONEY else value


class SubjectId(ma.fields.String):
    """`all` where there is only one subject, the installation, which has no id."""

    def _serialize(self, value: str, *_: Any, **__: Any) -> str:  # type: ignore[override] # never None
        return value or ALL


class BudgetOut(Output):
    unit = ma.fields.String(required=True, validate=_UNITS)
    window = ma.fields.String(required=True, validate=_WINDOWS)
    amount = InUnit(required=True, metadata=_AMOUNT)


class BudgetStateOut(Output):
    """In the current window."""

    unit = ma.fields.String(required=True, validate=_UNITS, attribute="budget.unit")
    window = ma.fields.String(required=True, validate=_WINDOWS, attribute="budget.window")
    amount = InUnit(required=True, attribute="budget.amount", metadata=_AMOUNT)
    used = InUnit(required=True)
    reserved = InUnit(required=True, metadata=note("By calls that are running."))
    left = InUnit(required=True)
    resets_at = Time(required=True, allow_none=True, metadata=note("Null for a budget in all."))


class BoundOut(Output):
    """Limits that are null do not apply."""

    kind = ma.fields.String(required=True, validate=_KINDS)
    id = SubjectId(required=True)
    rpm = _limited(_RPM, "limits.rpm")
    tpm = _limited(_TPM, "limits.tpm")
    concurrency = _limited(_CONCURRENCY, "limits.concurrency")
    shadow = ma.fields.Boolean(required=True, attribute="limits.shadow", metadata=_SHADOW)
    budgets = ma.fields.List(ma.fields.Nested(BudgetOut), required=True, attribute="limits.budgets")


class BoundPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(BoundOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class BoundStateOut(BoundOut):
    """With how its budgets stand."""

    budgets = ma.fields.List(ma.fields.Nested(BudgetStateOut), required=True)


class BoundPageIn(PageIn):
    kind = ma.fields.String(required=True, validate=_KINDS)


class AdminKeyPageIn(PageIn):
    user_id = Word(64, load_default=None)
    team_id = Word(64, load_default=None, metadata=note("Only keys that the team shares."))

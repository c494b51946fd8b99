"""The shapes of providers, their keys and the prices, as administrators see them."""

from decimal import Decimal
from typing import Any

import marshmallow as ma
from marshmallow import validate

from api.v1.blueprint import Output, Strict
from api.v1.fields import Money, StrictBoolean, Time, Word, note
from api.v1.limit_schemas import Amount
from api.v1.schemas import PageIn
from application.provider_admin import CredentialOrder
from domain.provider_entry import ADDRESS_LENGTH, SECRET_LENGTH
from domain.usage import NANO, Price

NAME_LENGTH = 200
MODEL_LENGTH = 200
HIGHEST_PRICE = 1_000_000

_CLASSES = ("input", "output", "cached_input", "cache_write", "reasoning", "image")
_PRICE = note("Per million tokens; null when this class has no price of its own.")
_ADDRESS = note(
    "In place of the provider's usual address. https, or http to this machine and to private networks.",
    example="https://llm.example.com/v1",
)


class ProviderOut(Output):
    name = ma.fields.String(required=True)
    base_url = ma.fields.String(required=True, metadata=note("Empty for one that needs no server."))
    sources = ma.fields.List(
        ma.fields.String(validate=validate.OneOf(["credential", "file", "environment", "built-in"])),
        required=True,
        metadata=note("What turns it on, in the order in which they count; empty: it is off."),
    )
    models = ma.fields.Integer(required=True, metadata=note("How many are known by name."))


class ProviderListOut(Output):
    data = ma.fields.List(ma.fields.Nested(ProviderOut), required=True)


class CredentialIn(Strict):
    provider = Word(32, required=True, metadata=note("A name of `GET /admin/providers`.", example="openai"))
    name = ma.fields.String(load_default="", validate=validate.Length(max=NAME_LENGTH))
    secret = Word(
        SECRET_LENGTH,
        required=True,
        load_only=True,
        metadata=note("The provider's key. It is encrypted at once, and never shown again.", example="sk-…"),
    )
    base_url = Word(ADDRESS_LENGTH, load_default=None, allow_none=True, metadata=_ADDRESS)

    @ma.post_load
    def order(self, fields: dict[str, Any], **_: Any) -> CredentialOrder:
        return CredentialOrder(**fields)


class CredentialChangeIn(Strict):
    """Changes only what it names. A new key is a new credential."""

    name = ma.fields.String(load_default=None, validate=validate.Length(max=NAME_LENGTH))
    disabled = StrictBoolean(load_default=None)


class CredentialOut(Output):
    id = ma.fields.String(required=True)
    provider = ma.fields.String(required=True)
    name = ma.fields.String(required=True)
    last4 = ma.fields.String(required=True, metadata=note("Of the key; empty when it is a short one."))
    base_url = ma.fields.String(required=True, allow_none=True)
    disabled = ma.fields.Boolean(required=True)
    created_at = Time(required=True)
    created_by = ma.fields.String(required=True, metadata=note("A user's id."))


class CredentialListOut(Output):
    data = ma.fields.List(ma.fields.Nested(CredentialOut), required=True)


class PerMillion(Amount):
    """Money per million tokens, exactly; loaded as whole nano-units."""

    def _validated(self, value: Any) -> int:  # type: ignore[override] # nano-units
        nano = Decimal(super()._validated(value)) * NANO
        if not 0 <= nano <= HIGHEST_PRICE * NANO:
            raise ma.ValidationError(f"A price is from 0 to {HIGHEST_PRICE:,}.")
        if nano != int(nano):
            raise ma.ValidationError("A price has at most nine decimals.")
        return int(nano)


def _per_million(text: str) -> PerMillion:
    return PerMillion(metadata=note(text, minimum=0, maximum=HIGHEST_PRICE))


class PriceIn(Strict):
    """`input` and `output` with what differs from them, or `remove` alone."""

    model = Word(MODEL_LENGTH, required=True, metadata=note("`provider/model`", example="openai/gpt-4o-mini"))
    input = _per_million("Per million tokens; required without `image`, unless `remove` is true.")
    output = _per_million("Per million tokens; required without `image`, unless `remove` is true.")
    cached_input = _per_million("As `input` when it is not named.")
    cache_write = _per_million("As `input` when it is not named.")
    reasoning = _per_million("As `output` when it is not named.")
    image = _per_million("Per image that the model makes; its tokens then cost nothing that is not named.")
    remove = StrictBoolean(
        load_default=False,
        metadata=note("Take it back: what the file or the provider's list says counts again."),
    )

    @ma.post_load
    def price(self, fields: dict[str, Any], **_: Any) -> dict[str, Any]:
        named = {name: fields[name] for name in _CLASSES if name in fields}
        if fields["remove"]:
            if named:
                raise ma.ValidationError("Nothing goes along with it.", "remove")
            return {"model": fields["model"], "price": None}
        if "image" in named:
            named = {"input": 0, "output": 0, **named}
        for name in ("input", "output"):
            if name not in named:
                raise ma.ValidationError("Missing data for required field.", name)
        return {"model": fields["model"], "price": Price(**named)}


class ClassesOut(Output):
    input = Money(required=True, allow_none=True, metadata=_PRICE)
    cached_input = Money(required=True, allow_none=True, metadata=_PRICE)
    cache_write = Money(required=True, allow_none=True, metadata=_PRICE)
    output = Money(required=True, allow_none=True, metadata=_PRICE)
    reasoning = Money(required=True, allow_none=True, metadata=_PRICE)
    image = Money(required=True, allow_none=True, metadata=note("Per image; null where tokens are billed."))


class PriceOut(ClassesOut):
    model = ma.fields.String(required=True)


class PriceListOut(Output):
    data = ma.fields.List(ma.fields.Nested(PriceOut), required=True)


class PriceChangeOut(ClassesOut):
    """Without `input` and `output` it took the price back."""

    id = ma.fields.String(required=True)
    model = ma.fields.String(required=True)
    at = Time(required=True)
    by = ma.fields.String(required=True, metadata=note("A user's id."))


class PriceHistoryIn(PageIn):
    model = Word(MODEL_LENGTH, load_default=None, metadata=note("Only of this one."))


class PriceHistoryOut(Output):
    data = ma.fields.List(ma.fields.Nested(PriceChangeOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)

"""The shapes of usage and models."""

import marshmallow as ma
from marshmallow import validate

from api.v1.blueprint import Output
from api.v1.fields import Money, Sum, Time, note
from domain.ledger import State
from domain.usage import Source

_PRICE = note("Per million tokens; null when this class has no price of its own.")


class TotalOut(Output):
    requests = ma.fields.Integer(required=True)
    prompt_tokens = Sum("input", "cached_input", "cache_write", required=True)
    completion_tokens = Sum("output", "reasoning", required=True)
    cached_tokens = ma.fields.Integer(required=True, attribute="cached_input")
    reasoning_tokens = ma.fields.Integer(required=True, attribute="reasoning")
    cost = Money(required=True, metadata=note("Of the requests whose model has a price."))
    unpriced_requests = ma.fields.Integer(required=True, attribute="unpriced")


class DayOut(Output):
    date = ma.fields.Date(required=True)
    total = ma.fields.Nested(TotalOut, required=True)


class ModelUseOut(Output):
    model = ma.fields.String(required=True)
    total = ma.fields.Nested(TotalOut, required=True)


class KeyUseOut(Output):
    key_id = ma.fields.String(required=True)
    total = ma.fields.Nested(TotalOut, required=True)


class UsageOut(Output):
    """Days are UTC, weeks begin on Monday."""

    today = ma.fields.Nested(TotalOut, required=True)
    week = ma.fields.Nested(TotalOut, required=True)
    month = ma.fields.Nested(TotalOut, required=True)
    total = ma.fields.Nested(TotalOut, required=True)
    days = ma.fields.List(ma.fields.Nested(DayOut), required=True)
    models = ma.fields.List(ma.fields.Nested(ModelUseOut), required=True)
    keys = ma.fields.List(ma.fields.Nested(KeyUseOut), required=True)


class RecordOut(Output):
    request_id = ma.fields.String(required=True)
    created_at = Time(required=True, attribute="started_at")
    model = ma.fields.String(required=True, attribute="model_used")
    model_requested = ma.fields.String(required=True)
    key_id = ma.fields.String(required=True)
    session_id = ma.fields.String(required=True, allow_none=True)
    state = ma.fields.String(required=True, validate=validate.OneOf([str(state) for state in State]))
    streamed = ma.fields.Boolean(required=True)
    cache_hit = ma.fields.Boolean(required=True, metadata=note("Answered from the cache; no provider was called."))
    images = ma.fields.Integer(required=True, attribute="usage.images")
    prompt_tokens = ma.fields.Integer(required=True, attribute="usage.prompt_tokens")
    completion_tokens = ma.fields.Integer(required=True, attribute="usage.completion_tokens")
    total_tokens = ma.fields.Integer(required=True, attribute="usage.total_tokens")
    cached_tokens = ma.fields.Integer(required=True, attribute="usage.cached_input")
    reasoning_tokens = ma.fields.Integer(required=True, attribute="usage.reasoning")
    source = ma.fields.String(
        required=True, attribute="usage.source", validate=validate.OneOf([str(source) for source in Source])
    )
    cost = Money(
        required=True,
        allow_none=True,
        attribute="charged",
        metadata=note("What was charged; null when the model's price is not known."),
    )
    duration_ms = ma.fields.Integer(required=True)
    first_token_ms = ma.fields.Integer(required=True, allow_none=True)
    error_code = ma.fields.String(required=True, allow_none=True)


class RecordPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(RecordOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class PricingOut(Output):
    input = Money(required=True, metadata=note("Per million tokens."))
    cached_input = Money(required=True, allow_none=True, metadata=_PRICE)
    cache_write = Money(required=True, allow_none=True, metadata=_PRICE)
    output = Money(required=True, metadata=note("Per million tokens."))
    reasoning = Money(required=True, allow_none=True, metadata=_PRICE)


class ModelOut(Output):
    """OpenAI's model object, with what a client has to know to choose."""

    id = ma.fields.String(required=True, metadata=note("`provider/model`", example="openai/gpt-4o-mini"))
    object = ma.fields.Constant("model", required=True, metadata={"type": "string", "enum": ["model"]})
    created = ma.fields.Constant(0, required=True, metadata={"type": "integer", **note("Not known; always 0.")})
    owned_by = ma.fields.String(required=True, attribute="provider")
    context_window = ma.fields.Integer(required=True, allow_none=True, attribute="card.context_window")
    max_output_tokens = ma.fields.Integer(required=True, allow_none=True, attribute="card.max_output")
    capabilities = ma.fields.List(ma.fields.String(), required=True, attribute="card.capabilities")
    pricing = ma.fields.Nested(PricingOut, required=True, allow_none=True, attribute="price")


class ModelListOut(Output):
    object = ma.fields.Constant("list", required=True, metadata={"type": "string", "enum": ["list"]})
    data = ma.fields.List(ma.fields.Nested(ModelOut), required=True)

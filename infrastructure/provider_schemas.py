"""The part of `parley.toml` that says which providers there are and what leads to them."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import validate

SECONDS = validate.Range(min=0, min_inclusive=False, max=86_400)
PROVIDER_NAME = validate.Regexp(r"^[a-z][a-z0-9_-]{0,31}$", error="a name has lower-case letters, digits, _ and -")
ROUTE_NAME = validate.Regexp(
    r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$", error="a name has letters, digits, dots, colons, _ and -, and no slash"
)

_VARIABLE = validate.Regexp(
    r"^[A-Z][A-Z0-9_]*$", error="the name of an environment variable: capital letters, digits and _"
)
_MODEL = validate.Regexp(r"^[a-z][a-z0-9_-]{0,31}/\S{1,200}$", error="a target is provider/model")
_ALLOWED = validate.Regexp(r"^(\*|[^*]{1,200})$", error="the name of a model, or * alone for every name")
_WEIGHT = validate.Range(1, 1_000)
_TOKENS = validate.Range(1, 100_000_000)
_CAPABILITIES = (
    *("chat", "stream", "tools", "vision", "audio", "json_object", "json_schema", "reasoning", "thinking_budget"),
    *("prefill", "embeddings", "images"),
)


class Strict(ma.Schema):
    class Meta:
        unknown = ma.RAISE


class Deadlines(Strict):
    connect = ma.fields.Float(validate=SECONDS)
    headers = ma.fields.Float(validate=SECONDS)
    first_token = ma.fields.Float(validate=SECONDS)
    idle = ma.fields.Float(validate=SECONDS)
    total = ma.fields.Float(validate=SECONDS)


class Credential(Strict):
    api_key_env = ma.fields.String(required=True, validate=_VARIABLE)
    weight = ma.fields.Integer(strict=True, load_default=1, validate=_WEIGHT)


class Provider(Strict):
    """Which wires there are is known where the providers are made.

    `private` says that the address, whatever its name looks like, may lead into a private network. `on_disconnect` is
    `drain` for one that bills an answer to its end although its client has gone.
    """

    wire = ma.fields.String(load_default="")
    base_url = ma.fields.Url(schemes={"http", "https"}, require_tld=False)
    api_key_env = ma.fields.String(validate=_VARIABLE)
    credentials = ma.fields.List(ma.fields.Nested(Credential), validate=validate.Length(1, 100))
    models = ma.fields.List(ma.fields.String(validate=_ALLOWED), load_default=lambda: ["*"])
    deadlines = ma.fields.Nested(Deadlines, load_default=dict)
    private = ma.fields.Boolean(load_default=False, truthy={True}, falsy={False})
    on_disconnect = ma.fields.String(validate=validate.OneOf(["cancel", "drain"]))

    @ma.validates_schema
    def check(self, table: Mapping[str, Any], **_: Any) -> None:
        if "api_key_env" in table and "credentials" in table:
            raise ma.ValidationError("api_key_env or credentials, not both", "credentials")
        names = [entry["api_key_env"] for entry in table.get("credentials", ()) if "api_key_env" in entry]
        if len(set(names)) < len(names):
            raise ma.ValidationError("each credential once; a weight gives one more of the calls", "credentials")


class Model(Strict):
    """What is not told stays as the provider's own list has it. `capabilities` take the place of those listed."""

    context_window = ma.fields.Integer(strict=True, validate=_TOKENS)
    max_output = ma.fields.Integer(strict=True, validate=_TOKENS)
    capabilities = ma.fields.List(ma.fields.String(validate=validate.OneOf(_CAPABILITIES)))


class Retries(Strict):
    per_deployment = ma.fields.Integer(strict=True, load_default=1, validate=validate.Range(0, 1))
    budget = ma.fields.Float(load_default=0.2, validate=validate.Range(0, 1))


class Breaker(Strict):
    """`open` and `longest` are seconds."""

    failures = ma.fields.Integer(strict=True, load_default=5, validate=validate.Range(1, 1_000))
    open = ma.fields.Float(load_default=10.0, validate=SECONDS)
    longest = ma.fields.Float(load_default=30.0, validate=SECONDS)

    @ma.validates_schema
    def check(self, table: Mapping[str, Any], **_: Any) -> None:
        if table["longest"] < table["open"]:
            raise ma.ValidationError("not shorter than open", "longest")


class _Target(Strict):
    model = ma.fields.String(required=True, validate=_MODEL)
    weight = ma.fields.Integer(strict=True, load_default=None, allow_none=True, validate=_WEIGHT)


class Tier(ma.fields.Field[list[dict[str, Any]]]):
    """`"a/x"`, or equals: `["a/x", {model = "b/y", weight = 3}]`; loaded as a list of tables."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> list[dict[str, Any]]:
        equals = value if isinstance(value, list) else [value]
        if not equals:
            raise ma.ValidationError("at least one target")
        return [_target(entry) for entry in equals]


class Instead(Strict):
    """By class of error: what is tried then in place of the rest."""

    context_length = ma.fields.List(Tier())
    content_filter = ma.fields.List(Tier())
    rate_limit = ma.fields.List(Tier())


class Route(Strict):
    """Its first tier is tried first. `continue` lets another one go on with an answer that was cut."""

    tiers = ma.fields.List(Tier(), required=True, data_key="try", validate=validate.Length(1, 32))
    continues = ma.fields.Boolean(data_key="continue", load_default=False, truthy={True}, falsy={False})
    fallback = ma.fields.Nested(Instead, load_default=dict)

    @ma.post_load
    def name(self, fields: dict[str, Any], **_: Any) -> dict[str, Any]:
        """As in the file, which has words for it that are Python's."""
        return {"try": fields["tiers"], "continue": fields["continues"], "fallback": fields["fallback"]}


ALIAS = ma.fields.String(validate=_MODEL)
MODEL_NAME = _MODEL


def _target(entry: Any) -> dict[str, Any]:
    table = {"model": entry} if isinstance(entry, str) else entry
    if not isinstance(table, dict):
        raise ma.ValidationError('a target is "provider/model" or {model = "provider/model", weight = 2}')
    try:
        return dict(_Target().load(table))
    except ma.ValidationError as error:
        lines = [f"{name}: {' '.join(map(str, messages))}" for name, messages in dict(error.messages_dict).items()]
        raise ma.ValidationError("; ".join(lines)) from None

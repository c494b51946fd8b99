"""The shape of `parley.toml`. An unknown key is an error: a typing mistake must not change a limit silently."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import marshmallow as ma
from marshmallow import validate

from domain.usage import NANO, Price
from infrastructure.guardrail_parts import Guardrail
from infrastructure.provider_schemas import (
    ALIAS,
    MODEL_NAME,
    PROVIDER_NAME,
    ROUTE_NAME,
    SECONDS,
    Breaker,
    Deadlines,
    Model,
    Provider,
    Retries,
    Route,
    Strict,
)

_ENTRY_DEPTH = 2
_HIGHEST_PRICE = 1_000_000
_WITHOUT_USER = validate.Regexp(r"^[^@]*$", error="an address without user name and password")


class ConfigurationError(Exception):
    """The configuration cannot be used; the message says where and why, and holds no secret."""


class Server(Strict):
    """Seconds, except `in_flight`: the generations a worker makes at once."""

    heartbeat = ma.fields.Float(load_default=5.0, validate=SECONDS)
    gate = ma.fields.Float(load_default=15.0, validate=SECONDS)
    client_send = ma.fields.Float(load_default=30.0, validate=SECONDS)
    body_read = ma.fields.Float(load_default=15.0, validate=SECONDS)
    drain = ma.fields.Float(load_default=30.0, validate=SECONDS)
    in_flight = ma.fields.Integer(strict=True, load_default=400, validate=validate.Range(1, 100_000))
    journal = ma.fields.String(load_default="sync", validate=validate.OneOf(["sync", "write"]))


class Money(ma.fields.Field[int]):
    """Money per million tokens, as a decimal number; loaded as whole nano-units."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        number = isinstance(value, int | Decimal) and not isinstance(value, bool) and Decimal(value).is_finite()
        if not number or not 0 <= value <= _HIGHEST_PRICE:
            raise ma.ValidationError("a price is a number from 0 to 1,000,000")
        nano = Decimal(value) * NANO
        if nano != int(nano):
            raise ma.ValidationError("a price has at most nine decimals")
        return int(nano)


class Limits(Strict):
    """For keys and logins without limits of their own; `rpm` is by default a fuse that only a runaway client meets.

    `shadow` measures everything and refuses nothing. `outage_cap` is what a key may spend per worker while the
    database is away.
    """

    rpm = ma.fields.Integer(strict=True, load_default=600_000, validate=validate.Range(1, 10_000_000))
    tpm = ma.fields.Integer(strict=True, load_default=None, validate=validate.Range(1, 10**12))
    concurrency = ma.fields.Integer(strict=True, load_default=None, validate=validate.Range(1, 100_000))
    shadow = ma.fields.Boolean(load_default=False, truthy={True}, falsy={False})
    outage_cap = Money(load_default=NANO)


class Accounts(Strict):
    """Who may make an account: anyone, whoever was invited, or nobody."""

    registration = ma.fields.String(load_default="invite", validate=validate.OneOf(["open", "invite", "closed"]))


class Oidc(Strict):
    """Log in at an identity provider. `domains` are those of addresses that get an account by logging in."""

    issuer = ma.fields.Url(schemes={"http", "https"}, require_tld=False, required=True, validate=_WITHOUT_USER)
    client_id = ma.fields.String(required=True, validate=validate.Length(1, 200))
    client_secret_env = ma.fields.String(validate=validate.Regexp(r"^[A-Z][A-Z0-9_]*$"))
    label = ma.fields.String(load_default="Single sign-on", validate=validate.Length(1, 60))
    private = ma.fields.Boolean(load_default=False, truthy={True}, falsy={False})
    domains = ma.fields.List(ma.fields.String(validate=validate.Length(1, 253)), load_default=list)


class PriceTable(Strict):
    """`image` is for one image; a model that has such a price may have no other."""

    input = Money()
    output = Money()
    cached_input = Money()
    cache_write = Money()
    reasoning = Money()
    image = Money()

    @ma.pre_load
    def tokens_cost_nothing(self, table: Any, **_: Any) -> Any:
        return {"input": 0, "output": 0, **table} if isinstance(table, dict) and "image" in table else table

    @ma.validates_schema
    def has_both(self, fields: dict[str, int], **_: Any) -> None:
        for name in ("input", "output"):
            if name not in fields:
                raise ma.ValidationError("Missing data for required field.", name)

    @ma.post_load
    def make(self, fields: dict[str, int], **_: Any) -> Price:
        return Price(**fields)


class Cache(Strict):
    """How long an answer may be given again for exactly the same request; 0 keeps none."""

    seconds = ma.fields.Integer(strict=True, load_default=0, validate=validate.Range(0, 30 * 86_400))


class Context(Strict):
    """Who makes the summaries of long sessions; empty leaves it to the model of each session."""

    summary_model = ma.fields.String(load_default="", validate=validate.Length(max=200))


class Document(Strict):
    providers = ma.fields.Dict(ma.fields.String(validate=PROVIDER_NAME), ma.fields.Nested(Provider), load_default=dict)
    models = ma.fields.Dict(ma.fields.String(validate=MODEL_NAME), ma.fields.Nested(Model), load_default=dict)
    deadlines = ma.fields.Nested(Deadlines, load_default=dict)
    retries = ma.fields.Nested(Retries, load_default=lambda: Retries().load({}))
    breaker = ma.fields.Nested(Breaker, load_default=lambda: Breaker().load({}))
    aliases = ma.fields.Dict(ma.fields.String(validate=ROUTE_NAME), ALIAS, load_default=dict)
    routes = ma.fields.Dict(ma.fields.String(validate=ROUTE_NAME), ma.fields.Nested(Route), load_default=dict)
    server = ma.fields.Nested(Server, load_default=lambda: Server().load({}))
    limits = ma.fields.Nested(Limits, load_default=lambda: Limits().load({}))
    accounts = ma.fields.Nested(Accounts, load_default=lambda: Accounts().load({}))
    oidc = ma.fields.Nested(Oidc, load_default=None)
    context = ma.fields.Nested(Context, load_default=lambda: Context().load({}))
    cache = ma.fields.Nested(Cache, load_default=lambda: Cache().load({}))
    guardrails = ma.fields.Dict(
        ma.fields.String(validate=PROVIDER_NAME), ma.fields.Nested(Guardrail), load_default=dict
    )
    prices = ma.fields.Dict(ma.fields.String(validate=MODEL_NAME), ma.fields.Nested(PriceTable), load_default=dict)


def read(path: Path | None) -> dict[str, Any]:
    """The document at `path` with defaults filled in; of an empty one when there is no path."""
    try:
        text = "" if path is None else path.read_text("utf-8")
        return dict(Document().load(tomllib.loads(text, parse_float=Decimal)))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except ma.ValidationError as error:
        raise ConfigurationError(f"{path}: " + "; ".join(_lines(error.messages))) from None


def _lines(messages: Any, path: tuple[str, ...] = ()) -> list[str]:
    if isinstance(messages, dict):
        return [line for key, inner in messages.items() for line in _lines(inner, (*path, str(key)))]
    # marshmallow nests the errors of a dictionary's entries under `key` and `value`, and those of a whole table under
    # `_schema`, which say nothing to a reader.
    named = [part for depth, part in enumerate(path) if depth != _ENTRY_DEPTH or part not in {"key", "value"}]
    named = [part for part in named if part != "_schema"]
    return [f"{'.'.join(named)}: {' '.join(str(message) for message in messages)}"]

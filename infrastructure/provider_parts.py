"""Which providers there are, and at what prices: the file, the environment, and what administrators entered."""

import hashlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import orjson

from adapters.ai.address import Address
from adapters.ai.breakers import Breaking
from adapters.ai.catalog import ProviderConfig, known_profiles, list_prices
from adapters.ai.credentials import Credential
from adapters.ai.deadlines import Deadlines
from adapters.ai.profile import Profile
from adapters.ai.retries import Retries
from adapters.ai.wires import REMOTE, USUAL
from application.live import EnteredKey
from application.provider_admin import ProviderState
from domain.completion import ModelCard
from domain.errors import InvalidRequest
from domain.provider_entry import checked_secret
from domain.usage import Price, PriceBook
from infrastructure.configuration import ConfigurationError
from infrastructure.settings import Settings

Configured = tuple[ProviderConfig, ...]

NONE_ENTERED: Mapping[str, Any] = MappingProxyType({})


def configured_providers(settings: Settings, entered: Mapping[str, EnteredKey] = NONE_ENTERED) -> Configured:
    """Those of the file, then those whose key or address is in the environment or `entered`; built-in ones come last.

    A key that an administrator entered counts instead of the file's, which counts instead of the environment's.
    """
    profiles = known_profiles()
    _check_models(settings, profiles.keys() | settings.providers.keys())
    names = (*settings.providers, *sorted(profiles.keys() - settings.providers.keys()))
    on = [name for name in names if _sources(settings, profiles.get(name), name, entered)]
    found = [_provider(settings, profiles.get(name), name, entered.get(name)) for name in on]
    return tuple(sorted(found, key=lambda provider: provider.profile.built_in))


def provider_states(settings: Settings, entered: Mapping[str, EnteredKey] = NONE_ENTERED) -> list[ProviderState]:
    """All that there could be, by name."""
    profiles = known_profiles()
    on = {provider.name: provider for provider in configured_providers(settings, entered)}
    states = []
    for name in sorted({*profiles, *settings.providers}):
        base_url = on[name].base_url if name in on else profiles[name].base_url
        sources = _sources(settings, profiles.get(name), name, entered)
        states.append(ProviderState(name, base_url, sources, len(on[name].cards()) if name in on else 0))
    return states


def provider_names(settings: Settings) -> frozenset[str]:
    """Those that a key can be entered for."""
    return frozenset(settings.providers) | {name for name, it in known_profiles().items() if not it.built_in}


def _sources(
    settings: Settings, profile: Profile | None, name: str, entered: Mapping[str, EnteredKey]
) -> tuple[str, ...]:
    """What turns it on, in the order in which they count."""
    named = (*(profile.key_env if profile else ()), _variable(name, "BASE_URL"))
    found = {
        "credential": name in entered,
        "file": name in settings.providers,
        "environment": any(settings.environment.get(variable) for variable in named),
        "built-in": profile is not None and profile.built_in,
    }
    return tuple(source for source, there in found.items() if there)


def _provider(settings: Settings, known: Profile | None, name: str, key: EnteredKey | None) -> ProviderConfig:
    table = settings.providers.get(name, {})
    if known is not None:
        _check_wire(known, table.get("wire"))
    profile = known or _own_profile(name, table)
    profile = replace(profile, models=_cards(name, profile, settings.models))
    if "on_disconnect" in table:
        profile = replace(profile, on_disconnect=table["on_disconnect"])
    of_environment = settings.environment.get(_variable(name, "BASE_URL"))
    base_url = (key and key.base_url) or table.get("base_url") or of_environment or profile.base_url
    if known is None and not base_url:
        raise ConfigurationError(f"providers.{name}: base_url is missing.")
    _check_address(name, base_url)
    return ProviderConfig(
        name=name,
        profile=profile,
        base_url=base_url,
        credentials=(Credential(key.secret),) if key else _credentials(settings, profile, name, table),
        models=tuple(table.get("models", ("*",))),
        deadlines=_deadlines(settings, table.get("deadlines", {})),
        # The file's word is about the file's address, and not about one that was entered.
        private=table.get("private", False) and not (key and key.base_url),
        retries=Retries(settings.retries["per_deployment"], settings.retries["budget"]),
        breaking=Breaking(settings.breaker["failures"], settings.breaker["open"], settings.breaker["longest"]),
    )


def _own_profile(name: str, table: Mapping[str, Any]) -> Profile:
    """Of a provider that nobody but the file knows: what its wire can say, and nothing of whose wire it is."""
    wire, address = _wire(name, table["wire"] or USUAL), table.get("base_url", "")
    template = known_profiles().get(wire)
    if wire == USUAL or template is None:
        return Profile(name, address, wire=wire)
    own = replace(template, name=name, base_url=address, key_env=(), needs_key=False)
    return replace(own, default_model="", models=(), prices={})


def _cards(provider: str, profile: Profile, tables: Mapping[str, Mapping[str, Any]]) -> tuple[ModelCard, ...]:
    """What is known of its models, with what the file says of them."""
    cards = {card.name: card for card in profile.models}
    for id_, table in tables.items():
        owner, _, model = id_.partition("/")
        if owner == provider:
            told = {**table, "capabilities": tuple(table["capabilities"])} if "capabilities" in table else table
            cards[model] = replace(cards.get(model, ModelCard(model)), **told)
    return tuple(cards.values())


def _check_models(settings: Settings, providers: AbstractSet[str]) -> None:
    for section, models in (("models", settings.models), ("prices", settings.prices)):
        for model in models:
            if model.partition("/")[0] not in providers:
                raise ConfigurationError(f"{section}.{model}: there is no such provider.")


def _check_address(provider: str, base_url: str) -> None:
    try:
        if base_url:
            Address.parse(base_url)
    except InvalidRequest as error:
        raise ConfigurationError(f"providers.{provider}.base_url: {error}") from None


def _check_wire(known: Profile, wire: str | None) -> None:
    if wire and wire != known.wire:
        raise ConfigurationError(
            f"providers.{known.name}.wire: {known.name} has a wire of its own. Another server needs another name."
        )


def _wire(provider: str, wire: str) -> str:
    if wire not in REMOTE:
        raise ConfigurationError(f"providers.{provider}.wire: Must be one of: {', '.join(REMOTE)}.")
    return wire


def _deadlines(settings: Settings, own: Mapping[str, float]) -> Deadlines:
    """A limit on headers that nobody set must not cut an answer that takes minutes to generate, and is billed."""
    chosen = {**settings.deadlines, **own}
    deadlines = Deadlines(**chosen, heartbeat=settings.server["heartbeat"])
    return replace(deadlines, answer=chosen.get("headers", deadlines.total))


def _credentials(settings: Settings, profile: Profile, name: str, table: Mapping[str, Any]) -> tuple[Credential, ...]:
    """Those that the file names, or the first of its variables that is set."""
    single = [{"api_key_env": table["api_key_env"], "weight": 1}] if "api_key_env" in table else []
    named = table.get("credentials", single)
    for variable in (entry["api_key_env"] for entry in named):
        if not settings.environment.get(variable):
            raise ConfigurationError(f"providers.{name}: the environment variable {variable} is not set.")
    if not named:
        usual = [it for it in (*profile.key_env, _variable(name, "API_KEY")) if settings.environment.get(it)]
        named = [{"api_key_env": variable, "weight": 1} for variable in usual[:1]]
    return tuple(Credential(_key(settings, name, it["api_key_env"]), it["weight"]) for it in named)


def _key(settings: Settings, provider: str, variable: str) -> str:
    """A line's end in a key, as a file with secrets may leave one, would end the header that it is sent in."""
    try:
        return checked_secret(settings.environment[variable])
    except InvalidRequest as error:
        raise ConfigurationError(f"providers.{provider}: the environment variable {variable}: {error}") from None


def _variable(provider: str, suffix: str) -> str:
    return f"{provider.upper().replace('-', '_')}_{suffix}"


def price_book(
    settings: Settings, configured: Sequence[ProviderConfig], entered: Mapping[str, Price] = NONE_ENTERED
) -> PriceBook:
    """The providers' list prices, below the file's, below those `entered`; the version is the hash of the whole set."""
    prices = {**list_prices(configured), **settings.prices, **entered}
    canonical = orjson.dumps(sorted((name, repr(price)) for name, price in prices.items()))
    return PriceBook(hashlib.sha256(canonical).hexdigest()[:12], prices)

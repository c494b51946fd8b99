"""The names that the operator gave to deployments, as `parley.toml` has them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from adapters.ai.catalog import ProviderConfig, known_profiles
from adapters.ai.routes import Route, Target, Tiers
from infrastructure.configuration import ConfigurationError
from infrastructure.provider_parts import configured_providers
from infrastructure.settings import Settings

Places = Iterator[tuple[str, Target]]
"""Where in the file it is, and what it leads to."""


def configured_routes(settings: Settings, configured: Sequence[ProviderConfig]) -> tuple[Route, ...]:
    """Aliases and routes. Raises ConfigurationError for a name that is taken and for a target that cannot be.

    A provider that is known and off may be a target: its key may be entered while the program runs. Until then the
    route does without it.
    """
    aliases = [Route(name, ((Target(model),),)) for name, model in settings.aliases.items()]
    routes = [_route(name, table) for name, table in settings.routes.items()]
    _check_names(settings, configured)
    for place, target in _places(settings, routes):
        _check_target(configured, place, target)
    summaries = settings.context["summary_model"]
    if summaries and summaries not in settings.aliases and summaries not in settings.routes:
        _check_target(configured, "context.summary_model", Target(summaries))
    return (*aliases, *routes)


def check(settings: Settings) -> None:
    """Raises ConfigurationError for what is wrong with providers and routes beyond the shape of the file."""
    configured_routes(settings, configured_providers(settings))


def _route(name: str, table: Mapping[str, Any]) -> Route:
    instead = {error: _tiers(tiers) for error, tiers in table["fallback"].items()}
    return Route(name, _tiers(table["try"]), table["continue"], instead)


def _tiers(tiers: Iterable[Iterable[Mapping[str, Any]]]) -> Tiers:
    return tuple(tuple(Target(target["model"], target["weight"]) for target in tier) for tier in tiers)


def _check_names(settings: Settings, configured: Sequence[ProviderConfig]) -> None:
    providers = {*known_profiles(), *settings.providers, *(config.name for config in configured)}
    for section, names in (("aliases", settings.aliases), ("routes", settings.routes)):
        for name in names:
            if name in providers:
                raise ConfigurationError(f"{section}.{name}: a provider has that name.")
            if section == "routes" and name in settings.aliases:
                raise ConfigurationError(f"routes.{name}: an alias has that name.")


def _places(settings: Settings, routes: Iterable[Route]) -> Places:
    for name, model in settings.aliases.items():
        yield f"aliases.{name}", Target(model)
    for route in routes:
        yield from _once(f"routes.{route.name}.try", route.tiers)
        for error, tiers in route.instead.items():
            yield from _once(f"routes.{route.name}.fallback.{error}", tiers)


def _once(place: str, tiers: Tiers) -> Places:
    seen = set()
    for number, tier in enumerate(tiers):
        for target in tier:
            if target.model in seen:
                raise ConfigurationError(f"{place}.{number}: {target.model} is there twice.")
            seen.add(target.model)
            yield f"{place}.{number}", target


def _check_target(configured: Sequence[ProviderConfig], place: str, target: Target) -> None:
    provider, _, model = target.model.partition("/")
    config = next((config for config in configured if config.name == provider), None)
    exists = provider in known_profiles() if config is None else config.allows(model)
    if not exists:
        names = ", ".join(config.name for config in configured)
        raise ConfigurationError(f"{place}: there is no model {target.model}. A target is provider/model, of {names}.")

"""The configured providers and their models."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from time import monotonic

from adapters.ai.deadlines import Deadlines
from adapters.ai.decorators import Observed, Retrying
from adapters.ai.echo import EchoModel
from adapters.ai.openai_compatible import OpenAICompatible
from adapters.ai.profile import Profile
from adapters.ai.retries import RetryBudget
from adapters.ai.transport import Transport
from application.ports import ChatModel, Deployment, Record
from domain.completion import ModelCard
from domain.errors import UnknownModel
from domain.usage import Price

GROUP = "parley.providers"
ANY = "*"


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """A provider that is on. An empty `base_url` means the profile's; `models` are names, `*` allows every name."""

    name: str
    profile: Profile
    base_url: str = ""
    credentials: tuple[str, ...] = field(default=(), repr=False)
    models: tuple[str, ...] = (ANY,)
    deadlines: Deadlines = field(default_factory=Deadlines)
    ca_file: str | None = None
    """Authorities for its certificate, in place of the public ones."""

    def allows(self, model: str) -> bool:
        return bool(model) and (ANY in self.models or model in self.models)

    def cards(self) -> list[ModelCard]:
        """The models that are known by name."""
        if ANY in self.models:
            return list(self.profile.models)
        return [self.profile.card(name) for name in self.models]

    def default_model(self) -> str:
        """Empty when no name is known."""
        if self.allows(self.profile.default_model):
            return self.profile.default_model
        return next((card.name for card in self.cards()), "")


@dataclass(frozen=True, slots=True)
class Provider:
    config: ProviderConfig
    chat: ChatModel

    def deployment(self, model: str) -> Deployment:
        name, profile = self.config.name, self.config.profile
        return Deployment(f"{name}/{model}", name, model, self.chat, profile.card(model), profile.options)


class Catalog:
    """Implements `Models`."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers = {provider.config.name: provider for provider in providers}
        self._bare = _bare_names(self._providers.values())

    def resolve(self, model: str) -> Deployment:
        provider, _, name = model.partition("/")
        found = self._providers.get(provider)
        if found is not None and found.config.allows(name):
            return found.deployment(name)
        owners = self._bare.get(model, ())
        if len(owners) == 1:
            return owners[0].deployment(model)
        raise UnknownModel(self._advice(model, owners), param="model")

    def default(self, provider: str | None = None) -> str:
        """Of `provider`, or of the first provider that has one; the built-in ones come last."""
        candidates = [found for found in self._providers.values() if provider in {None, found.config.name}]
        for found in sorted(candidates, key=lambda candidate: candidate.config.profile.built_in):
            name = found.config.default_model()
            if name:
                return f"{found.config.name}/{name}"
        raise UnknownModel(f"Name a model: no default is known for {provider or 'any provider'}.", param="model")

    def kept(self, config: ProviderConfig) -> Provider | None:
        """The provider that is configured exactly so, with its connections and its retry budget."""
        found = self._providers.get(config.name)
        return found if found is not None and found.config == config else None

    def listed(self) -> Sequence[tuple[str, ModelCard]]:
        return [
            (provider.config.name, card) for provider in self._providers.values() for card in provider.config.cards()
        ]

    def _advice(self, model: str, owners: Sequence[Provider]) -> str:
        if owners:
            names = ", ".join(f"{owner.config.name}/{model}" for owner in owners)
            return f"More than one provider has the model {model[:100]}: use one of {names}."
        names = ", ".join(self._providers) or "none"
        return f"There is no model {model[:100]}. Use provider/model with one of the configured providers: {names}."


def load_catalog(
    configured: Sequence[ProviderConfig],
    record: Record,
    *,
    retries: int = 1,
    retry_budget: float = 0.2,
    connections: int = 400,
    before: Catalog | None = None,
) -> Catalog:
    """`retries` is per call, `retry_budget` the share of calls that may be repeated.

    `connections` bounds those to one provider; fewer than there are generations at once would make some of them wait.
    What is configured as it was `before` is taken over as it is. What is not lives on until its last call has ended.
    """
    providers = []
    for config in configured:
        kept = before.kept(config) if before is not None else None
        if kept is None:
            observed = Observed(_chat_model(config, record, connections), config.name, record, monotonic)
            kept = Provider(config, Retrying(observed, RetryBudget(retry_budget), extra=retries))
        providers.append(kept)
    return Catalog(providers)


def known_profiles() -> dict[str, Profile]:
    """All installed providers by name, configured or not."""
    return dict(_installed())


@cache
def _installed() -> tuple[tuple[str, Profile], ...]:
    """Read once: looking through everything that is installed takes as long as many requests."""
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return tuple((point.name, point.load()) for point in points)


def list_prices(configured: Iterable[ProviderConfig]) -> Mapping[str, Price]:
    """Public list prices by `provider/model`. What is not in it has an unknown price."""
    return {f"{config.name}/{model}": price for config in configured for model, price in config.profile.prices.items()}


def _chat_model(config: ProviderConfig, record: Record, connections: int) -> ChatModel:
    profile = config.profile
    if profile.wire == "echo":
        return EchoModel()
    transport = Transport(
        config.base_url or profile.base_url, config.deadlines, size=connections, ca_file=config.ca_file
    )
    return OpenAICompatible(profile, transport, config.credentials, record, config.deadlines.heartbeat)


def _bare_names(providers: Iterable[Provider]) -> dict[str, list[Provider]]:
    names: dict[str, list[Provider]] = {}
    for provider in providers:
        for card in provider.config.cards():
            names.setdefault(card.name, []).append(provider)
    return names

"""The configured providers and their models."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from time import monotonic
from typing import Any

from adapters.ai.breakers import Breaking
from adapters.ai.credentials import Credential, Credentials
from adapters.ai.deadlines import Deadlines
from adapters.ai.decorators import Observed
from adapters.ai.profile import Link, Profile
from adapters.ai.retries import Retries, RetryBudget
from adapters.ai.rotation import RotatingChat, RotatingEmbedder, RotatingImages, Rotation
from adapters.ai.routes import Route, plans_of
from adapters.ai.transport import Transport
from adapters.ai.wires import wire_of
from application.model_ports import ChatModel, Deployment, Embedder, ImageMaker, Plan, Rest, plan_of
from application.ports import Record
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
    credentials: tuple[Credential, ...] = ()
    models: tuple[str, ...] = (ANY,)
    deadlines: Deadlines = field(default_factory=Deadlines)
    ca_file: str | None = None
    """Authorities for its certificate, in place of the public ones."""
    private: bool = False
    """Whether its name may lead into a private network, though it does not look so."""
    retries: Retries = field(default_factory=Retries)
    breaking: Breaking = field(default_factory=Breaking)

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
class ModelHealth:
    """Implements `Health`."""

    credentials: Credentials
    model: str

    def wait(self) -> float:
        return self.credentials.wait(self.model)

    def latency(self) -> float | None:
        return self.credentials.latency(self.model)


@dataclass(frozen=True, slots=True)
class Provider:
    config: ProviderConfig
    credentials: Credentials
    chat: ChatModel
    embedder: Embedder | None
    images: ImageMaker | None

    def deployment(self, model: str) -> Deployment:
        name, profile = self.config.name, self.config.profile
        return Deployment(
            id=f"{name}/{model}",
            provider=name,
            name=model,
            chat=self.chat,
            card=profile.card(model),
            options=profile.options,
            embedder=self.embedder,
            images=self.images if profile.makes_images(model) else None,
            image_options=profile.images.options if profile.images else frozenset(),
            health=ModelHealth(self.credentials, model),
            drains=profile.on_disconnect == "drain",
        )


class Catalog:
    """Implements `Models`. A route whose targets are all off leads nowhere."""

    def __init__(self, providers: Iterable[Provider], routes: Iterable[Route] = ()) -> None:
        self._providers = {provider.config.name: provider for provider in providers}
        self._bare = _bare_names(self._providers.values())
        self._routes = plans_of(routes, self._deployment)

    def resolve(self, model: str) -> Plan:
        if model in self._routes:
            return self._routes[model]
        found = self._deployment(model)
        if found is not None:
            return plan_of(found)
        owners = self._bare.get(model, ())
        if len(owners) == 1:
            return plan_of(owners[0].deployment(model))
        raise UnknownModel(_advice(model, several=bool(owners)), param="model")

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

    def routes(self) -> Sequence[Plan]:
        return tuple(self._routes[name] for name in sorted(self._routes))

    def named(self) -> Iterator[str]:
        """The ids of all models that the configuration has a name of."""
        yield from (f"{provider}/{card.name}" for provider, card in self.listed())
        yield from (deployment.id for plan in self._routes.values() for deployment in plan.deployments)

    def rests(self) -> Iterator[Rest]:
        """All credentials that are not called just now, and why."""
        for provider in self._providers.values():
            yield from provider.credentials.rests()

    def _deployment(self, model: str) -> Deployment | None:
        provider, _, name = model.partition("/")
        found = self._providers.get(provider)
        return found.deployment(name) if found is not None and found.config.allows(name) else None


def load_catalog(
    configured: Sequence[ProviderConfig],
    record: Record,
    *,
    routes: Iterable[Route] = (),
    connections: int = 400,
    before: Catalog | None = None,
) -> Catalog:
    """`connections` bounds those to one provider; fewer than generations at once would make some of them wait.

    What is configured as it was `before` is taken over as it is, with its connections, its retry budget and all that is
    known of its credentials. What is not lives on until its last call has ended.
    """
    kept = [before.kept(config) if before is not None else None for config in configured]
    providers = [old or _provider(config, record, connections) for config, old in zip(configured, kept, strict=True)]
    return Catalog(providers, routes)


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


def _provider(config: ProviderConfig, record: Record, connections: int) -> Provider:
    profile, wire = config.profile, wire_of(config.profile)
    address = config.base_url or profile.base_url or "http://localhost"
    transport = Transport(address, config.deadlines, size=connections, ca_file=config.ca_file, private=config.private)
    given = config.credentials or (Credential(""),)
    links = [Link(transport, credential.secret, record, config.deadlines.heartbeat) for credential in given]
    credentials = Credentials(config.name, given, config.breaking, monotonic, record)
    observed = Observed(config.name, record, monotonic)
    budget, extra = RetryBudget(config.retries.budget), config.retries.per_deployment
    rotation = Rotation(credentials, observed, budget, extra)
    embedders = _able(wire.embedder(profile, link) for link in links)
    makers = _able(wire.images(profile, link) for link in links)
    return Provider(
        config,
        credentials,
        RotatingChat(rotation, [wire.chat(profile, link) for link in links]),
        RotatingEmbedder(rotation, embedders) if embedders else None,
        RotatingImages(rotation, makers) if makers else None,
    )


def _able(clients: Iterable[Any]) -> list[Any]:
    """A provider can do something with each of its credentials, or with none."""
    return [client for client in clients if client is not None]


def _advice(model: str, *, several: bool) -> str:
    """Without the names of others: whoever asks may not use all of them."""
    what = "More than one provider has the" if several else "There is no"
    return f"{what} model {model[:100]}: write provider/model. GET /models lists those that you may use."


def _bare_names(providers: Iterable[Provider]) -> dict[str, list[Provider]]:
    names: dict[str, list[Provider]] = {}
    for provider in providers:
        for card in provider.config.cards():
            names.setdefault(card.name, []).append(provider)
    return names

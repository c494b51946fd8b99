"""The seams towards providers: what a model can be asked, and what the program knows of where it is served."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from application.cancellation import Cancellation
from domain.completion import Completion, Delta, ModelCard, Prompt
from domain.embedding import EmbeddingPrompt, Embeddings
from domain.image import ImagePrompt, Images


class ChatModel(Protocol):
    """One provider that answers. Raises `ProviderError`s, and the cancellation's reason when it is cancelled."""

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion: ...

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        """One list per read of the upstream with the events it carried, then exactly one closing `Completion`.

        An empty list means: nothing has arrived for a while (the heartbeat interval), still waiting. A stream that
        ends before its semantic terminal marker raises `UpstreamTruncated`. Closing the iterator closes the upstream.
        """
        ...


def close(parts: object) -> None:
    """Of a stream's parts; only generators, and what wraps them, have something to close."""
    closing = getattr(parts, "close", None)
    if closing is not None:
        closing()


class Embedder(Protocol):
    """One provider that turns texts into vectors. Raises what a `ChatModel` raises."""

    def embed(self, prompt: EmbeddingPrompt, cancellation: Cancellation) -> Embeddings:
        """One vector per input, in their order, however many requests that takes."""
        ...


class ImageMaker(Protocol):
    """One provider that makes images. Raises what a `ChatModel` raises."""

    def make(self, prompt: ImagePrompt, cancellation: Cancellation, progress: Callable[[float], object]) -> Images:
        """The images themselves, never addresses of them; `progress` gets 0.0 … 1.0 where the provider tells it."""
        ...


class TokenCounter(Protocol):
    """Counts as the tokenizer of a model's family does where that is known, else by the estimate of `domain.tokens`."""

    def count(self, model: str, text: str) -> int:
        """`model` is `provider/model`."""
        ...

    def method(self, model: str) -> str:
        """How it counts for this model: the name of a tokenizer, or `chars/4`."""
        ...


class Health(Protocol):
    """What this worker has learnt of a deployment from the calls it made; nothing is ever probed."""

    def wait(self) -> float:
        """Seconds until it is worth calling again; 0 when it may be called now."""
        ...

    def latency(self) -> float | None:
        """Seconds to the first event or to the answer, as an average that forgets; None before the first call."""
        ...


class _Unknown:
    def wait(self) -> float:
        return 0.0

    def latency(self) -> float | None:
        return None


UNKNOWN: Health = _Unknown()


@dataclass(frozen=True, slots=True)
class Rest:
    """A credential that is not called now: `#1` is the first of its provider's; model `*` is all of them.

    `state` is `open` or `half_open` (the provider failed), `refused` (the credential is), `limited` (for `seconds`).
    """

    provider: str
    credential: str
    model: str
    state: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a model is served: `id` is `provider/model`, `name` the provider's own name of the model.

    `chat`, `embedder` and `images` retry, and choose among the provider's credentials. A capability that the provider
    does not have is None.
    """

    id: str
    provider: str
    name: str
    chat: ChatModel
    card: ModelCard
    options: frozenset[str]
    """The parameters of a chat completion that this provider documents."""
    embedder: Embedder | None = None
    images: ImageMaker | None = None
    image_options: frozenset[str] = frozenset()
    """The further parameters of an image that this provider documents."""
    health: Health = UNKNOWN
    drains: bool = False
    """It goes on, and bills, when its answer is cancelled: then it is better heard to the end."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One deployment of a plan. Tier 0 is tried first; those of one tier are equals.

    Equals are chosen among by `weight`, or by the least latency where none of them has a weight.
    """

    deployment: Deployment
    tier: int = 0
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a model name stands for: the deployments that may answer, at least one."""

    name: str
    """As clients write it: `provider/model`, an alias, a route."""
    choices: tuple[Choice, ...]
    instead: Mapping[str, tuple[Choice, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """By class of error (`context_length`, `content_filter`, `rate_limit`): what is tried then in place of the rest."""
    continues: bool = False
    """Whether an answer that was cut may be continued by another deployment. The operator's wish, off by default."""
    affinity: str = ""
    """What it was made for, if that is to go the same way again."""

    @property
    def first(self) -> Deployment:
        return self.choices[0].deployment

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """All that may come to answer, each once."""
        reached = [*self.choices, *(choice for choices in self.instead.values() for choice in choices)]
        return tuple({choice.deployment.id: choice.deployment for choice in reached}.values())


def plan_of(deployment: Deployment) -> Plan:
    return Plan(deployment.id, (Choice(deployment),))


class Models(Protocol):
    """The models that are configured."""

    def resolve(self, model: str) -> Plan:
        """Find a route, an alias, `provider/model`, or a bare name that one provider lists. Raises UnknownModel."""
        ...

    def default(self, provider: str | None = None) -> str:
        """`provider/model` of what a session uses when its creator named no model. Raises UnknownModel."""
        ...

    def listed(self) -> Sequence[tuple[str, ModelCard]]:
        """Every known model as (`provider`, card)."""
        ...

    def routes(self) -> Sequence[Plan]:
        """What the operator named: routes and aliases, by name."""
        ...

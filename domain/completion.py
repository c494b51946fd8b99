"""What is asked of a model and what comes back, in OpenAI's vocabulary, the lingua franca of the field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.usage import Usage

JsonObject = dict[str, Any]

OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")
"""Two names of one option; the newer one, which is the first, wins when both were given."""


def output_limit(options: Mapping[str, Any]) -> int | None:
    """The most tokens that an answer may have, None where that was not said."""
    return next((options[name] for name in OUTPUT_LIMITS if type(options.get(name)) is int), None)


@dataclass(frozen=True, slots=True)
class Prompt:
    """`messages` and `options` have the shape of OpenAI's chat completion request.

    `model` is the provider's own name of the model, without the `provider/` prefix. `options` holds every other
    documented parameter, unchanged; `stream` and `stream_options` are never in it.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""
    """Sent along as `X-Request-Id`, so that the two logs can be matched."""
    user: str = ""
    """Who asks, as an opaque id, for providers that cannot do without one."""
    conversation: str = ""
    """The provider's own id of the conversation that this prompt goes on with, where the provider keeps one."""
    affinity: str = ""
    """Prompts with the same are best sent with the same credential: its account caches or keeps what they share."""


@dataclass(slots=True)
class Delta:
    """One event of a stream. `choices` has the shape of OpenAI's chunk; `text` is the visible text in choice 0."""

    choices: list[JsonObject]
    text: str = ""
    reasoning: str = ""


@dataclass(slots=True)
class Completion:
    """A complete answer, or the closing of a stream that reached its semantic end.

    `usage` is None when the provider reported none. `choices` has the shape of OpenAI's chat completion and is empty
    in the closing of a stream. `finish` is OpenAI's finish reason of choice 0. `model` is the provider's own name of
    the model that answered.
    """

    text: str
    finish: str
    usage: Usage | None = None
    model: str = ""
    choices: list[JsonObject] = field(default_factory=list)
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Documented top-level fields of the answer that clients may want (`system_fingerprint`, `service_tier`)."""
    conversation: str = ""
    """The provider's own id of the conversation, where it keeps one: the next prompt may name it."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known about one model. `name` is without the `provider/` prefix; unknown numbers are None."""

    name: str
    context_window: int | None = None
    max_output: int | None = None
    capabilities: tuple[str, ...] = ("chat", "stream")

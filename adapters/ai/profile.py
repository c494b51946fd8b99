"""What makes a provider different, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from domain.completion import ModelCard
from domain.usage import NANO, Price

OPENAI_OPTIONS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "modalities",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
"""Every documented parameter of OpenAI's chat completion but `model`, `messages`, `stream` and `stream_options`."""

Wire = Literal["openai", "echo"]
REMOTE_WIRES: tuple[Wire, ...] = ("openai",)
"""Those that a provider of one's own may speak, the usual one first."""


def price(
    input: str,  # noqa: A002 - the classes of domain.usage
    output: str,
    *,
    cached_input: str | None = None,
    cache_write: str | None = None,
    reasoning: str | None = None,
) -> Price:
    """A list price in US dollars per million tokens, as decimal text: `price("0.15", "0.60")`."""
    return Price(_nano(input), _nano(output), _optional(cached_input), _optional(cache_write), _optional(reasoning))


@dataclass(frozen=True, slots=True)
class Profile:
    """A provider. Everything but `name` and `base_url` has the value of a plain OpenAI-compatible server.

    `base_url` ends where `/chat/completions` begins. `key_env` are the names of environment variables that may hold
    the key, the first one that is set wins. `max_tokens_field` is the one name of the output limit that the provider
    understands, None when it understands both. `prices` are by the name of the model; a model without a price is
    accounted with an unknown cost. `options` are the parameters that the provider documents.
    """

    name: str
    base_url: str
    wire: Wire = "openai"
    key_env: tuple[str, ...] = ()
    needs_key: bool = False
    default_model: str = ""
    models: tuple[ModelCard, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)
    options: frozenset[str] = OPENAI_OPTIONS
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    built_in: bool = False
    """It needs no server; it is on when nothing else is configured, and the default model only then."""
    refuses_stream_options: bool = False
    """It answers 4xx to `stream_options`, so its streams are asked for without usage."""
    done_without_finish: bool = False
    """Its `[DONE]` proves a whole answer although no finish reason came before it."""

    def card(self, model: str) -> ModelCard:
        return next((card for card in self.models if card.name == model), ModelCard(model))


def _optional(text: str | None) -> int | None:
    return None if text is None else _nano(text)


def _nano(text: str) -> int:
    return int(Decimal(text) * NANO)

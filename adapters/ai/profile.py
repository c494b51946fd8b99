"""What makes a provider different: its wire format, and everything else as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol

from adapters.ai.decoder import Decoder
from adapters.ai.quirks import EmbeddingRules, Quirks
from adapters.ai.transport import Transport
from application.model_ports import ChatModel, Embedder, ImageMaker
from application.ports import Record
from domain.completion import Completion, ModelCard, Prompt
from domain.provider_errors import ProviderError
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


def price(
    input: str,  # noqa: A002 - the classes of domain.usage
    output: str,
    *,
    cached_input: str | None = None,
    cache_write: str | None = None,
    reasoning: str | None = None,
    image: str | None = None,
) -> Price:
    """A list price in US dollars per million tokens, and per image, as decimal text: `price("0.15", "0.60")`."""
    others = (cached_input, cache_write, reasoning, image)
    return Price(_nano(input), _nano(output), *map(_optional, others))


OPENAI_IMAGE_OPTIONS = frozenset(
    {
        "background",
        "moderation",
        "output_compression",
        "output_format",
        "quality",
        "safety_identifier",
        "style",
    }
)
"""The documented parameters of OpenAI's images, but for those that are Parley's own to decide."""


@dataclass(frozen=True, slots=True)
class ImageRules:
    """What a provider documents of making images. Everything has the value of OpenAI's own.

    A model that is listed without the capability `images` makes none, whatever is said here.
    """

    wire: str = "openai"
    options: frozenset[str] = OPENAI_IMAGE_OPTIONS
    size: str = "size"
    """What it calls the size."""
    count: str = "n"
    """What it calls the number of images."""
    user: bool = True
    """It takes `user`."""
    per_request: int = 4
    """Images in one request, at most: what one answer that holds all of them has room for."""
    singly: tuple[str, ...] = ()
    """How the names of models begin that make one image per request."""
    asks_base64: bool = True
    """It answers with the image itself when asked to, and not with its address."""
    base64_unasked: tuple[str, ...] = ()
    """How the names of models begin that answer so anyway, and refuse to be asked."""


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
    wire: "str | Wire" = "openai"
    """The name of one of those in `wires`, or one that a provider brings along."""
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
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    """`drain` where an answer is billed to its end although nobody reads it."""
    quirks: Quirks = field(default_factory=Quirks)
    embeddings: EmbeddingRules | None = field(default_factory=EmbeddingRules)
    """None where there are none."""
    images: ImageRules | None = field(default_factory=ImageRules)
    """None where there are none."""

    def card(self, model: str) -> ModelCard:
        return next((card for card in self.models if card.name == model), ModelCard(model))

    def makes_images(self, model: str) -> bool:
        """False for a model whose card says that it does not; what nobody has listed may do anything."""
        return all("images" in card.capabilities for card in self.models if card.name == model)


@dataclass(frozen=True, slots=True)
class Link:
    """One credential's way to a provider. An empty `key` sends none; a stream reports silence every `heartbeat` s."""

    transport: Transport
    key: str = field(repr=False)
    record: Record
    heartbeat: float


class Wire(Protocol):
    """How a provider is spoken to. What it cannot do, or a profile does not offer, is None."""

    def chat(self, profile: "Profile", link: Link) -> ChatModel: ...

    def embedder(self, profile: "Profile", link: Link) -> Embedder | None: ...

    def images(self, profile: "Profile", link: Link) -> ImageMaker | None: ...


class ChatFormat(Protocol):
    """Chat over plain HTTP and Server-Sent Events, as pure functions; `HttpChat` does the rest."""

    @property
    def events(self) -> frozenset[bytes]:
        """The names of SSE events that are known; the empty one is an event without a name."""
        ...

    def path(self, model: str, *, stream: bool) -> str:
        """Behind the base URL."""
        ...

    def headers(self, key: str) -> Mapping[str, str]:
        """Those that carry the credential, and what else this provider wants; `key` may be empty."""
        ...

    def encode(self, prompt: Prompt, profile: "Profile", *, stream: bool) -> bytes:
        """The body. Raises UnsupportedParameter for what this wire cannot say, with the field's name in `param`."""
        ...

    def decode(self, body: bytes, prompt: Prompt, profile: "Profile") -> Completion:
        """A whole answer. Raises UpstreamBadJson, or what the answer itself tells of a failure."""
        ...

    def decoder(self, prompt: Prompt, profile: "Profile") -> Decoder: ...

    def refusal(self, status: int, body: bytes, retry_after: str | None) -> ProviderError:
        """The error for an answer that is not 2xx; also for JSON that came with 200 in place of a stream."""
        ...


def _optional(text: str | None) -> int | None:
    return None if text is None else _nano(text)


def _nano(text: str) -> int:
    return int(Decimal(text) * NANO)

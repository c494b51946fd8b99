"""How a provider's dialect of OpenAI's wire differs from OpenAI's own, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.provider_errors import ProviderError


@dataclass(frozen=True, slots=True)
class Quirks:
    """Without any it is a plain OpenAI-compatible server."""

    renames: Mapping[str, str] = field(default_factory=dict)
    """What it calls a parameter: `{"seed": "random_seed"}`."""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What it says for a parameter's value: `{"tool_choice": {"required": "any"}}`."""
    keeps: frozenset[str] = frozenset({"reasoning_content"})
    """What it documents of `reasoning_content`, `reasoning_details`, `cache_control` and `prompt_cache_breakpoint`.
    The others are left out."""
    prefill: str = ""
    """The member of a last message of the assistant that makes it go on with that message: `prefix`, `partial`."""
    finishes: Mapping[str, str] = field(default_factory=dict)
    """OpenAI's words for its finish reasons; `error` is one that tells of a failure."""
    errors: Mapping[str, type[ProviderError]] = field(default_factory=dict)
    """By the code or the type of an error in lower case, or by a status of its own. They count before ours."""
    tools_show: bool = False
    """A tool's result may have images here. Elsewhere they follow in a message of the user's."""
    usage_within: str = ""
    """The member of a stream's chunk in which its usage may be, besides the usual place."""


@dataclass(frozen=True, slots=True)
class EmbeddingRules:
    """What a provider documents of `/embeddings`."""

    batch: int = 2_048
    """Inputs in one request, at most."""
    options: Mapping[str, str] = field(default_factory=lambda: {"dimensions": "dimensions", "user": "user"})
    """The names that it has for `dimensions` and `user`, as far as it takes them."""
    base64: bool = False
    """It answers in base64 when asked to, which is a third of the bytes of decimal digits."""
    tokens: bool = True
    """It takes tokens in place of texts."""

"""Images made from words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.usage import Usage


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    """`model` is the provider's own name of the model. `size` is `WIDTHxHEIGHT` in pixels, or None for its default.

    `options` holds every other parameter that the provider documents (`quality`, `style`, `negative_prompt`, `seed` …).
    """

    model: str
    text: str
    count: int = 1
    size: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    user: str | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class MadeImage:
    """`media_type` is what the content itself says it is: `image/png`, `image/jpeg`, `image/webp` or `image/gif`."""

    content: bytes
    media_type: str
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Images:
    """`usage.images` is how many the provider bills."""

    images: Sequence[MadeImage]
    usage: Usage | None = None
    model: str = ""

"""OpenAI. Windows and prices as published in August 2025: https://platform.openai.com/docs/models."""

from adapters.ai.profile import ImageRules, Profile, price
from adapters.ai.quirks import EmbeddingRules, Quirks
from domain.completion import ModelCard

_CHAT = ("chat", "stream", "tools", "json_object", "json_schema", "vision")
_EMBEDDINGS = ("embeddings",)
_REASONING = (*_CHAT, "reasoning")

PROFILE = Profile(
    name="openai",
    base_url="https://api.openai.com/v1",
    key_env=("OPENAI_API_KEY",),
    needs_key=True,
    default_model="gpt-4o-mini",
    models=(
        ModelCard("gpt-4o-mini", 128_000, 16_384, _CHAT),
        ModelCard("gpt-4o", 128_000, 16_384, _CHAT),
        ModelCard("gpt-4.1", 1_047_576, 32_768, _CHAT),
        ModelCard("gpt-4.1-mini", 1_047_576, 32_768, _CHAT),
        ModelCard("gpt-4.1-nano", 1_047_576, 32_768, _CHAT),
        ModelCard("gpt-5", 400_000, 128_000, _REASONING),
        ModelCard("gpt-5-mini", 400_000, 128_000, _REASONING),
        ModelCard("gpt-5-nano", 400_000, 128_000, _REASONING),
        ModelCard("o3", 200_000, 100_000, _REASONING),
        ModelCard("o4-mini", 200_000, 100_000, _REASONING),
        ModelCard("text-embedding-3-small", 8_192, None, _EMBEDDINGS),
        ModelCard("text-embedding-3-large", 8_192, None, _EMBEDDINGS),
        ModelCard("text-embedding-ada-002", 8_192, None, _EMBEDDINGS),
        # An image is at most so many tokens: quality `high`, 1024x1536.
        ModelCard("gpt-image-1", None, 6_240, ("images",)),
        ModelCard("gpt-image-1-mini", None, 6_240, ("images",)),
        ModelCard("dall-e-3", None, None, ("images",)),
    ),
    prices={
        "gpt-4o-mini": price("0.15", "0.60", cached_input="0.075"),
        "gpt-4o": price("2.50", "10.00", cached_input="1.25"),
        "gpt-4.1": price("2.00", "8.00", cached_input="0.50"),
        "gpt-4.1-mini": price("0.40", "1.60", cached_input="0.10"),
        "gpt-4.1-nano": price("0.10", "0.40", cached_input="0.025"),
        "gpt-5": price("1.25", "10.00", cached_input="0.125"),
        "gpt-5-mini": price("0.25", "2.00", cached_input="0.025"),
        "gpt-5-nano": price("0.05", "0.40", cached_input="0.005"),
        "o3": price("2.00", "8.00", cached_input="0.50"),
        "o4-mini": price("1.10", "4.40", cached_input="0.275"),
        "text-embedding-3-small": price("0.02", "0"),
        "text-embedding-3-large": price("0.13", "0"),
        "text-embedding-ada-002": price("0.10", "0"),
        "gpt-image-1": price("5.00", "40.00", cached_input="1.25"),
        "gpt-image-1-mini": price("2.00", "8.00", cached_input="0.20"),
        # 1024x1024 in quality `standard`; whoever sells others enters what they cost.
        "dall-e-3": price("0", "0", image="0.04"),
    },
    max_tokens_field="max_completion_tokens",
    quirks=Quirks(keeps=frozenset({"prompt_cache_breakpoint"})),
    embeddings=EmbeddingRules(base64=True),
    images=ImageRules(base64_unasked=("gpt-image-", "chatgpt-image-"), singly=("dall-e-3",)),
)

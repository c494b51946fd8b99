"""DeepSeek. Models as published in October 2026: https://api-docs.deepseek.com/quick_start/pricing.

A token costs twice as much in its peak hours as in the others, which one price cannot say, so none is given here.
To go on with an answer it has another address (`…/beta`), so that is not offered either.
"""

from adapters.ai.profile import Profile
from adapters.ai.quirks import Quirks
from domain.completion import ModelCard

_TEXT = ("chat", "stream", "tools", "json_object", "reasoning")

PROFILE = Profile(
    name="deepseek",
    base_url="https://api.deepseek.com",
    key_env=("DEEPSEEK_API_KEY",),
    needs_key=True,
    default_model="deepseek-flash",
    models=(
        ModelCard("deepseek-flash", 1_000_000, 384_000, (*_TEXT, "vision")),
        ModelCard("deepseek-v4-pro", 1_000_000, 384_000, _TEXT),
    ),
    options=frozenset(
        {
            "frequency_penalty",
            "logprobs",
            "max_completion_tokens",
            "max_tokens",
            "presence_penalty",
            "reasoning_effort",
            "response_format",
            "stop",
            "temperature",
            "thinking",
            "tool_choice",
            "tools",
            "top_logprobs",
            "top_p",
            "user",
        }
    ),
    max_tokens_field="max_tokens",
    # A turn with tools has to come back with the reasoning that led to them.
    quirks=Quirks(keeps=frozenset({"reasoning_content"})),
    embeddings=None,
    images=None,
)

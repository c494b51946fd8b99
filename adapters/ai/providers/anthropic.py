"""Anthropic. Models, windows and list prices as published in October 2026.

https://platform.claude.com/docs/en/about-claude/models/overview and https://platform.claude.com/docs/en/about-claude/pricing

Cache writes are those that last five minutes. Claude Haiku 5.5 costs five times as much where a prompt has more than
100,000 tokens; that higher price is the one given here, so that no budget is passed unseen.
"""

from adapters.ai.anthropic_thinking import BUDGETED
from adapters.ai.anthropic_wire import OPTIONS
from adapters.ai.profile import Profile, price
from domain.completion import ModelCard

_CHAT = ("chat", "stream", "tools", "json_schema", "vision", "reasoning")
_BUDGET = (*_CHAT, BUDGETED)

PROFILE = Profile(
    name="anthropic",
    base_url="https://api.anthropic.com",
    wire="anthropic",
    key_env=("ANTHROPIC_API_KEY",),
    needs_key=True,
    default_model="claude-sonnet-5-5",
    models=(
        ModelCard("claude-fable-5-2", 1_000_000, 128_000, _CHAT),
        ModelCard("claude-fable-5-1", 1_000_000, 128_000, _CHAT),
        ModelCard("claude-opus-5-5", 1_000_000, 128_000, _CHAT),
        ModelCard("claude-sonnet-5-5", 1_000_000, 128_000, _CHAT),
        ModelCard("claude-haiku-5-5", 1_000_000, 128_000, _CHAT),
        ModelCard("claude-opus-5", 1_000_000, 128_000, _CHAT),
        ModelCard("claude-sonnet-5", 1_000_000, 128_000, _CHAT),
        ModelCard("claude-opus-4-8", 1_000_000, 128_000, _CHAT),
        ModelCard("claude-opus-4-7", 1_000_000, 128_000, _CHAT),
        ModelCard("claude-opus-4-6", 1_000_000, 128_000, _CHAT),
        ModelCard("claude-sonnet-4-6", 1_000_000, 64_000, _CHAT),
        ModelCard("claude-opus-4-5", 200_000, 64_000, _BUDGET),
        ModelCard("claude-haiku-4-5", 200_000, 64_000, _BUDGET),
    ),
    prices={
        "claude-fable-5-2": price("8", "40"),
        "claude-fable-5-1": price("10", "50", cached_input="0.25", cache_write="12.50"),
        "claude-opus-5-5": price("4", "20", cached_input="0.20", cache_write="5"),
        "claude-sonnet-5-5": price("2", "10", cached_input="0.10", cache_write="2.50"),
        "claude-haiku-5-5": price("0.50", "2.50", cached_input="0.05", cache_write="0.625"),
        "claude-opus-5": price("5", "25", cached_input="0.50", cache_write="6.25"),
        "claude-sonnet-5": price("2", "10", cached_input="0.20", cache_write="2.50"),
        "claude-opus-4-8": price("5", "25", cached_input="0.50", cache_write="6.25"),
        "claude-opus-4-7": price("5", "25", cached_input="0.50", cache_write="6.25"),
        "claude-opus-4-6": price("5", "25", cached_input="0.50", cache_write="6.25"),
        "claude-sonnet-4-6": price("3", "15", cached_input="0.30", cache_write="3.75"),
        "claude-opus-4-5": price("5", "25", cached_input="0.50", cache_write="6.25"),
        "claude-haiku-4-5": price("1", "5", cached_input="0.10", cache_write="1.25"),
    },
    options=OPTIONS,
    embeddings=None,
    images=None,
)

"""Google's Gemini. Models, windows and list prices as published in October 2026.

https://ai.google.dev/gemini-api/docs/models and https://ai.google.dev/gemini-api/docs/pricing

Prices are those of texts, and of prompts up to 200,000 tokens where longer ones cost more. Those of Gemini 3.8 Flash
hold until 31 December 2026 and double afterwards.
"""

from adapters.ai.gemini_thinking import BUDGETED
from adapters.ai.gemini_wire import OPTIONS
from adapters.ai.profile import Profile, price
from adapters.ai.quirks import EmbeddingRules
from domain.completion import ModelCard

_CHAT = ("chat", "stream", "tools", "json_schema", "vision", "audio", "reasoning")
_BUDGET = (*_CHAT, BUDGETED)

PROFILE = Profile(
    name="gemini",
    base_url="https://generativelanguage.googleapis.com",
    wire="gemini",
    on_disconnect="drain",
    key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    needs_key=True,
    default_model="gemini-3.8-flash",
    models=(
        ModelCard("gemini-3.8-flash", 1_048_576, 65_536, _CHAT),
        ModelCard("gemini-3.5-flash", 1_048_576, 65_536, _CHAT),
        ModelCard("gemini-3.5-flash-lite", 1_048_576, None, _CHAT),
        ModelCard("gemini-3.1-pro-preview", 1_048_576, 65_536, _CHAT),
        ModelCard("gemini-2.5-pro", 1_048_576, 65_536, _BUDGET),
        ModelCard("gemini-2.5-flash", 1_048_576, 65_536, _BUDGET),
        ModelCard("gemini-2.5-flash-lite", 1_048_576, 65_536, _BUDGET),
        ModelCard("gemini-embedding-2", None, None, ("embeddings",)),
        ModelCard("gemini-embedding-001", 2_048, None, ("embeddings",)),
    ),
    prices={
        "gemini-3.8-flash": price("0.75", "3.75", cached_input="0.075"),
        "gemini-3.5-flash": price("1.50", "9.00", cached_input="0.15"),
        "gemini-3.5-flash-lite": price("0.30", "2.50"),
        "gemini-3.1-pro-preview": price("2.00", "12.00"),
        "gemini-2.5-pro": price("1.25", "10.00", cached_input="0.125"),
        "gemini-2.5-flash": price("0.30", "2.50", cached_input="0.03"),
        "gemini-2.5-flash-lite": price("0.10", "0.40", cached_input="0.01"),
        "gemini-embedding-2": price("0.20", "0"),
        "gemini-embedding-001": price("0.15", "0"),
    },
    options=OPTIONS,
    embeddings=EmbeddingRules(batch=100, options={"dimensions": "outputDimensionality"}, tokens=False),
    images=None,
)

"""Groq: https://console.groq.com/docs/api-reference. Windows and prices as published in November 2025.

What its reference calls not yet supported by any model is left out, and what names other servers or their keys.
"""

from adapters.ai.profile import Profile, price
from adapters.ai.quirks import Quirks
from domain.completion import ModelCard
from domain.provider_errors import UpstreamOverloaded

_CHAT = ("chat", "stream", "tools", "json_object")
_REASONING = (*_CHAT, "json_schema", "reasoning")

PROFILE = Profile(
    name="groq",
    base_url="https://api.groq.com/openai/v1",
    key_env=("GROQ_API_KEY",),
    needs_key=True,
    default_model="openai/gpt-oss-20b",
    models=(
        ModelCard("openai/gpt-oss-120b", 131_072, 65_536, _REASONING),
        ModelCard("openai/gpt-oss-20b", 131_072, 65_536, _REASONING),
        ModelCard("llama-3.3-70b-versatile", 131_072, 32_768, _CHAT),
        ModelCard("llama-3.1-8b-instant", 131_072, 131_072, _CHAT),
    ),
    prices={
        "openai/gpt-oss-120b": price("0.15", "0.60", cached_input="0.075"),
        "openai/gpt-oss-20b": price("0.075", "0.30", cached_input="0.0375"),
        "llama-3.3-70b-versatile": price("0.59", "0.79"),
        "llama-3.1-8b-instant": price("0.05", "0.08"),
    },
    options=frozenset(
        {
            "citation_options",
            "disable_tool_validation",
            "frequency_penalty",
            "include_reasoning",
            "max_completion_tokens",
            "max_tokens",
            "metadata",
            "n",
            "parallel_tool_calls",
            "presence_penalty",
            "reasoning_effort",
            "reasoning_format",
            "response_format",
            "seed",
            "service_tier",
            "stop",
            "store",
            "temperature",
            "tool_choice",
            "tools",
            "top_p",
            "user",
        }
    ),
    max_tokens_field="max_completion_tokens",
    quirks=Quirks(keeps=frozenset(), errors={"498": UpstreamOverloaded}, usage_within="x_groq"),
    on_disconnect="drain",
    embeddings=None,
    images=None,
)

"""Moonshot's Kimi. Windows as published in May 2026: https://platform.kimi.ai/docs/api/chat.

`https://api.moonshot.cn/v1` is the same for accounts in China. Its list prices differ between the two, so none is
given here.
"""

from adapters.ai.profile import Profile
from adapters.ai.quirks import Quirks
from domain.completion import ModelCard
from domain.provider_errors import UpstreamAuth, UpstreamOverloaded, UpstreamRateLimited

_CHAT = ("chat", "stream", "tools", "json_object", "prefill")

PROFILE = Profile(
    name="moonshot",
    base_url="https://api.moonshot.ai/v1",
    key_env=("MOONSHOT_API_KEY", "KIMI_API_KEY"),
    needs_key=True,
    default_model="kimi-k2.6",
    models=(
        ModelCard("kimi-k2.6", 262_144, None, (*_CHAT, "vision", "reasoning")),
        ModelCard("kimi-k2.5", 262_144, None, (*_CHAT, "vision", "reasoning")),
    ),
    options=frozenset(
        {
            "frequency_penalty",
            "max_completion_tokens",
            "max_tokens",
            "n",
            "presence_penalty",
            "prompt_cache_key",
            "response_format",
            "safety_identifier",
            "stop",
            "temperature",
            "thinking",
            "tool_choice",
            "tools",
            "top_p",
        }
    ),
    max_tokens_field="max_completion_tokens",
    quirks=Quirks(
        prefill="partial",
        errors={
            "engine_overloaded_error": UpstreamOverloaded,
            "exceeded_current_quota_error": UpstreamAuth,
            "rate_limit_reached_error": UpstreamRateLimited,
        },
    ),
    embeddings=None,
    images=None,
)

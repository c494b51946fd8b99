"""DeepSeek. Windows and prices as published for V3.2-Exp: https://api-docs.deepseek.com/quick_start/pricing."""

from adapters.ai.profile import Profile, price
from domain.completion import ModelCard

PROFILE = Profile(
    name="deepseek",
    base_url="https://api.deepseek.com",
    key_env=("DEEPSEEK_API_KEY",),
    needs_key=True,
    default_model="deepseek-chat",
    models=(
        ModelCard("deepseek-chat", 128_000, 8_192, ("chat", "stream", "tools", "json_object")),
        ModelCard("deepseek-reasoner", 128_000, 65_536, ("chat", "stream", "reasoning")),
    ),
    prices={
        "deepseek-chat": price("0.28", "0.42", cached_input="0.028"),
        "deepseek-reasoner": price("0.28", "0.42", cached_input="0.028"),
    },
    options=frozenset(
        {
            "frequency_penalty",
            "logprobs",
            "max_completion_tokens",
            "max_tokens",
            "presence_penalty",
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
)

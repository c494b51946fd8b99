"""SiliconFlow: https://docs.siliconflow.cn/cn/api-reference/chat-completions/chat-completions.

Its list prices are in yuan and change with the model's host, so none is given here.
"""

from adapters.ai.profile import Profile
from domain.completion import ModelCard

PROFILE = Profile(
    name="siliconflow",
    base_url="https://api.siliconflow.cn/v1",
    key_env=("SILICONFLOW_API_KEY",),
    needs_key=True,
    default_model="Qwen/Qwen2.5-7B-Instruct",
    models=(
        ModelCard("Qwen/Qwen2.5-7B-Instruct", 32_768, 4_096),
        ModelCard("Qwen/Qwen2.5-72B-Instruct", 32_768, 4_096),
        ModelCard("deepseek-ai/DeepSeek-V3", 65_536, None),
        ModelCard("deepseek-ai/DeepSeek-R1", 65_536, None, ("chat", "stream", "reasoning")),
    ),
    options=frozenset(
        {
            "enable_thinking",
            "frequency_penalty",
            "max_completion_tokens",
            "max_tokens",
            "min_p",
            "n",
            "response_format",
            "stop",
            "temperature",
            "thinking_budget",
            "tool_choice",
            "tools",
            "top_k",
            "top_p",
            "user",
        }
    ),
    max_tokens_field="max_tokens",
)

"""Qwen in DashScope's OpenAI-compatible mode: https://help.aliyun.com/zh/model-studio/compatibility-of-openai-with-dashscope.

Its list prices are in yuan and differ by region and tier, so none is given here.
"""

from adapters.ai.profile import Profile
from domain.completion import ModelCard

_TEXT = ("chat", "stream", "tools", "json_object")

PROFILE = Profile(
    name="qwen",
    base_url="https://dashscope.aliyuncs.com/compatible-mode/v1",
    key_env=("QWEN_API_KEY", "DASHSCOPE_API_KEY"),
    needs_key=True,
    default_model="qwen-plus",
    models=(
        ModelCard("qwen-plus", 131_072, None, _TEXT),
        ModelCard("qwen-turbo", None, None, _TEXT),
        ModelCard("qwen-max", 32_768, 8_192, _TEXT),
        ModelCard("qwen-vl-plus", None, None, ("chat", "stream", "vision")),
        ModelCard("qwen-vl-max", None, None, ("chat", "stream", "vision")),
    ),
    options=frozenset(
        {
            "audio",
            "enable_search",
            "enable_thinking",
            "logprobs",
            "max_completion_tokens",
            "max_tokens",
            "modalities",
            "n",
            "parallel_tool_calls",
            "presence_penalty",
            "repetition_penalty",
            "response_format",
            "search_options",
            "seed",
            "stop",
            "temperature",
            "thinking_budget",
            "tool_choice",
            "tools",
            "top_k",
            "top_logprobs",
            "top_p",
            "translation_options",
            "user",
            "vl_high_resolution_images",
        }
    ),
    max_tokens_field="max_tokens",
)

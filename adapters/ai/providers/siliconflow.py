"""SiliconFlow: https://docs.siliconflow.cn/cn/api-reference/chat-completions/chat-completions.

Its list prices are in yuan and change with the model's host, so none is given here.
"""

from adapters.ai.profile import ImageRules, Profile
from adapters.ai.quirks import EmbeddingRules, Quirks
from domain.completion import ModelCard
from domain.provider_errors import UpstreamAuth, UpstreamOverloaded

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
        ModelCard("BAAI/bge-m3", 8_192, None, ("embeddings",)),
        ModelCard("Qwen/Qwen3-Embedding-8B", 32_768, None, ("embeddings",)),
        ModelCard("Qwen/Qwen3-Embedding-0.6B", 32_768, None, ("embeddings",)),
        ModelCard("Kwai-Kolors/Kolors", capabilities=("images",)),
        ModelCard("Qwen/Qwen-Image", capabilities=("images",)),
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
    quirks=Quirks(errors={"30001": UpstreamAuth, "50505": UpstreamOverloaded}),
    embeddings=EmbeddingRules(batch=32, options={"dimensions": "dimensions"}, base64=True, tokens=False),
    images=ImageRules(
        options=frozenset({"guidance_scale", "negative_prompt", "num_inference_steps", "seed"}),
        size="image_size",
        count="batch_size",
        user=False,
        asks_base64=False,
    ),
)

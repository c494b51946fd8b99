"""Qwen in DashScope's OpenAI-compatible mode: https://help.aliyun.com/zh/model-studio/compatibility-of-openai-with-dashscope.

Its list prices are in yuan and differ by region and tier, so none is given here.
"""

from adapters.ai.profile import ImageRules, Profile
from adapters.ai.quirks import EmbeddingRules, Quirks
from domain.completion import ModelCard
from domain.provider_errors import UpstreamAuth, UpstreamRateLimited

_TEXT = ("chat", "stream", "tools", "json_object", "prefill")
_VISION = ("chat", "stream", "vision", "prefill")

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
        ModelCard("qwen-vl-plus", None, None, _VISION),
        ModelCard("qwen-vl-max", None, None, _VISION),
        ModelCard("text-embedding-v4", 8_192, None, ("embeddings",)),
        ModelCard("text-embedding-v3", 8_192, None, ("embeddings",)),
        ModelCard("wan2.2-t2i-flash", capabilities=("images",)),
        ModelCard("wan2.2-t2i-plus", capabilities=("images",)),
        ModelCard("wanx2.1-t2i-turbo", capabilities=("images",)),
        ModelCard("qwen-image", capabilities=("images",)),
        ModelCard("qwen-image-plus", capabilities=("images",)),
        ModelCard("stable-diffusion-3.5-large", capabilities=("images",)),
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
    quirks=Quirks(
        keeps=frozenset({"cache_control"}),
        prefill="partial",
        errors={
            "arrearage": UpstreamAuth,
            # Its word for a limit per minute; no other provider's quota comes back by itself.
            "insufficient_quota": UpstreamRateLimited,
            "limit_requests": UpstreamRateLimited,
            "throttling": UpstreamRateLimited,
            "throttling.allocationquota": UpstreamRateLimited,
            "throttling.burstrate": UpstreamRateLimited,
            "throttling.ratequota": UpstreamRateLimited,
        },
    ),
    embeddings=EmbeddingRules(batch=10, options={"dimensions": "dimensions"}, tokens=False),
    images=ImageRules(
        wire="dashscope",
        options=frozenset({"cfg", "negative_prompt", "prompt_extend", "seed", "shift", "steps", "style", "watermark"}),
    ),
)

"""Zhipu's GLM: https://docs.bigmodel.cn/api-reference. Windows as published in October 2025.

Its list prices are in yuan and differ by the length of a prompt, so none is given here. A `user` has at least six
characters there.
"""

from adapters.ai.profile import Profile
from adapters.ai.quirks import EmbeddingRules, Quirks
from domain.completion import ModelCard
from domain.provider_errors import (
    ContentFiltered,
    ContextLengthExceeded,
    UpstreamAuth,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
)

_CHAT = ("chat", "stream", "tools", "json_object", "reasoning")

PROFILE = Profile(
    name="zhipu",
    base_url="https://open.bigmodel.cn/api/paas/v4",
    key_env=("ZHIPU_API_KEY", "ZHIPUAI_API_KEY"),
    needs_key=True,
    default_model="glm-4.6",
    models=(
        ModelCard("glm-4.6", 200_000, 128_000, _CHAT),
        ModelCard("glm-4.5", 128_000, 96_000, _CHAT),
        ModelCard("glm-4.5-air", 128_000, 96_000, _CHAT),
        ModelCard("embedding-3", 3_072, None, ("embeddings",)),
        ModelCard("embedding-2", 512, None, ("embeddings",)),
    ),
    options=frozenset(
        {
            "do_sample",
            "max_completion_tokens",
            "max_tokens",
            "response_format",
            "stop",
            "temperature",
            "thinking",
            "tool_choice",
            "tools",
            "top_p",
            "user",
        }
    ),
    max_tokens_field="max_tokens",
    quirks=Quirks(
        renames={"user": "user_id"},
        finishes={"sensitive": "content_filter", "network_error": "error", "model_context_window_exceeded": "length"},
        errors={
            **dict.fromkeys(("1000", "1001", "1002", "1003", "1004"), UpstreamAuth),
            **dict.fromkeys(("1110", "1111", "1112", "1113", "1121"), UpstreamAuth),
            **dict.fromkeys(("1210", "1211", "1213", "1214", "1215"), UpstreamRejected),
            "1261": ContextLengthExceeded,
            "1301": ContentFiltered,
            **dict.fromkeys(("1302", "1303", "1304", "1308", "1310"), UpstreamRateLimited),
            **dict.fromkeys(("1305", "1312"), UpstreamOverloaded),
        },
    ),
    embeddings=EmbeddingRules(batch=64, options={"dimensions": "dimensions"}, tokens=False),
    images=None,
)

"""llama.cpp's server: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md.

One server holds one model and takes any name for it. Its grammar fields are left out, because a hostile grammar can
stall the server; `response_format` with a JSON schema does what most callers want of them.
"""

from adapters.ai.profile import OPENAI_OPTIONS, Profile
from adapters.ai.quirks import EmbeddingRules
from domain.completion import ModelCard

_SAMPLING = frozenset(
    {
        "cache_prompt",
        "chat_template_kwargs",
        "dry_base",
        "dry_multiplier",
        "min_p",
        "mirostat",
        "mirostat_eta",
        "mirostat_tau",
        "reasoning_format",
        "repeat_last_n",
        "repeat_penalty",
        "top_k",
        "typical_p",
        "xtc_probability",
        "xtc_threshold",
    }
)

PROFILE = Profile(
    name="llamacpp",
    base_url="http://127.0.0.1:8081/v1",
    key_env=("LLAMACPP_API_KEY",),
    default_model="default",
    models=(ModelCard("default"),),
    options=OPENAI_OPTIONS | _SAMPLING,
    max_tokens_field="max_tokens",
    embeddings=EmbeddingRules(options={}),
    images=None,
)

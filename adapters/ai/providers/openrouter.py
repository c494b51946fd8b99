"""OpenRouter: https://openrouter.ai/docs/api-reference. Its models are the providers' own, under `maker/model`.

Each has its price there, and the answer says what it cost, so none is given here. Who serves a request is chosen by
Parley's routes, so its own parameters for that (`provider`, `models`, `route`, `plugins`) are left out.
"""

from adapters.ai.profile import Profile
from adapters.ai.quirks import EmbeddingRules, Quirks
from domain.completion import ModelCard

PROFILE = Profile(
    name="openrouter",
    base_url="https://openrouter.ai/api/v1",
    key_env=("OPENROUTER_API_KEY",),
    needs_key=True,
    default_model="openrouter/auto",
    models=(ModelCard("openrouter/auto"),),
    options=frozenset(
        {
            "frequency_penalty",
            "include_reasoning",
            "logit_bias",
            "logprobs",
            "max_completion_tokens",
            "max_tokens",
            "min_p",
            "modalities",
            "parallel_tool_calls",
            "prediction",
            "presence_penalty",
            "reasoning",
            "reasoning_effort",
            "repetition_penalty",
            "response_format",
            "seed",
            "stop",
            "temperature",
            "tool_choice",
            "tools",
            "top_a",
            "top_k",
            "top_logprobs",
            "top_p",
            "user",
            "verbosity",
        }
    ),
    max_tokens_field="max_tokens",
    quirks=Quirks(keeps=frozenset({"reasoning_details", "cache_control"})),
    embeddings=EmbeddingRules(base64=True),
    images=None,
)

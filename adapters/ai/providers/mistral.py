"""Mistral: https://docs.mistral.ai/api. It refuses parameters that it does not know, `stream_options` among them.

Its `-latest` names move from model to model, so neither windows nor prices are given here.
"""

from adapters.ai.profile import Profile
from adapters.ai.quirks import EmbeddingRules, Quirks
from domain.completion import ModelCard
from domain.provider_errors import UpstreamOverloaded, UpstreamRateLimited

_CHAT = ("chat", "stream", "tools", "json_object", "json_schema", "prefill")

PROFILE = Profile(
    name="mistral",
    base_url="https://api.mistral.ai/v1",
    key_env=("MISTRAL_API_KEY",),
    needs_key=True,
    default_model="mistral-small-latest",
    models=(
        ModelCard("mistral-large-latest", None, None, (*_CHAT, "vision")),
        ModelCard("mistral-medium-latest", None, None, (*_CHAT, "vision", "reasoning")),
        ModelCard("mistral-small-latest", None, None, (*_CHAT, "vision", "reasoning")),
        ModelCard("magistral-medium-latest", None, None, (*_CHAT, "vision", "reasoning")),
        ModelCard("codestral-latest", None, None, _CHAT),
        ModelCard("mistral-embed", 8_192, None, ("embeddings",)),
        ModelCard("codestral-embed", 8_192, None, ("embeddings",)),
    ),
    options=frozenset(
        {
            "frequency_penalty",
            "max_completion_tokens",
            "max_tokens",
            "metadata",
            "n",
            "parallel_tool_calls",
            "prediction",
            "presence_penalty",
            "prompt_mode",
            "reasoning_effort",
            "response_format",
            "safe_prompt",
            "seed",
            "stop",
            "temperature",
            "tool_choice",
            "tools",
            "top_p",
        }
    ),
    max_tokens_field="max_tokens",
    refuses_stream_options=True,
    quirks=Quirks(
        renames={"seed": "random_seed"},
        words={"tool_choice": {"required": "any"}},
        keeps=frozenset(),
        prefill="prefix",
        tools_show=True,
        finishes={"model_length": "length"},
        errors={"1300": UpstreamRateLimited, "3505": UpstreamOverloaded},
    ),
    on_disconnect="drain",
    embeddings=EmbeddingRules(options={"dimensions": "output_dimension"}, base64=True, tokens=False),
    images=None,
)

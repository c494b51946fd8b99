"""vLLM: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html.

Its models are named when it is started.
"""

from adapters.ai.profile import OPENAI_OPTIONS, Profile
from adapters.ai.quirks import EmbeddingRules

_EXTRA = frozenset(
    {
        "add_generation_prompt",
        "bad_words",
        "chat_template_kwargs",
        "continue_final_message",
        "guided_choice",
        "guided_json",
        "guided_regex",
        "ignore_eos",
        "include_reasoning",
        "length_penalty",
        "min_p",
        "min_tokens",
        "priority",
        "prompt_logprobs",
        "repetition_penalty",
        "skip_special_tokens",
        "stop_token_ids",
        "structured_outputs",
        "top_k",
        "truncate_prompt_tokens",
    }
)

PROFILE = Profile(
    name="vllm",
    base_url="http://127.0.0.1:8000/v1",
    key_env=("VLLM_API_KEY",),
    options=OPENAI_OPTIONS | _EXTRA,
    embeddings=EmbeddingRules(base64=True),
    images=None,
)

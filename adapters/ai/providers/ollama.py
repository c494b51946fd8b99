"""Ollama's OpenAI-compatible endpoint: https://docs.ollama.com/openai. Its models are whatever was pulled."""

from adapters.ai.profile import Profile
from adapters.ai.quirks import EmbeddingRules

PROFILE = Profile(
    name="ollama",
    base_url="http://127.0.0.1:11434/v1",
    key_env=("OLLAMA_API_KEY",),
    options=frozenset(
        {
            "frequency_penalty",
            "max_completion_tokens",
            "max_tokens",
            "presence_penalty",
            "reasoning_effort",
            "response_format",
            "seed",
            "stop",
            "temperature",
            "tools",
            "top_p",
            "user",
        }
    ),
    max_tokens_field="max_tokens",
    embeddings=EmbeddingRules(options={"dimensions": "dimensions"}, tokens=False),
    images=None,
)

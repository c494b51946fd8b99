"""Example: a provider on OpenAI's wire, as a package of its own."""

from adapters.ai.profile import OPENAI_OPTIONS, Profile, price
from domain.completion import ModelCard

PROFILE = Profile(
    name="example",
    base_url="https://api.example.org/v1",
    key_env=("EXAMPLE_API_KEY",),
    needs_key=True,
    default_model="ok",
    models=(ModelCard("ok", context_window=128_000, max_output=8_192),),
    prices={"ok": price("0.50", "1.50", cached_input="0.05")},
    options=OPENAI_OPTIONS | {"top_k"},
)

"""The built-in provider: no key, no server, no network."""

from adapters.ai.profile import Profile, price
from domain.completion import ModelCard

PROFILE = Profile(
    name="echo",
    base_url="",
    wire="echo",
    built_in=True,
    default_model="echo",
    models=(ModelCard("echo"), ModelCard("slow")),
    # What it follows, and what makes no difference to it. What would (tools, n, logprobs …) is refused by name.
    options=frozenset(
        {
            "frequency_penalty",
            "max_completion_tokens",
            "max_tokens",
            "metadata",
            "presence_penalty",
            "safety_identifier",
            "seed",
            "store",
            "temperature",
            "top_p",
            "user",
        }
    ),
    prices={"echo": price("0", "0"), "slow": price("0", "0")},
)

"""The built-in provider: no key, no server, no network."""

from adapters.ai.echo_images import IDLE
from adapters.ai.profile import ImageRules, Profile, price
from domain.completion import ModelCard

_ALL = ("chat", "stream", "embeddings", "images")

PROFILE = Profile(
    name="echo",
    base_url="",
    wire="echo",
    built_in=True,
    default_model="echo",
    models=(ModelCard("echo", capabilities=_ALL), ModelCard("slow", capabilities=_ALL)),
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
    images=ImageRules(options=IDLE),
    prices={"echo": price("0", "0"), "slow": price("0", "0")},
)

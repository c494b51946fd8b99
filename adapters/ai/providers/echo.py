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
    prices={"echo": price("0", "0"), "slow": price("0", "0")},
)

"""The page `docs/providers.md`, made from the installed profiles.

`python -m adapters.ai.providers_page > docs/providers.md`
"""

import sys
from decimal import Decimal

from adapters.ai.catalog import known_profiles
from adapters.ai.profile import OPENAI_OPTIONS, Profile
from adapters.ai.quirks import EmbeddingRules
from domain.completion import ModelCard
from domain.usage import NANO, Price

_INTRODUCTION = """# Providers

Made from `adapters/ai/providers/` by `make docs`; a test keeps it true. Prices are public list prices in US dollars per
million tokens at the time that each file names; `[prices."provider/model"]` in `parley.toml` overrides them. A dash is
an unknown price, and a request without a known price is recorded with an unknown cost, never with 0.
"""


def page() -> str:
    return "\n".join([_INTRODUCTION, *(_section(profile) for profile in known_profiles().values())])


def _section(profile: Profile) -> str:
    lines = [f"## {profile.name}", "", _source(profile), "", _options(profile), "", _further(profile), ""]
    if profile.models:
        lines += [
            "| Model | Can | Context window | Longest answer | Input | Cached input | Output |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [_row(card, profile.prices.get(card.name)) for card in profile.models]
    else:
        lines.append("Its models are whatever the server offers; none is known in advance.")
    return "\n".join([*lines, ""])


def _source(profile: Profile) -> str:
    if profile.built_in:
        return "Built in: no key, no server. It is on when no other provider is configured."
    keys = " or ".join(f"`{name}`" for name in profile.key_env)
    needed = "is needed" if profile.needs_key else "is sent when set"
    return f"`{profile.base_url}`; {keys} {needed}, `{profile.name.upper()}_BASE_URL` moves it."


def _options(profile: Profile) -> str:
    further, missing = sorted(profile.options - OPENAI_OPTIONS), sorted(OPENAI_OPTIONS - profile.options)
    parts = [
        "All parameters of OpenAI's chat completions" if not missing else "Parameters of OpenAI's that it documents"
    ]
    if missing:
        parts = [f"{parts[0]}: {_names(sorted(profile.options & OPENAI_OPTIONS))}"]
    if further:
        parts.append(f"of its own {_names(further)}")
    return "; ".join(parts) + "."


def _further(profile: Profile) -> str:
    """What else a caller notices."""
    said = [_embeddings(profile.embeddings, built_in=profile.built_in)]
    if profile.on_disconnect == "drain":
        said.append("An answer is billed to its end although its reader has left.")
    return " ".join(said)


def _embeddings(rules: EmbeddingRules | None, *, built_in: bool) -> str:
    if built_in:
        return "Embeddings of eight dimensions that say nothing."
    if rules is None:
        return "No embeddings."
    taken = _names(sorted(rules.options)) or "no parameters"
    what = "texts or tokens" if rules.tokens else "texts"
    return f"Embeddings of {what}, {rules.batch:,} in one request to it, with {taken}."


def _names(options: list[str]) -> str:
    return ", ".join(f"`{option}`" for option in options)


def _row(card: ModelCard, price: Price | None) -> str:
    costs = (None, None, None) if price is None else (price.input, price.cached_input, price.output)
    cells = [
        f"`{card.name}`",
        ", ".join(card.capabilities),
        _count(card.context_window),
        _count(card.max_output),
        *(_dollars(cost) for cost in costs),
    ]
    return "| " + " | ".join(cells) + " |"


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _dollars(nano: int | None) -> str:
    return "–" if nano is None else f"{Decimal(nano) / NANO:f}"


if __name__ == "__main__":
    sys.stdout.write(page())

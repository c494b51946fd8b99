"""Token usage, prices and money."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

NANO = 1_000_000_000


def written(nano: int) -> str:
    """An amount of money as people write it: 0.00002, never 2e-05."""
    return f"{Decimal(nano).scaleb(-9).normalize():f}"


_PER_MILLION = 1_000_000


class Source(StrEnum):
    """Who counted the tokens."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in disjoint classes: every token is in exactly one of them.

    `input` excludes cached and cache-written tokens, `output` excludes reasoning tokens.
    """

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    source: Source = Source.NONE
    images: int = 0
    """Pictures made, which some providers bill by the piece."""

    @property
    def prompt_tokens(self) -> int:
        return self.input + self.cached_input + self.cache_write

    @property
    def completion_tokens(self) -> int:
        return self.output + self.reasoning

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-units of money per million tokens of each class, and per `image`.

    A class without a price of its own costs what its parent class costs: cached input and cache writes as input,
    reasoning as output. An image without a price costs its tokens only.
    """

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    image: int | None = None

    def cost(self, usage: Usage) -> int:
        """Nano-units for `usage`, rounded half up once, at the end."""
        cached = self.input if self.cached_input is None else self.cached_input
        write = self.input if self.cache_write is None else self.cache_write
        reasoning = self.output if self.reasoning is None else self.reasoning
        total = (
            usage.input * self.input
            + usage.cached_input * cached
            + usage.cache_write * write
            + usage.output * self.output
            + usage.reasoning * reasoning
        )
        return (total + _PER_MILLION // 2) // _PER_MILLION + usage.images * (self.image or 0)

    @property
    def dearest(self) -> "Price":
        """What tokens cost at most, whichever classes they turn out to be of."""
        asked = (self.input, self.cached_input, self.cache_write)
        answered = (self.output, self.reasoning)
        return Price(
            max(price for price in asked if price is not None),
            max(price for price in answered if price is not None),
            image=self.image,
        )


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The prices in force; `version` names this exact set in every ledger row."""

    version: str
    prices: Mapping[str, Price]

    def cost(self, model: str, usage: Usage) -> int | None:
        """Nano-units for `usage` of `provider/model`; None when the model has no price, never 0 instead."""
        price = self.prices.get(model)
        return None if price is None else price.cost(usage)

    def cost_at_most(self, model: str, usage: Usage) -> int | None:
        """As `cost`, for tokens that are expected and of whose classes nothing is known."""
        price = self.prices.get(model)
        return None if price is None else price.dearest.cost(usage)

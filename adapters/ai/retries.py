"""How many failed calls may be repeated, each and at the same time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retries:
    """`per_deployment` further calls after failures of a provider, `budget` is their share of all calls under way."""

    per_deployment: int = 1
    budget: float = 0.2


class RetryBudget:
    """At any moment at most `share` of the calls under way are second tries, but `floor` of them always may be.

    Without a budget a provider that is down gets twice the load at the very moment it can stand none. The rule is
    Envoy's: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/circuit_breaker.proto.
    """

    def __init__(self, share: float = 0.2, floor: int = 3) -> None:
        self._share = share
        self._floor = floor
        self._calls = 0
        self._retries = 0

    def begin(self) -> None:
        """A call begins, whose retries count as part of it; `end` must follow."""
        self._calls += 1

    def end(self, retries: int) -> None:
        """The call is over, after so many retries that `spend` allowed."""
        self._calls -= 1
        self._retries -= retries

    def spend(self) -> bool:
        """Whether a call that has begun may try again."""
        if self._retries >= max(self._floor, int(self._share * self._calls)):
            return False
        self._retries += 1
        return True

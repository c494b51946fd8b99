"""Names that the operator gave to one or more deployments."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from application.model_ports import Choice, Deployment, Plan

Find = Callable[[str], Deployment | None]


@dataclass(frozen=True, slots=True)
class Target:
    """`model` is `provider/model`."""

    model: str
    weight: int | None = None


Tiers = tuple[tuple[Target, ...], ...]
"""The targets of the first are tried first; those of one are equals."""


@dataclass(frozen=True, slots=True)
class Route:
    """An alias is a route with one target. The fields mean what those of a `Plan` do."""

    name: str
    tiers: Tiers
    continues: bool = False
    instead: Mapping[str, Tiers] = field(default_factory=dict)

    def targets(self) -> Iterator[Target]:
        """All of them, those that are tried after an error of a certain class too."""
        for tiers in (self.tiers, *self.instead.values()):
            for tier in tiers:
                yield from tier


def plans_of(routes: Iterable[Route], find: Find) -> dict[str, Plan]:
    """By name. Targets of providers that are off are left out, and so are routes without any other."""
    plans = {}
    for route in routes:
        choices = _choices(route.tiers, find)
        instead = {error: _choices(tiers, find) for error, tiers in route.instead.items()}
        if choices:
            plans[route.name] = Plan(route.name, choices, instead, continues=route.continues)
    return plans


def _choices(tiers: Tiers, find: Find) -> tuple[Choice, ...]:
    found = [(find(target.model), number, target.weight) for number, tier in enumerate(tiers) for target in tier]
    return tuple(Choice(deployment, tier, weight) for deployment, tier, weight in found if deployment is not None)

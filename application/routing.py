"""Which deployments may answer a call, and in which order they are tried."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

from application.model_ports import Choice, Deployment, Models, Plan
from domain import capabilities, ranking, reasoning
from domain.errors import ModelNotAllowed, UnsupportedParameter
from domain.user import Principal

Offers = Callable[[Deployment], object]
"""What a deployment has to offer for a call, None when it has not."""

Misfit = Callable[[Deployment], UnsupportedParameter | None]
"""Why a deployment cannot serve a call, None when it can."""


@dataclass(frozen=True, slots=True)
class Router:
    models: Models
    draw: ranking.Draw
    """The chance by which equals are chosen among."""

    def plan(
        self,
        principal: Principal,
        names: Iterable[str],
        options: Mapping[str, Any],
        *,
        affinity: str = "",
        messages: Sequence[Mapping[str, Any]] = (),
        hints: AbstractSet[str] = frozenset(),
    ) -> Plan:
        """The plan for a chat completion. `names` are models in the order of the caller's preference.

        Calls of the same `affinity` go to the same of several equals, and of their credentials. `hints` are options
        that the caller can do without: a deployment that does not document one is not sent it.

        Raises UnknownModel, ModelNotAllowed, and UnsupportedParameter when no deployment that is left documents an
        option, or can read the `messages`.
        """
        images = capabilities.has_images(messages)
        needed = {name: value for name, value in options.items() if name not in hints} if hints else options
        allowed = self._allowed(principal, names)
        fitting = _fitting(allowed, lambda deployment: _misfit(deployment, needed, images=images))
        return self._ordered(fitting, affinity)

    def offering(self, principal: Principal, name: str, offers: Offers, what: str, *, affinity: str = "") -> Plan:
        """The plan for something else than chat. Raises UnsupportedParameter when no deployment offers `what`."""

        def misfit(deployment: Deployment) -> UnsupportedParameter | None:
            if offers(deployment) is not None:
                return None
            return UnsupportedParameter(f"{deployment.provider} does not offer {what}.", param="model")

        return self._ordered(_fitting(self._allowed(principal, (name,)), misfit), affinity)

    def _allowed(self, principal: Principal, names: Iterable[str]) -> Plan:
        """Who may use a route by its name may use all that it leads to; others only what they may use anyway."""
        asked = tuple(names)
        plans = [self.models.resolve(name) for name in asked]
        allowed = [
            plan if principal.may_use(plan.name) else _filtered(plan, lambda it: principal.may_use(it.id))
            for plan in plans
        ]
        merged = _merged([plan for plan in allowed if plan.choices])
        if merged is None:
            raise ModelNotAllowed(f"This key may not use the model {asked[0]}.", param="model")
        return merged

    def _ordered(self, plan: Plan, affinity: str) -> Plan:
        if affinity:
            plan = replace(plan, affinity=affinity)
        if len(plan.choices) == 1 and not plan.instead:
            return plan
        instead = {error: self._tried(choices, affinity) for error, choices in plan.instead.items()}
        return replace(plan, choices=self._tried(plan.choices, affinity), instead=instead)

    def _tried(self, choices: Iterable[Choice], affinity: str) -> tuple[Choice, ...]:
        tiers = groupby(sorted(choices, key=attrgetter("tier")), key=attrgetter("tier"))
        return tuple(choice for _, tier in tiers for choice in self._tier(list(tier), affinity))

    def _tier(self, equals: list[Choice], affinity: str) -> list[Choice]:
        """Whoever is not worth calling now goes last, and stays: all others may fail."""
        if len(equals) == 1:
            return equals
        ranked = [equals[index] for index in self._rank(equals, affinity)]
        return sorted(ranked, key=lambda choice: choice.deployment.health.wait() > 0)

    def _rank(self, equals: Sequence[Choice], affinity: str) -> list[int]:
        weights = [choice.weight or 1 for choice in equals]
        if affinity:
            return ranking.by_affinity(affinity, [choice.deployment.id for choice in equals], weights)
        if any(choice.weight is not None for choice in equals):
            return ranking.by_weight(weights, [self.draw() for _ in equals])
        return ranking.by_latency([choice.deployment.health.latency() for choice in equals], self.draw)


def _misfit(deployment: Deployment, options: Mapping[str, Any], *, images: bool) -> UnsupportedParameter | None:
    """A wish to reason is no reason: it is translated, or left out."""
    for option in options:
        if option not in deployment.options and option not in reasoning.NAMES:
            message = f"{deployment.provider} does not document the parameter {option}."
            return UnsupportedParameter(message, param=option)
    lacking = capabilities.lacking(deployment.card, options, images=images)
    if lacking is None:
        return None
    return UnsupportedParameter(f"{deployment.id} does not support {_wanted(lacking)}.", param=lacking)


def _wanted(field: str) -> str:
    return {"messages": "images", "response_format": "a JSON schema"}.get(field, field)


def _fitting(plan: Plan, misfit: Misfit) -> Plan:
    """Without those that do not fit. Raises why the first does not when none does."""
    reasons = {deployment.id: misfit(deployment) for deployment in plan.deployments}
    if not any(reasons.values()):
        return plan
    left = _filtered(plan, lambda deployment: reasons[deployment.id] is None)
    reason = reasons[plan.first.id]
    if not left.choices and reason is not None:
        raise reason
    return left


def _filtered(plan: Plan, keep: Callable[[Deployment], bool]) -> Plan:
    """A class of errors keeps its entry although nobody is left in it: nobody else is tried after such an error."""

    def kept(choices: Iterable[Choice]) -> tuple[Choice, ...]:
        return tuple(choice for choice in choices if keep(choice.deployment))

    return replace(
        plan, choices=kept(plan.choices), instead={error: kept(choices) for error, choices in plan.instead.items()}
    )


def _merged(plans: Sequence[Plan]) -> Plan | None:
    """One plan's tiers after the other's; the first one's name, and its word on what the operator allowed.

    A deployment that is in several is tried where it comes first.
    """
    if len(plans) <= 1:
        return plans[0] if plans else None
    choices: dict[str, Choice] = {}
    instead: dict[str, tuple[Choice, ...]] = {}
    after = 0
    for plan in plans:
        for choice in plan.choices:
            choices.setdefault(choice.deployment.id, replace(choice, tier=after + choice.tier))
        for error, others in plan.instead.items():
            instead.setdefault(error, others)
        after += 1 + max(choice.tier for choice in plan.choices)
    return replace(plans[0], choices=tuple(choices.values()), instead=instead)

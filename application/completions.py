"""Stateless completions: one prompt in, one answer out, nothing remembered but the bill."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from application.call import Call
from application.generations import Generations
from application.order import Order, Outcome
from application.routing import Router
from application.stream import Stream
from domain.completion import Completion, JsonObject
from domain.usage import Usage
from domain.user import Principal, Scope


@dataclass(frozen=True, slots=True)
class CompletionOrder:
    """`models` in the order of preference: the first that can answers, the others are its fallbacks."""

    models: tuple[str, ...]
    messages: list[JsonObject]
    options: dict[str, Any] = field(default_factory=dict)
    hints: frozenset[str] = frozenset()
    """Options that the caller can do without, where they are not documented."""


@dataclass(frozen=True, slots=True)
class CompletionAnswer:
    """`model` is the `provider/model` that answered, `cost` in nano-units, None when the model has no price."""

    request_id: str
    model: str
    completion: Completion
    usage: Usage
    cost: int | None
    created_at: datetime
    attempts: int
    upstream_ms: int
    cache_hit: bool = False


@dataclass(frozen=True, slots=True)
class CompletionService:
    router: Router
    generations: Generations

    def complete(self, principal: Principal, order: CompletionOrder, call: Call) -> CompletionAnswer:
        """Raises UnknownModel, ModelNotAllowed, UnsupportedParameter and ProviderErrors.

        Raises RateLimited, BudgetExceeded, ModelUnpriced and Unavailable before anything is sent to a provider.
        """
        return _answer(self.generations.complete(self.generations.open(self._order(principal, order), call)))

    def stream(self, principal: Principal, order: CompletionOrder, call: Call) -> Stream[CompletionAnswer]:
        """As `complete`; what goes wrong after the first event is raised by the stream."""
        return self.generations.stream(self.generations.open(self._order(principal, order), call), _answer)

    def _order(self, principal: Principal, order: CompletionOrder) -> Order:
        principal.require(Scope.CHAT)
        plan = self.router.plan(
            principal,
            order.models,
            order.options,
            affinity=_affinity(order.options),
            messages=order.messages,
            hints=order.hints,
        )
        return Order(principal, plan, order.models[0], order.messages, order.options, hints=order.hints)


def _affinity(options: dict[str, Any]) -> str:
    """What its caller says belongs together is best served by the same deployment, which may have cached it."""
    return str(options.get("prompt_cache_key") or options.get("user") or "")


def _answer(outcome: Outcome[Completion]) -> CompletionAnswer:
    return CompletionAnswer(
        request_id=outcome.request_id,
        model=outcome.model,
        completion=outcome.result,
        usage=outcome.usage,
        cost=outcome.cost,
        created_at=outcome.started_at,
        attempts=outcome.attempts,
        upstream_ms=outcome.upstream_ms,
        cache_hit=outcome.cache_hit,
    )

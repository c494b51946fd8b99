"""Stateless completions: one prompt in, one answer out, nothing remembered but the bill."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from application.call import Call
from application.generation import Order, Outcome
from application.generations import Generations, Stream
from application.ports import Models
from domain.completion import Completion, JsonObject
from domain.errors import UnsupportedParameter
from domain.usage import Usage
from domain.user import Principal, Scope


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


@dataclass(frozen=True, slots=True)
class CompletionService:
    models: Models
    generations: Generations

    def complete(
        self, principal: Principal, model: str, messages: list[JsonObject], options: dict[str, Any], call: Call
    ) -> CompletionAnswer:
        """Raises UnknownModel, ModelNotAllowed, UnsupportedParameter and ProviderErrors.

        Raises RateLimited, BudgetExceeded, ModelUnpriced and Unavailable before anything is sent to a provider.
        """
        order = self._order(principal, model, messages, options)
        return _answer(self.generations.complete(self.generations.open(order, call)))

    def stream(
        self, principal: Principal, model: str, messages: list[JsonObject], options: dict[str, Any], call: Call
    ) -> Stream[CompletionAnswer]:
        """As `complete`; what goes wrong after the first event is raised by the stream."""
        order = self._order(principal, model, messages, options)
        return self.generations.stream(self.generations.open(order, call), _answer)

    def _order(self, principal: Principal, model: str, messages: list[JsonObject], options: dict[str, Any]) -> Order:
        principal.require(Scope.CHAT)
        deployment = self.models.resolve(model)
        principal.require_model(deployment.id)
        for name in options:
            if name not in deployment.options:
                raise UnsupportedParameter(f"{deployment.provider} does not document the parameter {name}.", param=name)
        return Order(principal, deployment, model, messages, options)


def _answer(outcome: Outcome) -> CompletionAnswer:
    return CompletionAnswer(
        request_id=outcome.request_id,
        model=outcome.order.deployment.id,
        completion=outcome.completion,
        usage=outcome.usage,
        cost=outcome.cost,
        created_at=outcome.started_at,
        attempts=outcome.attempts,
        upstream_ms=outcome.upstream_ms,
    )

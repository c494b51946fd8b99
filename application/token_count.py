"""How many tokens a prompt has, for callers who want to know before they send it. Nothing is called, nothing billed."""

from dataclasses import dataclass
from functools import partial

from application.completions import CompletionOrder
from application.model_ports import TokenCounter
from application.routing import Router
from domain import tokens
from domain.user import Principal, Scope


@dataclass(frozen=True, slots=True)
class TokenCountService:
    router: Router
    tokens: TokenCounter

    def count(self, principal: Principal, order: CompletionOrder) -> int:
        """For the deployment that would be asked first. Raises UnknownModel, ModelNotAllowed and Forbidden."""
        principal.require(Scope.CHAT)
        plan = self.router.plan(principal, order.models, {})
        model = plan.choices[0].deployment.id
        return tokens.estimate_call(order.messages, order.options, partial(self.tokens.count, model))

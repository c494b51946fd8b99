"""How many tokens a prompt has, for callers who want to know before they send it. Nothing is called, nothing billed."""

from application.completions import CompletionOrder
from application.routing import Router
from domain import tokens
from domain.user import Principal, Scope


def count_tokens(principal: Principal, order: CompletionOrder, router: Router) -> int:
    """An estimate. Raises UnknownModel, ModelNotAllowed and Forbidden."""
    principal.require(Scope.CHAT)
    router.plan(principal, order.models, {})
    return tokens.estimate_call(order.messages, order.options)

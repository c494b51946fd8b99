"""Texts as vectors: nothing is remembered but the bill."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from application.call import Call
from application.cancellation import Cancellation
from application.generations import Generations
from application.model_ports import Deployment, Embedder
from application.order import Order, Outcome
from application.routing import Router
from domain.embedding import EmbeddingPrompt, Embeddings, Input, as_messages, from_messages
from domain.user import Principal, Scope


@dataclass(frozen=True, slots=True)
class EmbeddingOrder:
    """`inputs` are at least one, and none of them is empty."""

    model: str
    inputs: Sequence[Input]
    dimensions: int | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingService:
    router: Router
    generations: Generations

    def embed(self, principal: Principal, order: EmbeddingOrder, call: Call) -> Outcome[Embeddings]:
        """Raises UnknownModel, ModelNotAllowed, UnsupportedParameter and ProviderErrors.

        Raises RateLimited, BudgetExceeded, ModelUnpriced and Unavailable before anything is sent to a provider.
        """
        principal.require(Scope.EMBEDDINGS)
        plan = self.router.offering(principal, order.model, _embedder, "embeddings", affinity=order.user or "")
        options = {} if order.user is None else {"user": order.user}
        ordered = Order(principal, plan, order.model, as_messages(order.inputs), options, output_tokens=0)
        if not all(isinstance(text, str) for text in order.inputs):
            self.generations.guardrails.unreadable("Tokens")
        generation = self.generations.open(ordered, call)
        inputs = from_messages(generation.order.messages, order.inputs)
        user = generation.order.options.get("user")

        def ask(at: Deployment, cancellation: Cancellation) -> Embeddings:
            prompt = EmbeddingPrompt(at.name, inputs, order.dimensions, user, call.request_id)
            return cast("Embedder", at.embedder).embed(prompt, cancellation)  # the plan is of those that have one

        return self.generations.deliver(generation, ask)


def _embedder(at: Deployment) -> Embedder | None:
    return at.embedder

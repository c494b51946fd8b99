"""A paid call as it is ordered, and as it is delivered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from application.model_ports import Plan
from application.records import Turn
from domain.usage import Usage
from domain.user import Principal

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Order:
    """A generation that has been prepared. `messages` is what is billed as its prompt."""

    principal: Principal
    plan: Plan
    model_requested: str
    messages: Sequence[dict[str, Any]]
    options: dict[str, Any]
    turn: Turn | None = None
    conversation: str = ""
    """`Session.conversation`."""
    hints: frozenset[str] = frozenset()
    """Options that its caller can do without."""
    output_tokens: int | None = None
    """The most it may answer, where that does not follow from its options."""
    images: int = 0
    session_id: str | None = None
    """Of a call that is made for a session, and is no turn of it."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """A generation that reached its end and is durable.

    `model` is the `provider/model` that answered, `cost` in nano-units, None when the model has no price.
    """

    request_id: str
    result: Result
    model: str
    text: str
    usage: Usage
    cost: int | None
    attempts: int
    upstream_ms: int
    started_at: datetime
    cache_hit: bool = False

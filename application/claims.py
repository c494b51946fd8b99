"""What a call asks of the budgets that it is under, and what is said to a call for which one has no room."""

from dataclasses import dataclass
from datetime import datetime

from application.admin_store import Claim
from domain.errors import BudgetExceeded
from domain.limits import Bound, Budget, Hold, Unit
from domain.user import Principal


@dataclass(frozen=True, slots=True)
class Wanted:
    """A claim, and whose budget it is on. `priced` is False for money where nobody knows what the call costs."""

    bound: Bound
    budget: Budget
    claim: Claim
    priced: bool

    def refusal(self, rest: int, now: datetime) -> BudgetExceeded:
        """`rest` is what would be left: a negative number."""
        empty = rest + self.claim.hold.amount <= 0
        state = "is spent" if empty else "has less left than this call may take"
        end = self.budget.window.end(now)
        reset = f"; it resets at {end:%Y-%m-%dT%H:%M:%SZ}" if end else ""
        return BudgetExceeded(f"The budget of {self.bound}, {self.budget}, {state}{reset}.")


def wanted(principal: Principal, cost: int | None, tokens: int, now: datetime, *, shadow: bool) -> list[Wanted]:
    """In the order of the principal's bounds; in shadow nothing is enforced."""
    return [
        _wanted(bound, budget, cost if budget.unit is Unit.MONEY else tokens, now, shadow=shadow)
        for bound in principal.bounds
        for budget in bound.limits.budgets
    ]


def _wanted(bound: Bound, budget: Budget, amount: int | None, now: datetime, *, shadow: bool) -> Wanted:
    period = budget.window.start(now)
    hold = Hold(bound.kind, bound.id, budget.unit, budget.window, period, amount or 0)
    enforced = not (shadow or bound.limits.shadow)
    return Wanted(bound, budget, Claim(hold, budget.amount, enforced), amount is not None)

"""Limits and budgets of keys, users, teams and the installation, and everybody's keys."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from application.auditing import Auditor, Change
from application.erasure import erased
from application.ports import Clock
from application.store import Begin, UnitOfWork
from domain.api_key import ApiKey
from domain.audit import Actor
from domain.errors import NotFound
from domain.limits import Bound, Budget, Kind, Limits
from domain.user import Principal, Scope


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget in its current window; `resets_at` is None for a budget in all."""

    budget: Budget
    used: int
    reserved: int
    resets_at: datetime | None

    @property
    def left(self) -> int:
        return max(0, self.budget.amount - self.used - self.reserved)


@dataclass(frozen=True, slots=True)
class LimitAdmin:
    """Every method requires the scope `admin` (and a recent login), except `standing`.

    Only owners touch the limits and keys of owners; those of teams and of the installation are not anybody's own.
    """

    begin: Begin
    clock: Clock
    auditor: Auditor
    forget: Callable[[str], None]
    """Drops a kid from this worker's memory, so that a change counts at once."""

    def page(self, principal: Principal, kind: Kind) -> list[Bound]:
        """All subjects of a kind that have limits, by id."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            return work.limits.all(kind)

    def get(self, principal: Principal, kind: Kind, subject_id: str) -> tuple[Limits, list[BudgetState]]:
        """Raises NotFound for a subject that does not exist."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            _require_subject(work, kind, subject_id)
            limits = work.limits.get(kind, subject_id)
            return limits, self._states(work, Bound(kind, subject_id, limits))

    def put(self, principal: Principal, kind: Kind, subject_id: str, limits: Limits, actor: Actor) -> None:
        """In force within 3 s. Use that was counted stays counted. Raises NotFound."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            key = _require_subject(work, kind, subject_id)
            mine = subject_id if kind is Kind.USER else None
            _require_power(work, principal, mine if key is None else key.user_id)
            former = work.limits.get(kind, subject_id)
            if former == limits:
                return
            work.limits.put(kind, subject_id, limits)
            change = Change("limits.put", f"{kind}/{subject_id or 'all'}", _public(former), _public(limits))
            self.auditor.write(work, actor, change)
        if key is not None:
            self.forget(key.kid)

    def standing(self, bound: Bound) -> list[BudgetState]:
        """How the budgets of one subject stand; for its own eyes no right is needed."""
        with self.begin() as work:
            return self._states(work, bound)

    def keys(
        self, principal: Principal, user_id: str | None, team_id: str | None, limit: int, before: str | None
    ) -> list[ApiKey]:
        """Everybody's, or those of one user or team; newest first."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            return work.keys.page(user_id, team_id, limit, before)

    def revoke_key(self, principal: Principal, key_id: str, actor: Actor) -> None:
        """At once in this worker, within 5 s in all. Revoking twice is no error. Raises NotFound."""
        principal.require(Scope.ADMIN)
        now = self.clock.now()
        with self.begin() as work:
            key = _require_key(work, key_id)
            _require_power(work, principal, key.user_id)
            if key.revoked_at is not None:
                return
            work.keys.revoke(key_id, now)
            change = Change("key.revoke", key_id, {"revoked_at": None}, {"revoked_at": now.isoformat()})
            self.auditor.write(work, actor, change)
        self.forget(key.kid)

    def _states(self, work: UnitOfWork, bound: Bound) -> list[BudgetState]:
        return [self._state(work, bound, budget) for budget in bound.limits.budgets]

    def _state(self, work: UnitOfWork, bound: Bound, budget: Budget) -> BudgetState:
        now, window = self.clock.now(), budget.window
        found = work.budgets.standing(bound.kind, bound.id, budget.unit, window, window.start(now))
        return BudgetState(budget, found.used, found.reserved, window.end(now))


def _require_subject(work: UnitOfWork, kind: Kind, subject_id: str) -> ApiKey | None:
    """The subject when it is a key. Raises NotFound."""
    if kind is Kind.KEY:
        return _require_key(work, subject_id)
    if kind is Kind.USER:
        user = work.users.get(subject_id)
        exists = user is not None and not erased(user)
    else:
        exists = subject_id == "" if kind is Kind.GLOBAL else work.teams.get(subject_id) is not None
    if not exists:
        raise NotFound
    return None


def _require_power(work: UnitOfWork, principal: Principal, user_id: str | None) -> None:
    """Raises Forbidden."""
    user = None if user_id is None else work.users.get(user_id)
    if user is not None:
        principal.require_power_over(user.role)


def _require_key(work: UnitOfWork, key_id: str) -> ApiKey:
    key = work.keys.get(key_id)
    if key is None:
        raise NotFound
    return key


def _public(limits: Limits) -> dict[str, Any]:
    """Amounts of money are in nano-units."""
    budgets = [{"unit": it.unit, "window": it.window, "amount": it.amount} for it in limits.budgets]
    return {
        "rpm": limits.rpm,
        "tpm": limits.tpm,
        "concurrency": limits.concurrency,
        "shadow": limits.shadow,
        "budgets": budgets,
    }

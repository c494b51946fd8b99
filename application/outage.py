"""What calls may still take while the database is away, and nobody can ask it what is left of a budget."""

from collections.abc import Sequence
from datetime import date
from typing import TypeVar

from application.admin_store import Claim
from domain.limits import Hold, Kind, Unit, Window

Name = TypeVar("Name")

_Budget = tuple[Kind, str, Unit, Window, date]


class Allowance:
    """Of one worker: the last known rest of every budget, and what each key has spent since the database went away.

    Bounded; a budget that was forgotten, or never known here, allows nothing.
    """

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._rests: dict[_Budget, int] = {}
        self._spent: dict[str, int] = {}

    def answered(self) -> None:
        """The database is back."""
        if self._spent:
            self._spent.clear()

    def learn(self, claims: Sequence[Claim], rests: Sequence[int]) -> None:
        for claim, rest in zip(claims, rests, strict=True):
            _put(self._rests, _budget(claim.hold), rest, self._size)

    def take(self, key_id: str, cost: int, cap: int, claims: Sequence[Claim]) -> bool:
        """Take `cost` from the key's `cap` and the claims from their budgets, or nothing and return False."""
        spent = self._spent.get(key_id, 0) + cost
        rests = {_budget(it.hold): self._rests.get(_budget(it.hold), -1) - it.hold.amount for it in claims}
        if spent > cap or any(rest < 0 for rest in rests.values()):
            return False
        _put(self._spent, key_id, spent, self._size)
        self._rests.update(rests)
        return True


def _budget(hold: Hold) -> _Budget:
    return hold.kind, hold.subject_id, hold.unit, hold.window, hold.period


def _put(values: dict[Name, int], name: Name, value: int, size: int) -> None:
    if name not in values and len(values) >= size:
        del values[next(iter(values))]
    values[name] = value

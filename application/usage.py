"""What a caller has used, from rollups and the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from application.ports import Clock
from application.store import Begin
from domain.ledger import LedgerEntry, UsageGroup, UsageTotal
from domain.user import Principal, Scope

_DAYS = 31


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Days are UTC; `week` begins on Monday. `days` are the last 31 that had any use, oldest first."""

    today: UsageTotal
    week: UsageTotal
    month: UsageTotal
    total: UsageTotal
    days: list[tuple[date, UsageTotal]]
    models: list[tuple[str, UsageTotal]]
    keys: list[tuple[str, UsageTotal]]


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What one key has used, today and in this month of UTC."""

    today: UsageTotal
    month: UsageTotal


@dataclass(frozen=True, slots=True)
class UsageService:
    begin: Begin
    clock: Clock

    def summary(self, principal: Principal) -> UsageSummary:
        """`models` and `keys` sum the last 31 days. Up to two seconds behind the ledger."""
        principal.require(Scope.USAGE_READ)
        principal.require_person()
        today = self.clock.now().date()
        with self.begin() as work:
            groups = work.usage.groups(principal.user_id, today - timedelta(days=_DAYS - 1))
            lifetime = work.usage.lifetime(principal.user_id)
        monday = today - timedelta(days=today.weekday())
        first = today.replace(day=1)
        return UsageSummary(
            today=_sum(group for group in groups if group.day == today),
            week=_sum(group for group in groups if group.day >= monday),
            month=_sum(group for group in groups if group.day >= first),
            total=lifetime,
            days=_by(groups, "day"),
            models=_by(groups, "model"),
            keys=_by(groups, "key_id"),
        )

    def of_key(self, principal: Principal) -> KeyUse:
        """Of the caller's own key, which may always know."""
        today = self.clock.now().date()
        with self.begin() as work:
            groups = work.usage.groups(principal.user_id, today.replace(day=1))
        mine = [group for group in groups if group.key_id == principal.key_id]
        return KeyUse(today=_sum(group for group in mine if group.day == today), month=_sum(mine))

    def records(self, principal: Principal, limit: int, cursor: str | None) -> list[LedgerEntry]:
        """One final row per request, newest first."""
        principal.require(Scope.USAGE_READ)
        principal.require_person()
        with self.begin() as work:
            return work.usage.records(principal.user_id, limit, cursor)


def _by(groups: list[UsageGroup], field: str) -> list[tuple[Any, UsageTotal]]:
    key = attrgetter(field)
    return [(value, _sum(members)) for value, members in groupby(sorted(groups, key=key), key)]


def _sum(groups: Iterable[UsageGroup]) -> UsageTotal:
    totals = [group.total for group in groups]
    return UsageTotal(
        requests=sum(total.requests for total in totals),
        input=sum(total.input for total in totals),
        cached_input=sum(total.cached_input for total in totals),
        cache_write=sum(total.cache_write for total in totals),
        output=sum(total.output for total in totals),
        reasoning=sum(total.reasoning for total in totals),
        cost=sum(total.cost for total in totals),
        unpriced=sum(total.unpriced for total in totals),
    )

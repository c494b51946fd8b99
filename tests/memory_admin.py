"""The storage ports of limits, budgets and administration in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from application.admin_store import Claim, WorkerState
from application.records import Settled
from domain.audit import AuditEntry
from domain.ledger import Kind as EntryKind
from domain.ledger import LedgerEntry
from domain.limits import NO_LIMITS, Bound, Budget, BudgetStanding, Hold, Kind, Limits, Unit, Window
from domain.provider_credential import PriceChange, ProviderCredential
from tests.rows import BudgetKey, HeldBudget, Rows, newest


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    rows: Rows

    def get(self, kind: Kind, subject_id: str) -> Limits:
        return self.rows.limits.get((kind, subject_id), NO_LIMITS)

    def put(self, kind: Kind, subject_id: str, limits: Limits) -> None:
        known = {(budget.unit, budget.window) for budget in self.get(kind, subject_id).budgets}
        MemoryBudgets(self.rows).begin_again(
            (kind, subject_id, it.unit, it.window) for it in limits.budgets if (it.unit, it.window) not in known
        )
        if limits == NO_LIMITS:
            self.rows.limits.pop((kind, subject_id), None)
        else:
            self.rows.limits[kind, subject_id] = limits

    def all(self, kind: Kind) -> list[Bound]:
        return [Bound(*subject, limits) for subject, limits in sorted(self.rows.limits.items()) if subject[0] is kind]


@dataclass(frozen=True, slots=True)
class MemoryBudgets:
    rows: Rows

    def reserve(self, request_id: str, claims: Sequence[Claim], at: datetime) -> list[int]:
        left: list[int] = []
        for claim in claims:
            hold, key = claim.hold, key_of(claim.hold)
            standing = self._window(key)
            rest = claim.limit - standing.used - standing.reserved - hold.amount
            left.append(rest)
            if rest < 0 and claim.enforced:
                continue
            self.rows.windows[key] = replace(standing, reserved=standing.reserved + hold.amount)
            self.rows.holds[request_id, key] = HeldBudget(hold, at)
        return left

    def release(self, request_id: str) -> None:
        for key, held in list(self.rows.holds.items()):
            if key[0] == request_id:
                self._give_back(held)
                del self.rows.holds[key]

    def sweep(self, before: datetime) -> int:
        old = [(key, it) for key, it in self.rows.holds.items() if it.state == "held" and it.at < before]
        for key, held in old:
            self._give_back(held)
            self.rows.holds[key] = replace(held, state="swept")
        return len(old)

    def inherit(self, heir_id: str, key_id: str, budgets: Sequence[Budget], at: datetime) -> None:
        for budget in budgets:
            old = (Kind.KEY, key_id, budget.unit, budget.window, budget.window.start(at))
            new = (Kind.KEY, heir_id, *old[2:])
            spent, own = self._window(old), self._window(new)
            self.rows.windows[new] = replace(own, used=own.used + spent.used + spent.reserved)

    def standing(self, kind: Kind, subject_id: str, unit: Unit, window: Window, period: date) -> BudgetStanding:
        key = (kind, subject_id, unit, window, period)
        return self.rows.windows.get(key) or BudgetStanding(used=self._used(key))

    def begin_again(self, budgets: Iterable[tuple[Kind, str, Unit, Window]]) -> None:
        for budget in budgets:
            for key, standing in self.rows.windows.items():
                if key[:4] == budget:
                    self.rows.windows[key] = replace(standing, used=self._used(key))

    def meet(self, records: Sequence[Settled]) -> None:
        """What `Apply` does first: new windows begin without the records that it is about to store."""
        for record in records:
            for hold in record.holds:
                self._window(key_of(hold))

    def settle(self, record: Settled) -> None:
        """What `Apply` does before it stores the final row; a record that has one was counted."""
        final = next((entry for entry in record.entries if entry.kind is EntryKind.FINAL), None)
        if (record.request_id, 0, EntryKind.FINAL) not in self.rows.ledger:
            for hold in record.holds:
                key = key_of(hold)
                used = 0 if final is None else used_of(final, hold.unit)
                self.rows.windows[key] = replace(self.rows.windows[key], used=self.rows.windows[key].used + used)
        if record.holds:
            self.release(record.request_id)

    def _give_back(self, held: HeldBudget) -> None:
        if held.state == "held":
            key = key_of(held.hold)
            standing = self.rows.windows[key]
            self.rows.windows[key] = replace(standing, reserved=standing.reserved - held.hold.amount)

    def _window(self, key: BudgetKey) -> BudgetStanding:
        if key not in self.rows.windows:
            self.rows.windows[key] = BudgetStanding(used=self._used(key))
        return self.rows.windows[key]

    def _used(self, key: BudgetKey) -> int:
        kind, subject_id, unit, window, period = key
        return sum(
            used_of(entry, unit)
            for entry in self.rows.ledger.values()
            if entry.kind is not EntryKind.ATTEMPT
            and window.start(entry.started_at) == period
            and _concerns(self.rows, entry, kind, subject_id)
        )


@dataclass(frozen=True, slots=True)
class MemoryCredentials:
    rows: Rows

    def add(self, credential: ProviderCredential) -> None:
        self.rows.credentials[credential.id] = credential

    def all(self) -> list[ProviderCredential]:
        return [self.rows.credentials[key] for key in sorted(self.rows.credentials)]

    def get(self, credential_id: str) -> ProviderCredential | None:
        return self.rows.credentials.get(credential_id)

    def save(self, credential: ProviderCredential) -> None:
        stored = self.rows.credentials[credential.id]
        self.rows.credentials[credential.id] = replace(
            stored, name=credential.name, base_url=credential.base_url, disabled=credential.disabled
        )

    def delete(self, credential_id: str) -> None:
        self.rows.credentials.pop(credential_id, None)


@dataclass(frozen=True, slots=True)
class MemoryPrices:
    rows: Rows

    def add(self, change: PriceChange) -> None:
        self.rows.prices[change.id] = change

    def latest(self) -> list[PriceChange]:
        by_model = {change.model: change for _, change in sorted(self.rows.prices.items())}
        return [by_model[model] for model in sorted(by_model)]

    def history(self, model: str | None, limit: int, before: str | None) -> list[PriceChange]:
        return newest((it for it in self.rows.prices.values() if model in (None, it.model)), limit, before)


@dataclass(frozen=True, slots=True)
class MemoryAudit:
    rows: Rows

    def add(self, entry: AuditEntry) -> None:
        if self.rows.refuse_audit is not None:
            raise self.rows.refuse_audit
        self.rows.audit[entry.id] = entry

    def page(
        self, limit: int, before: str | None, *, action: str | None = None, user_id: str | None = None
    ) -> list[AuditEntry]:
        found = (
            it
            for it in self.rows.audit.values()
            if user_id in (None, it.actor.user_id)
            and (action is None or it.action == action or it.action.startswith(f"{action}."))
        )
        return newest(found, limit, before)


@dataclass(frozen=True, slots=True)
class MemoryWorkers:
    rows: Rows

    def put(self, state: WorkerState) -> None:
        self.rows.workers[state.id] = state

    def seen_since(self, moment: datetime) -> list[WorkerState]:
        return [it for _, it in sorted(self.rows.workers.items()) if it.seen_at >= moment]

    def sweep(self, before: datetime) -> None:
        for key in [key for key, it in self.rows.workers.items() if it.seen_at < before]:
            del self.rows.workers[key]


def key_of(hold: Hold) -> BudgetKey:
    return (hold.kind, hold.subject_id, hold.unit, hold.window, hold.period)


def used_of(entry: LedgerEntry, unit: Unit) -> int:
    """Nobody is charged for what has no price, and nothing but what was charged counts as spent."""
    return (entry.charged or 0) if unit is Unit.MONEY else entry.usage.total_tokens


def _concerns(rows: Rows, entry: LedgerEntry, kind: Kind, subject_id: str) -> bool:
    """A key that a team shares draws on the team's budgets instead of its user's."""
    key = rows.keys.get(entry.key_id)
    team_id = None if key is None else key.team_id
    if kind is Kind.TEAM:
        return team_id == subject_id
    if kind is Kind.USER:
        return team_id is None and entry.user_id == subject_id
    return kind is Kind.GLOBAL or entry.key_id == subject_id

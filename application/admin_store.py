"""What the application asks of storage about limits, money and administration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from domain.audit import AuditEntry
from domain.limits import Bound, Budget, BudgetStanding, Hold, Kind, Limits, Unit, Window
from domain.provider_credential import PriceChange, ProviderCredential


class LimitBook(Protocol):
    def get(self, kind: Kind, subject_id: str) -> Limits:
        """NO_LIMITS where nothing was put."""
        ...

    def put(self, kind: Kind, subject_id: str, limits: Limits) -> None:
        """NO_LIMITS forgets the subject. The windows of a budget that is new here begin again, with the ledger."""
        ...

    def all(self, kind: Kind) -> list[Bound]:
        """By id."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A hold that is asked for, on a budget of `limit`. Not enforced: it is granted and counted in any case."""

    hold: Hold
    limit: int
    enforced: bool = True


class Budgets(Protocol):
    """What is used and reserved of the budgets, per subject, unit, window and period.

    A window that is met for the first time begins with what the ledger already has for it, so neither a new budget
    nor a changed one starts from zero.
    """

    def reserve(self, request_id: str, claims: Sequence[Claim], at: datetime) -> list[int]:
        """Take all holds, or none: by one conditional UPDATE each.

        Returns what is left of each budget afterwards, in the order of `claims`. A negative number of an enforced one
        means that it has no room by that much: then nothing may be kept, and the caller has to roll the unit back.
        """
        ...

    def release(self, request_id: str) -> None:
        """Give back what a request holds that never reached the journal. All others are settled by `Apply`."""
        ...

    def sweep(self, before: datetime) -> int:
        """Give back holds from before that time whose worker died before it could journal; returns how many.

        A record of such a request that turns up later after all is still counted as used.
        """
        ...

    def inherit(self, heir_id: str, key_id: str, budgets: Sequence[Budget], at: datetime) -> None:
        """The current windows of a new key begin with what another one has used and reserved in its own."""
        ...

    def standing(self, kind: Kind, subject_id: str, unit: Unit, window: Window, period: date) -> BudgetStanding: ...


class Credentials(Protocol):
    """Keys of providers; `page`s are not needed, there are few."""

    def add(self, credential: ProviderCredential) -> None: ...

    def all(self) -> list[ProviderCredential]:
        """By id."""
        ...

    def get(self, credential_id: str) -> ProviderCredential | None: ...

    def save(self, credential: ProviderCredential) -> None:
        """Stores name, base_url and disabled."""
        ...

    def delete(self, credential_id: str) -> None: ...


class PriceChanges(Protocol):
    """Append-only: a price is changed by adding a version."""

    def add(self, change: PriceChange) -> None: ...

    def latest(self) -> list[PriceChange]:
        """The newest version of every model, by model."""
        ...

    def history(self, model: str | None, limit: int, before: str | None) -> list[PriceChange]:
        """Newest first by id."""
        ...


class AuditLog(Protocol):
    """Append-only."""

    def add(self, entry: AuditEntry) -> None: ...

    def page(
        self, limit: int, before: str | None, *, action: str | None = None, user_id: str | None = None
    ) -> list[AuditEntry]:
        """Newest first by id. `action` matches itself and, as `key`, every `key.…`; `user_id` is the actor's."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerState:
    """What a worker last told of itself."""

    id: str
    host: str
    started_at: datetime
    seen_at: datetime
    state: Mapping[str, Any]


class WorkerStates(Protocol):
    def put(self, state: WorkerState) -> None: ...

    def seen_since(self, moment: datetime) -> list[WorkerState]:
        """By id."""
        ...

    def sweep(self, before: datetime) -> None: ...

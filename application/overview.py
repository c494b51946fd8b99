"""What administrators look at: everybody's usage and records, the audit log, the state of the workers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from application.admin_store import WorkerState
from application.ports import Clock
from application.store import Begin, GroupBy, UsageFilter
from domain.audit import AuditEntry
from domain.ledger import LedgerEntry, UsageTotal
from domain.user import Principal, Scope

ALIVE = timedelta(seconds=30)
"""A worker that said nothing for so long is taken for gone."""

_EXPORTED = 500


@dataclass(frozen=True, slots=True)
class Status:
    workers: list[WorkerState]
    mails_waiting: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Every method requires the scope `admin` (and a recent login)."""

    begin: Begin
    clock: Clock
    report: Callable[[], object]
    """Has this worker tell of itself now; the others do so every few seconds."""

    def usage(self, principal: Principal, wanted: UsageFilter, by: GroupBy) -> list[tuple[str, UsageTotal]]:
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            return work.usage.totals(wanted, by)

    def records(self, principal: Principal, wanted: UsageFilter, limit: int, before: str | None) -> list[LedgerEntry]:
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            return work.usage.search(wanted, limit, before)

    def audit(
        self, principal: Principal, action: str | None, user_id: str | None, limit: int, before: str | None
    ) -> list[AuditEntry]:
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            return work.audit.page(limit, before, action=action, user_id=user_id)

    def export_audit(self, principal: Principal) -> Iterator[list[AuditEntry]]:
        """All of it, newest first, in pages; no transaction is open between two pages."""
        principal.require(Scope.ADMIN)
        return self._pages()

    def status(self, principal: Principal) -> Status:
        """Workers that told of themselves in the last 30 s, and the one that is asked as it is now."""
        principal.require(Scope.ADMIN)
        self.report()
        with self.begin() as work:
            return Status(work.workers.seen_since(self.clock.now() - ALIVE), work.outbox.waiting())

    def _pages(self) -> Iterator[list[AuditEntry]]:
        before: str | None = None
        while entries := self._page(before):
            yield entries
            before = entries[-1].id

    def _page(self, before: str | None) -> list[AuditEntry]:
        with self.begin() as work:
            return work.audit.page(_EXPORTED, before)

"""Settled generations into SQL: ledger rows, messages, turn locks and budgets, in one transaction, each once."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from sqlalchemy import Connection, Engine

from adapters.persistence.conversation import store_turns
from adapters.persistence.dialects import insert_or_keep
from adapters.persistence.settled_budgets import lock_windows, settle_budgets
from adapters.persistence.tables import usage_ledger
from adapters.persistence.transaction import transaction
from adapters.persistence.usage import row_from
from application.records import Settled
from domain.errors import DatabaseBusy
from domain.ledger import LedgerEntry

_TRIES = 3
_PAUSE = (0.01, 0.05)
_KEY = ("request_id", "attempt", "kind")


@dataclass(frozen=True, slots=True)
class SqlApply:
    """The port `Apply`. Deadlocks and lost races for a lock are tried again here, up to three times in all."""

    engine: Engine

    def __call__(self, records: Sequence[Settled]) -> None:
        for rest in reversed(range(_TRIES)):
            try:
                return self._apply(records)
            except DatabaseBusy:
                if not rest:
                    raise
            time.sleep(random.uniform(*_PAUSE))  # noqa: S311 # spreads out two writers; nothing secret about it
        return None

    def _apply(self, records: Sequence[Settled]) -> None:
        """All that others wait for is locked before anything is read: MariaDB may refuse rows newer than that."""
        with transaction(self.engine) as connection:
            lock_windows(connection, records)
            store_turns(connection, [record for record in records if record.turn is not None])
            settle_budgets(connection, records)
            _store_entries(connection, [entry for record in records for entry in record.entries])


def _store_entries(connection: Connection, entries: Sequence[LedgerEntry]) -> None:
    if not entries:
        return
    rows = [row_from(entry) | {"day": entry.started_at.astimezone(UTC).date()} for entry in entries]
    connection.execute(insert_or_keep(connection.dialect.name, usage_ledger, _KEY), rows)

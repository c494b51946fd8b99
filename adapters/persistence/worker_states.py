"""What workers last told of themselves, in SQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, RowMapping, delete, select

from adapters.persistence.admin_tables import workers as table
from adapters.persistence.dialects import insert_or_replace
from application.admin_store import WorkerState

_PLAIN = ("id", "host", "started_at", "seen_at")
_CHANGED = ("host", "started_at", "seen_at", "state")


@dataclass(frozen=True, slots=True)
class SqlWorkerStates:
    connection: Connection

    def put(self, state: WorkerState) -> None:
        row: dict[str, Any] = {name: getattr(state, name) for name in _PLAIN}
        row["state"] = orjson.dumps(dict(state.state)).decode()
        self.connection.execute(insert_or_replace(self.connection.dialect.name, table, _CHANGED), row)

    def seen_since(self, moment: datetime) -> list[WorkerState]:
        query = select(table).where(table.c.seen_at >= moment).order_by(table.c.id)
        return [_state(row) for row in self.connection.execute(query).mappings()]

    def sweep(self, before: datetime) -> None:
        self.connection.execute(delete(table).where(table.c.seen_at < before))


def _state(row: RowMapping) -> WorkerState:
    return WorkerState(**{name: row[name] for name in _PLAIN}, state=orjson.loads(row["state"]))

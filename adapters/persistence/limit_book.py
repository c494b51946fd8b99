"""Limits of keys, users, teams and the installation in SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, and_, delete, select

from adapters.persistence.admin_tables import limits as table
from adapters.persistence.budget_windows import begin_again
from adapters.persistence.dialects import insert_or_replace
from domain.limits import NO_LIMITS, Bound, Budget, Kind, Limits, Unit, Window

_COLUMNS = ("rpm", "tpm", "concurrency", "budgets", "shadow")


@dataclass(frozen=True, slots=True)
class SqlLimitBook:
    connection: Connection

    def get(self, kind: Kind, subject_id: str) -> Limits:
        row = self.connection.execute(select(table).where(_subject(kind, subject_id))).mappings().first()
        return NO_LIMITS if row is None else limits_from(row)

    def put(self, kind: Kind, subject_id: str, limits: Limits) -> None:
        new = _windows(limits) - _windows(self.get(kind, subject_id))
        begin_again(self.connection, kind, subject_id, new)
        if limits == NO_LIMITS:
            self.connection.execute(delete(table).where(_subject(kind, subject_id)))
            return
        statement = insert_or_replace(self.connection.dialect.name, table, _COLUMNS)
        self.connection.execute(statement, {"kind": kind.value, "subject_id": subject_id} | _row(limits))

    def all(self, kind: Kind) -> list[Bound]:
        query = select(table).where(table.c.kind == kind.value).order_by(table.c.subject_id)
        return [Bound(kind, row["subject_id"], limits_from(row)) for row in self.connection.execute(query).mappings()]


def _windows(limits: Limits) -> set[tuple[Unit, Window]]:
    return {(budget.unit, budget.window) for budget in limits.budgets}


def limits_from(row: Mapping[Any, Any], prefix: str = "") -> Limits:
    """The limits in the columns of that prefix; NO_LIMITS when an outer join has found none."""
    found = {name: row[prefix + name] for name in _COLUMNS}
    if found["budgets"] is None:
        return NO_LIMITS
    budgets = (Budget(Unit(unit), Window(window), amount) for unit, window, amount in orjson.loads(found["budgets"]))
    return Limits(**{**found, "budgets": tuple(budgets)})


def _row(limits: Limits) -> dict[str, Any]:
    budgets = [[budget.unit.value, budget.window.value, budget.amount] for budget in limits.budgets]
    return {name: getattr(limits, name) for name in _COLUMNS} | {"budgets": orjson.dumps(budgets).decode()}


def _subject(kind: Kind, subject_id: str) -> Any:
    return and_(table.c.kind == kind.value, table.c.subject_id == subject_id)

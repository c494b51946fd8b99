"""Versions of prices in SQL; rows are only ever added."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select

from adapters.persistence.admin_tables import price_changes as table
from domain.provider_credential import PriceChange

_FIELDS = tuple(column.name for column in table.c)
_NEWEST = select(func.max(table.c.id)).group_by(table.c.model)
_LATEST = select(table).where(table.c.id.in_(_NEWEST)).order_by(table.c.model)


@dataclass(frozen=True, slots=True)
class SqlPriceChanges:
    connection: Connection

    def add(self, change: PriceChange) -> None:
        self.connection.execute(insert(table).values({name: getattr(change, name) for name in _FIELDS}))

    def latest(self) -> list[PriceChange]:
        return self._changes(_LATEST)

    def history(self, model: str | None, limit: int, before: str | None) -> list[PriceChange]:
        query = select(table).order_by(table.c.id.desc()).limit(limit)
        if model is not None:
            query = query.where(table.c.model == model)
        if before is not None:
            query = query.where(table.c.id < before)
        return self._changes(query)

    def _changes(self, query: Select[Any]) -> list[PriceChange]:
        return [PriceChange(**row) for row in self.connection.execute(query).mappings()]

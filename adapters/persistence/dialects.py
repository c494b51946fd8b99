"""The few statements that every server spells in its own way."""

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import Insert, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite

Combine = Callable[[Any, Any], Any]
"""From the stored and the given column to the new value."""


@cache
def insert_or_keep(dialect: str, table: Table, key: tuple[str, ...]) -> Insert:
    """A row whose unique `key` is there already changes nothing; every other error is still an error."""
    if dialect == "mysql":
        unchanged = table.c[key[0]]
        return mysql.insert(table).on_duplicate_key_update({unchanged.name: unchanged})
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing(index_elements=list(key))
    return sqlite.insert(table).on_conflict_do_nothing(index_elements=list(key))


@cache
def insert_or_combine(dialect: str, table: Table, names: tuple[str, ...], combine: Combine) -> Insert:
    """A row whose primary key is there already changes the columns `names` of that row."""
    if dialect == "mysql":
        given = mysql.insert(table)
        return given.on_duplicate_key_update({name: combine(table.c[name], given.inserted[name]) for name in names})
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    changes = {name: combine(table.c[name], insert.excluded[name]) for name in names}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changes)

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
        insertion = mysql.insert(table)
        changes = {name: combine(table.c[name], insertion.inserted[name]) for name in names}
        return insertion.on_duplicate_key_update(changes)
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    changes = {name: combine(table.c[name], insert.excluded[name]) for name in names}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changes)


def given(_stored: Any, given: Any) -> Any:
    return given


def insert_or_replace(dialect: str, table: Table, names: tuple[str, ...]) -> Insert:
    """As `insert_or_combine`, with the given values in place of the stored ones."""
    return insert_or_combine(dialect, table, names, given)


def insert_or_lock(dialect: str, table: Table, name: str) -> Insert:
    """A row whose primary key is there already stays as it is; in both cases the unit has it for itself.

    `name` is any column besides the key.
    """
    return insert_or_combine(dialect, table, (name,), _stored)


def _stored(stored: Any, _given: Any) -> Any:
    return stored

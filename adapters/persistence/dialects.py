"""The few statements that every server spells in its own way."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from sqlalchemy import Insert, Table

Combine = Callable[[Any, Any], Any]
"""From the stored and the given column to the new value."""


@cache
def insert_or_keep(dialect: str, table: Table, key: tuple[str, ...]) -> Insert:
    """A row whose unique `key` is there already changes nothing; every other error is still an error."""
    insertion = _insert(dialect, table)
    if dialect == "mysql":
        unchanged = table.c[key[0]]
        made: Insert = insertion.on_duplicate_key_update({unchanged.name: unchanged})
    else:
        made = insertion.on_conflict_do_nothing(index_elements=list(key))
    return made


@cache
def insert_or_combine(dialect: str, table: Table, names: tuple[str, ...], combine: Combine) -> Insert:
    """A row whose primary key is there already changes the columns `names` of that row."""
    insertion = _insert(dialect, table)
    given = insertion.inserted if dialect == "mysql" else insertion.excluded
    changes = {name: combine(table.c[name], given[name]) for name in names}
    if dialect == "mysql":
        made: Insert = insertion.on_duplicate_key_update(changes)
    else:
        made = insertion.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changes)
    return made


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


def _insert(dialect: str, table: Table) -> Any:
    """Of the store's own package, and no other is imported: together they take 4 MB in every worker."""
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)


def _stored(stored: Any, _given: Any) -> Any:
    return stored

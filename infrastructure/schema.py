"""The schema's version: which one the store has, and which one this program needs. `schema_changes` has the way there.

Every worker asks; only a migration needs alembic, which would take 4 MB in each of them. So this module knows what
alembic knows: the one row of its table, and that the files of the migrations are named after their revisions.
"""

from functools import cache
from pathlib import Path

from sqlalchemy import Engine, inspect, text

from adapters.persistence.transaction import transaction

MIGRATIONS = Path(__file__).resolve().parent / "migrations"

_REVISION = text("SELECT version_num FROM alembic_version")


class SchemaError(Exception):
    """The store does not have this program's schema, or cannot be brought to it; the message says why."""


def state(engine: Engine) -> tuple[str | None, str]:
    """The revision of the store, None before the first migration, and the one that this program needs.

    Raises DatabaseUnavailable or DatabaseBusy.
    """
    with transaction(engine) as connection:
        known = inspect(connection).has_table("alembic_version")
        return (connection.execute(_REVISION).scalar() if known else None), head()


def mismatch(engine: Engine) -> str | None:
    """What an operator is told when the store has another revision; None when it has the right one."""
    revision, needed = state(engine)
    return (
        None
        if revision == needed
        else f"the schema is at {revision}, this program needs {needed}: run `parley migrate`"
    )


@cache
def head() -> str:
    """The revision that this program needs."""
    return max(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))

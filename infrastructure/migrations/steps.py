"""The steps that migrations are made of. Each leaves alone what is done already.

MySQL commits every statement on its own, so a migration that was killed is begun again on what it left behind.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

_BINARY = {"mysql": "utf8mb4_bin", "postgresql": "C"}


def dialect() -> str:
    return op.get_bind().dialect.name


def create(name: str, *columns: sa.schema.SchemaItem) -> None:
    options = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
    op.create_table(name, *columns, if_not_exists=True, **options)


def create_index(name: str, table: str, *columns: str) -> None:
    """MySQL has no `IF NOT EXISTS` for an index."""
    if name not in _indexes(table):
        op.create_index(name, table, list(columns))


def drop_index(name: str, table: str) -> None:
    if name in _indexes(table):
        op.drop_index(name, table)


def add(table: str, *columns: sa.Column[Any]) -> None:
    for column in columns:
        if column.name not in columns_of(table):
            op.add_column(table, column)


def drop(table: str, *names: str) -> None:
    for name in names:
        if name in columns_of(table):
            op.drop_column(table, name)


def tables() -> set[str]:
    return set(sa.inspect(op.get_bind()).get_table_names())


def columns_of(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def name(length: int) -> sa.String:
    """Compared by bytes, as all text."""
    return sa.String(length, collation=_BINARY.get(dialect()))


def long_text() -> sa.types.TypeEngine[str]:
    if dialect() == "mysql":
        return mysql.MEDIUMTEXT(collation=_BINARY["mysql"])
    return sa.Text(collation=_BINARY.get(dialect()))


def utc() -> sa.DateTime:
    return mysql.DATETIME(fsp=6) if dialect() == "mysql" else sa.DateTime(timezone=dialect() == "postgresql")


def digest() -> sa.types.TypeEngine[bytes]:
    return sa.LargeBinary(32).with_variant(mysql.VARBINARY(32), "mysql")


def _indexes(table: str) -> set[str | None]:
    return {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}

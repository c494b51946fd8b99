"""Column types that behave the same on SQLite, MySQL, MariaDB and PostgreSQL."""

from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from sqlalchemy import VARBINARY, BigInteger, DateTime, Dialect, Integer, LargeBinary, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

_MYSQL = ("mysql", "mariadb")

_BINARY = {"mysql": "utf8mb4_bin", "mariadb": "utf8mb4_bin", "postgresql": "C"}
"""Compared and sorted by bytes everywhere; SQLite does so by itself."""

BIG_ID = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only in a column of exactly this type."""

DIGEST = LargeBinary(32).with_variant(VARBINARY(32), *_MYSQL)


class Utc(TypeDecorator[datetime]):
    """Takes and gives aware datetimes; stored in UTC with microseconds."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in _MYSQL:
            return _mysql("DATETIME", fsp=6)
        return DateTime(timezone=dialect.name == "postgresql")

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 # SQLAlchemy's signature
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Name(TypeDecorator[str]):
    """A short text, compared by bytes. What is longer than the column is cut, so that no value blocks its record."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self._length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return String(self._length, collation=_BINARY.get(dialect.name))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 # as above
        return None if value is None else storable(value[: self._length])


class LongText(TypeDecorator[str]):
    """Up to 16 MB of text."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name in _MYSQL:
            return _mysql("MEDIUMTEXT", collation=_BINARY[dialect.name])
        return Text(collation=_BINARY.get(dialect.name))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 # as above
        return None if value is None else storable(value)


class LongBytes(TypeDecorator[bytes]):
    """Up to 16 MB."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _mysql("MEDIUMBLOB") if dialect.name in _MYSQL else LargeBinary()


def _mysql(name: str, **options: Any) -> TypeEngine[Any]:
    """A type of its own, from a package that only its users have to load."""
    made: TypeEngine[Any] = getattr(import_module("sqlalchemy.dialects.mysql"), name)(**options)
    return made


def storable(text: str) -> str:
    """PostgreSQL refuses NUL and no server takes half a surrogate pair: both become U+FFFD, all else is kept."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")

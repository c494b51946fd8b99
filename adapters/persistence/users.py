"""Users in SQL."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from adapters.persistence.tables import users
from domain.errors import Conflict
from domain.user import Role, User

_FIELDS = tuple(column.name for column in users.c)

_BY_ID = select(users).where(users.c.id == bindparam("value"))
_BY_EMAIL = select(users).where(users.c.email == bindparam("value"))


@dataclass(frozen=True, slots=True)
class SqlUsers:
    connection: Connection

    def add(self, user: User) -> None:
        try:
            self.connection.execute(insert(users).values({name: getattr(user, name) for name in _FIELDS}))
        except IntegrityError as error:
            raise Conflict("This e-mail address is taken.", param="email") from error

    def get(self, user_id: str) -> User | None:
        return self._one(_BY_ID, user_id)

    def by_email(self, email: str) -> User | None:
        return self._one(_BY_EMAIL, email)

    def any(self) -> bool:
        return self.connection.execute(select(users.c.id).limit(1)).first() is not None

    def _one(self, query: Select[Any], value: str) -> User | None:
        row = self.connection.execute(query, {"value": value}).mappings().first()
        return None if row is None else user_from(row)


def user_from(row: RowMapping, prefix: str = "") -> User:
    """`prefix` is in front of every column's name where a join needs it."""
    fields = {name: row[prefix + name] for name in _FIELDS}
    return User(**{**fields, "role": Role(fields["role"])})

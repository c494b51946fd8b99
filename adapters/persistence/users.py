"""Users in SQL."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, RowMapping, Select, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from adapters.persistence.tables import users
from domain.errors import Conflict
from domain.user import Role, User

_FIELDS = tuple(column.name for column in users.c)
_SAVED = tuple(name for name in _FIELDS if name not in ("id", "created_at"))

_BY_ID = select(users).where(users.c.id == bindparam("value"))
_LOCKED = _BY_ID.with_for_update(key_share=True)
_BY_EMAIL = select(users).where(users.c.email == bindparam("value"))
_AN_OWNER = (users.c.role == Role.OWNER.value) & users.c.disabled.is_(False)
_OWNERS = select(users.c.id).where(_AN_OWNER).order_by(users.c.id)
_LOCKED_OWNER = select(users.c.id).where(users.c.id == bindparam("value"), _AN_OWNER).with_for_update(key_share=True)


@dataclass(frozen=True, slots=True)
class SqlUsers:
    connection: Connection

    def add(self, user: User) -> None:
        self._write(insert(users).values({name: getattr(user, name) for name in _FIELDS}))

    def get(self, user_id: str) -> User | None:
        return self._one(_BY_ID, user_id)

    def lock(self, user_id: str) -> User | None:
        return self._one(_LOCKED, user_id)

    def by_email(self, email: str) -> User | None:
        return self._one(_BY_EMAIL, email)

    def any(self) -> bool:
        return self.connection.execute(select(users.c.id).limit(1)).first() is not None

    def owners(self) -> int:
        # Row by row: MySQL would lock every user it has to look at.
        found = self.connection.execute(_OWNERS).scalars().all()
        locked = (self.connection.execute(_LOCKED_OWNER, {"value": user_id}).first() for user_id in found)
        return sum(1 for row in locked if row is not None)

    def page(self, limit: int, before: str | None) -> list[User]:
        query = select(users).order_by(users.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(users.c.id < before)
        return [user_from(row) for row in self.connection.execute(query).mappings()]

    def save(self, user: User) -> None:
        values = {name: getattr(user, name) for name in _SAVED}
        self._write(update(users).where(users.c.id == user.id).values(values))

    def _write(self, statement: Executable) -> None:
        try:
            self.connection.execute(statement)
        except IntegrityError as error:
            raise Conflict("This e-mail address is taken.", param="email") from error

    def _one(self, query: Select[Any], value: str) -> User | None:
        row = self.connection.execute(query, {"value": value}).mappings().first()
        return None if row is None else user_from(row)


def user_from(row: RowMapping, prefix: str = "") -> User:
    """`prefix` is in front of every column's name where a join needs it."""
    fields = {name: row[prefix + name] for name in _FIELDS}
    return User(**{**fields, "role": Role(fields["role"])})

"""Logins in SQL."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update

from adapters.persistence.account_tables import logins
from adapters.persistence.bounds import bounds_of
from adapters.persistence.tables import users
from adapters.persistence.users import user_from
from application.account_store import LoginRecord
from domain.limits import Kind
from domain.login import Login

_FIELDS = tuple(column.name for column in logins.c)
_OWNER = "owner_"
_WITH_OWNER = (
    select(logins, *(column.label(_OWNER + column.name) for column in users.c))
    .join(users, users.c.id == logins.c.user_id)
    .where(logins.c.kid == bindparam("given"))
)
_BY_ID = select(logins).where(logins.c.id == bindparam("login_id"))
_RUNNING = (
    select(logins)
    .where(logins.c.user_id == bindparam("owner_id"), logins.c.ended_at.is_(None))
    .order_by(logins.c.id.desc())
)
_END = (
    update(logins)
    .where(logins.c.id == bindparam("login_id"), logins.c.user_id == bindparam("owner_id"), logins.c.ended_at.is_(None))
    .values(ended_at=bindparam("at"))
)
_OLD = select(logins.c.id).where(logins.c.created_at < bindparam("before")).limit(1_000)
_FORGET = delete(logins).where(logins.c.id == bindparam("login_id"))


@dataclass(frozen=True, slots=True)
class SqlLogins:
    connection: Connection

    def add(self, login: Login) -> None:
        self.connection.execute(insert(logins).values({name: getattr(login, name) for name in _FIELDS}))

    def by_kid(self, kid: str) -> LoginRecord | None:
        row = self.connection.execute(_WITH_OWNER, {"given": kid}).mappings().first()
        if row is None:
            return None
        return LoginRecord(_login(row), user_from(row, _OWNER), bounds_of(self.connection, (Kind.USER, row["user_id"])))

    def of_user(self, user_id: str) -> list[Login]:
        return [_login(row) for row in self.connection.execute(_RUNNING, {"owner_id": user_id}).mappings()]

    def touch(self, login_id: str, seen_at: datetime, authenticated_at: datetime | None = None) -> None:
        proof = {} if authenticated_at is None else {"authenticated_at": authenticated_at}
        self.connection.execute(update(logins).where(logins.c.id == login_id).values(seen_at=seen_at, **proof))

    def end(self, login_id: str, user_id: str, at: datetime) -> Login | None:
        if not self._end(login_id, user_id, at):
            return None
        return _login(self.connection.execute(_BY_ID, {"login_id": login_id}).mappings().one())

    def end_all(self, user_id: str, at: datetime, but: str | None = None) -> list[Login]:
        # One by one: only whoever ends a login may report it.
        running = (login for login in self.of_user(user_id) if login.id != but)
        return [replace(login, ended_at=at) for login in running if self._end(login.id, user_id, at)]

    def sweep(self, before: datetime) -> int:
        old = self.connection.execute(_OLD, {"before": before}).scalars().all()
        return sum(self.connection.execute(_FORGET, {"login_id": login_id}).rowcount for login_id in old)

    def _end(self, login_id: str, user_id: str, at: datetime) -> bool:
        values = {"login_id": login_id, "owner_id": user_id, "at": at}
        return self.connection.execute(_END, values).rowcount == 1


def _login(row: RowMapping) -> Login:
    return Login(**{name: row[name] for name in _FIELDS})

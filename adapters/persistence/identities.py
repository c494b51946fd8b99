"""Accounts at identity providers in SQL."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select

from adapters.persistence.account_tables import identities
from adapters.persistence.dialects import insert_or_keep
from domain.errors import Conflict

_KEY = ("issuer", "subject")
_OWNER = select(identities.c.user_id).where(
    identities.c.issuer == bindparam("issuer"), identities.c.subject == bindparam("subject")
)


@dataclass(frozen=True, slots=True)
class SqlIdentities:
    connection: Connection

    def find(self, issuer: str, subject: str) -> str | None:
        found: str | None = self.connection.execute(_OWNER, {"issuer": issuer, "subject": subject}).scalar()
        return found

    def add(self, issuer: str, subject: str, user_id: str) -> None:
        key = {"issuer": issuer, "subject": subject}
        statement = insert_or_keep(self.connection.dialect.name, identities, _KEY)
        self.connection.execute(statement, key | {"user_id": user_id})
        # The lock makes MySQL read what is there now, not what was there when the unit began.
        if self.connection.execute(_OWNER.with_for_update(), key).scalar() != user_id:
            raise Conflict("This identity belongs to somebody else.")

    def forget(self, user_id: str) -> None:
        self.connection.execute(delete(identities).where(identities.c.user_id == user_id))

"""Keys of providers in SQL, sealed as they are given."""

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from adapters.persistence.admin_tables import provider_credentials as table
from domain.provider_credential import ProviderCredential

_FIELDS = tuple(column.name for column in table.c)
_SAVED = ("name", "base_url", "disabled")


@dataclass(frozen=True, slots=True)
class SqlCredentials:
    connection: Connection

    def add(self, credential: ProviderCredential) -> None:
        self.connection.execute(insert(table).values({name: getattr(credential, name) for name in _FIELDS}))

    def all(self) -> list[ProviderCredential]:
        rows = self.connection.execute(select(table).order_by(table.c.id)).mappings()
        return [_credential(row) for row in rows]

    def get(self, credential_id: str) -> ProviderCredential | None:
        row = self.connection.execute(select(table).where(table.c.id == credential_id)).mappings().first()
        return None if row is None else _credential(row)

    def save(self, credential: ProviderCredential) -> None:
        values = {name: getattr(credential, name) for name in _SAVED}
        self.connection.execute(update(table).where(table.c.id == credential.id).values(values))

    def delete(self, credential_id: str) -> None:
        self.connection.execute(delete(table).where(table.c.id == credential_id))


def _credential(row: RowMapping) -> ProviderCredential:
    return ProviderCredential(**{name: row[name] for name in _FIELDS})

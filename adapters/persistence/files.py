"""Files in SQL; their contents are elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select

from adapters.persistence.file_tables import files
from domain.errors import NotFound
from domain.stored_file import Purpose, StoredFile

_FIELDS = tuple(column.name for column in files.c)
_ONE = select(files).where(files.c.id == bindparam("file_id"), files.c.user_id == bindparam("owner_id"))
_OF_REQUESTS = (
    select(files).where(files.c.request_id.in_(bindparam("request_ids", expanding=True))).order_by(files.c.id)
)
_KNOWN = select(files.c.blob).where(files.c.blob.in_(bindparam("blobs", expanding=True)))
_DELETE = delete(files).where(files.c.id == bindparam("file_id"))
_FORGET = delete(files).where(files.c.user_id == bindparam("owner_id"))


@dataclass(frozen=True, slots=True)
class SqlFiles:
    connection: Connection

    def add(self, file: StoredFile) -> None:
        row = {name: getattr(file, name) for name in _FIELDS} | {"purpose": file.purpose.value}
        self.connection.execute(insert(files).values(row))

    def get(self, file_id: str, user_id: str) -> StoredFile:
        row = self.connection.execute(_ONE, {"file_id": file_id, "owner_id": user_id}).mappings().first()
        if row is None:
            raise NotFound
        return _file(row)

    def page(self, user_id: str, limit: int, before: str | None, purpose: Purpose | None = None) -> list[StoredFile]:
        query = select(files).where(files.c.user_id == user_id).order_by(files.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(files.c.id < before)
        if purpose is not None:
            query = query.where(files.c.purpose == purpose.value)
        return [_file(row) for row in self.connection.execute(query).mappings()]

    def of_requests(self, request_ids: Sequence[str]) -> list[StoredFile]:
        rows = self.connection.execute(_OF_REQUESTS, {"request_ids": list(request_ids)}).mappings()
        return [_file(row) for row in rows]

    def delete(self, file_id: str) -> None:
        self.connection.execute(_DELETE, {"file_id": file_id})

    def forget(self, user_id: str) -> None:
        self.connection.execute(_FORGET, {"owner_id": user_id})

    def unknown(self, blobs: Sequence[str]) -> list[str]:
        known = set(self.connection.execute(_KNOWN, {"blobs": list(blobs)}).scalars())
        return [blob for blob in blobs if blob not in known]


def _file(row: RowMapping) -> StoredFile:
    return StoredFile(**{**row, "purpose": Purpose(row["purpose"])})

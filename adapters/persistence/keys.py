"""API keys in SQL."""

from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select, update

from adapters.persistence.tables import api_keys, users
from adapters.persistence.users import user_from
from domain.api_key import ApiKey
from domain.user import Scope, User

_FIELDS = tuple(column.name for column in api_keys.c)
_OWNER = "owner_"
_WITH_OWNER = (
    select(api_keys, *(column.label(_OWNER + column.name) for column in users.c))
    .join(users)
    .where(api_keys.c.kid == bindparam("given"))
)


@dataclass(frozen=True, slots=True)
class SqlKeys:
    connection: Connection

    def add(self, key: ApiKey) -> None:
        row = {name: getattr(key, name) for name in _FIELDS}
        row |= {"scopes": _text(sorted(key.scopes)), "models": _text(key.models)}
        self.connection.execute(insert(api_keys).values(row))

    def by_kid(self, kid: str) -> tuple[ApiKey, User] | None:
        row = self.connection.execute(_WITH_OWNER, {"given": kid}).mappings().first()
        return None if row is None else (_key(row), user_from(row, _OWNER))

    def of_user(self, user_id: str | None) -> list[ApiKey]:
        query = select(api_keys).order_by(api_keys.c.id.desc())
        if user_id is not None:
            query = query.where(api_keys.c.user_id == user_id)
        return [_key(row) for row in self.connection.execute(query).mappings()]

    def revoke(self, key_id: str, at: datetime) -> bool:
        first = func.coalesce(api_keys.c.revoked_at, at, type_=api_keys.c.revoked_at.type)
        query = update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=first)
        return self.connection.execute(query).rowcount > 0


def _text(names: object) -> str:
    return orjson.dumps(names).decode()


def _key(row: RowMapping) -> ApiKey:
    fields = {name: row[name] for name in _FIELDS}
    scopes = frozenset(Scope(name) for name in orjson.loads(fields["scopes"]))
    return ApiKey(**{**fields, "scopes": scopes, "models": tuple(orjson.loads(fields["models"]))})

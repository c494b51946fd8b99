"""API keys in SQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, RowMapping, and_, bindparam, func, insert, select, update

from adapters.persistence.admin_tables import limits
from adapters.persistence.bounds import bounds_of
from adapters.persistence.limit_book import limits_from
from adapters.persistence.tables import api_keys, users
from adapters.persistence.users import user_from
from application.account_store import KeyRecord
from domain.api_key import ApiKey
from domain.limits import NO_LIMITS, Kind, Limits
from domain.user import Scope

_FIELDS = tuple(column.name for column in api_keys.c)
_SAVED = ("name", "scopes", "models", "heartbeats", "expires_at", "user_id", "replaced_by")
_OWNER = "owner_"
_WITH_OWNER = (
    select(api_keys, *(column.label(_OWNER + column.name) for column in users.c))
    .join(users, users.c.id == api_keys.c.user_id)
    .where(api_keys.c.kid == bindparam("given"))
)
_ITS_LIMITS = and_(limits.c.kind == Kind.KEY.value, limits.c.subject_id == api_keys.c.id)
_WITH_LIMITS = select(api_keys, limits).outerjoin(limits, _ITS_LIMITS)
_REVOKE = (
    update(api_keys)
    .where(api_keys.c.id == bindparam("key_id"))
    .values(revoked_at=func.coalesce(api_keys.c.revoked_at, bindparam("at", type_=api_keys.c.revoked_at.type)))
)
_LOCK = select(api_keys.c.id).where(api_keys.c.id == bindparam("key_id")).with_for_update(key_share=True)
_TOUCH = update(api_keys).where(api_keys.c.id == bindparam("key_id")).values(last_used_at=bindparam("at"))


@dataclass(frozen=True, slots=True)
class SqlKeys:
    connection: Connection

    def add(self, key: ApiKey) -> None:
        self.connection.execute(insert(api_keys).values(_row(key, _FIELDS)))

    def by_kid(self, kid: str) -> KeyRecord | None:
        row = self.connection.execute(_WITH_OWNER, {"given": kid}).mappings().first()
        if row is None:
            return None
        team_id, mine = row["team_id"], (Kind.KEY, row["id"])
        owner = (Kind.USER, row["user_id"]) if team_id is None else (Kind.TEAM, team_id)
        bounds = bounds_of(self.connection, mine, owner)
        own = next((bound.limits for bound in bounds if bound.kind is Kind.KEY), NO_LIMITS)
        return KeyRecord(_key(row, own), user_from(row, _OWNER), bounds)

    def get(self, key_id: str) -> ApiKey | None:
        row = self.connection.execute(_WITH_LIMITS.where(api_keys.c.id == key_id)).mappings().first()
        return None if row is None else _key(row, limits_from(row))

    def lock(self, key_id: str) -> ApiKey | None:
        # In a statement of its own: PostgreSQL locks nothing that an outer join may not find.
        self.connection.execute(_LOCK, {"key_id": key_id})
        return self.get(key_id)

    def page(self, user_id: str | None, team_id: str | None, limit: int, before: str | None) -> list[ApiKey]:
        query = _WITH_LIMITS.order_by(api_keys.c.id.desc()).limit(limit)
        if user_id is not None:
            query = query.where(api_keys.c.user_id == user_id)
        if team_id is not None:
            query = query.where(api_keys.c.team_id == team_id)
        if before is not None:
            query = query.where(api_keys.c.id < before)
        return [_key(row, limits_from(row)) for row in self.connection.execute(query).mappings()]

    def save(self, key: ApiKey) -> None:
        self.connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(_row(key, _SAVED)))

    def revoke(self, key_id: str, at: datetime) -> bool:
        return self.connection.execute(_REVOKE, {"key_id": key_id, "at": at}).rowcount > 0

    def touch(self, key_id: str, at: datetime) -> None:
        self.connection.execute(_TOUCH, {"key_id": key_id, "at": at})


def _row(key: ApiKey, names: tuple[str, ...]) -> dict[str, Any]:
    row = {name: getattr(key, name) for name in names}
    return row | {"scopes": _text(sorted(key.scopes)), "models": _text(key.models)}


def _text(names: object) -> str:
    return orjson.dumps(names).decode()


def _key(row: RowMapping, own: Limits) -> ApiKey:
    fields = {name: row[name] for name in _FIELDS}
    scopes = frozenset(Scope(name) for name in orjson.loads(fields["scopes"]))
    return ApiKey(**{**fields, "scopes": scopes, "models": tuple(orjson.loads(fields["models"])), "limits": own})

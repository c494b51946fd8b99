"""Idempotency keys in SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update

from adapters.persistence.admin_tables import idempotency_keys as keys
from adapters.persistence.admin_tables import idempotency_parts as parts
from adapters.persistence.dialects import insert_or_lock
from adapters.persistence.tables import usage_ledger
from domain.idempotency import KeyedCall, Reply
from domain.ledger import Kind, State

_PLAIN = ("id", "user_id", "fingerprint", "request_id", "claimed_at")
_CLAIMED = ("user_id", "fingerprint", "request_id", "claimed_at")
_NO_REPLY = {"status": None, "headers": None, "body": None}

_THIS = keys.c.id == bindparam("key_id")
_OWN = _THIS & (keys.c.request_id == bindparam("owner"))
_OPEN = _OWN & keys.c.status.is_(None)
_FIND = select(keys).where(_THIS)
_TAKE_OVER = update(keys).where(_THIS).values({name: bindparam(f"new_{name}") for name in _CLAIMED} | _NO_REPLY)
_FINISH = update(keys).where(_OPEN).values({name: bindparam(f"new_{name}") for name in _NO_REPLY})
_FORGET = delete(keys).where(_THIS)
_RELEASE = delete(keys).where(_OPEN)
_PUT = insert(parts)
_PART = select(parts.c.body).join(keys, keys.c.id == parts.c.key_id).where(_OWN, parts.c.number == bindparam("part"))
_FORGET_PARTS = delete(parts).where(parts.c.key_id == bindparam("key_id"))
_COUNT = select(func.count()).where(parts.c.key_id == keys.c.id).scalar_subquery()
_WITH_PARTS = select(parts.c.key_id).distinct().where(parts.c.key_id.in_(bindparam("key_ids", expanding=True)))
_OF_USER = select(keys.c.id).where(keys.c.user_id == bindparam("owner_id")).order_by(keys.c.id)
_OVER = keys.c.claimed_at < bindparam("before")
_FORGET_OLD = _FORGET.where(_OVER)
_OLD = select(keys.c.id, _COUNT).where(_OVER).order_by(keys.c.id).limit(1_000)
_SWEPT_PARTS = 128
"""After so many a sweep ends: it has one transaction, in which nobody else gets at the embedded store."""
_OUTCOME = select(usage_ledger.c.state).where(
    usage_ledger.c.request_id == bindparam("request_id"),
    usage_ledger.c.attempt == 0,
    usage_ledger.c.kind == Kind.FINAL.value,
)


@dataclass(frozen=True, slots=True)
class SqlIdempotency:
    connection: Connection

    def claim(self, call: KeyedCall) -> KeyedCall:
        row = {name: getattr(call, name) for name in _PLAIN}
        self.connection.execute(insert_or_lock(self.connection.dialect.name, keys, "status"), row)
        return _call(self.connection.execute(_FIND, {"key_id": call.id}).mappings().one())

    def take_over(self, call: KeyedCall) -> None:
        values = {f"new_{name}": getattr(call, name) for name in _CLAIMED}
        self.connection.execute(_TAKE_OVER, values | {"key_id": call.id})
        self.connection.execute(_FORGET_PARTS, {"key_id": call.id})

    def finish(self, call: KeyedCall, reply: Reply, rest: Sequence[bytes] = ()) -> None:
        headers = orjson.dumps(reply.headers).decode()
        values = {"new_status": reply.status, "new_headers": headers, "new_body": reply.body}
        if self.connection.execute(_FINISH, values | _owned(call)).rowcount:
            for number, body in enumerate(rest, 1):  # a statement each, whatever the driver makes of many
                self.connection.execute(_PUT, {"key_id": call.id, "number": number, "body": body})

    def part(self, call: KeyedCall, number: int) -> bytes | None:
        body: bytes | None = self.connection.execute(_PART, _owned(call) | {"part": number}).scalar()
        return body

    def release(self, call: KeyedCall) -> None:
        self.connection.execute(_RELEASE, _owned(call))

    def outcome(self, request_id: str) -> State | None:
        state = self.connection.execute(_OUTCOME, {"request_id": request_id}).scalar()
        return None if state is None else State(state)

    def forget(self, user_id: str) -> None:
        for key_id in self.connection.execute(_OF_USER, {"owner_id": user_id}).scalars().all():
            self.connection.execute(_FORGET, {"key_id": key_id})
            self.connection.execute(_FORGET_PARTS, {"key_id": key_id})

    def sweep(self, before: datetime) -> int:
        # By id, and asked again: one DELETE for all would lock every row on MySQL, those of running calls as well.
        swept, room = [], _SWEPT_PARTS
        for key_id, count in self.connection.execute(_OLD, {"before": before}).all():
            if room > 0 and self.connection.execute(_FORGET_OLD, {"key_id": key_id, "before": before}).rowcount:
                swept.append(key_id)
                room -= count
        # Looked for when the keys are gone and nobody can add any, and by id again.
        for key_id in self.connection.execute(_WITH_PARTS, {"key_ids": swept}).scalars().all():
            self.connection.execute(_FORGET_PARTS, {"key_id": key_id})
        return len(swept)


def _owned(call: KeyedCall) -> dict[str, Any]:
    return {"key_id": call.id, "owner": call.request_id}


def _call(row: RowMapping) -> KeyedCall:
    return KeyedCall(**{name: row[name] for name in _PLAIN}, reply=_reply(row))


def _reply(row: RowMapping) -> Reply | None:
    if row["status"] is None:
        return None
    headers = tuple((name, value) for name, value in orjson.loads(row["headers"]))
    return Reply(row["status"], headers, row["body"])

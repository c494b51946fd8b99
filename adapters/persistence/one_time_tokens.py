"""One-time tokens in SQL."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update

from adapters.persistence.account_tables import one_time_tokens as tokens
from domain.one_time_token import OneTimeToken, Purpose
from domain.user import Role

_FIELDS = tuple(column.name for column in tokens.c)
_UNUSED = tokens.c.used_at.is_(None)
_USE = update(tokens).where(_UNUSED).values(used_at=bindparam("at"))
_SPEND = _USE.where(
    tokens.c.digest == bindparam("given"),
    tokens.c.purpose == bindparam("wanted"),
    tokens.c.expires_at > bindparam("at", type_=tokens.c.expires_at.type),
)
_WITHDRAW = _USE.where(tokens.c.id == bindparam("token_id"))
_RENEW = (
    update(tokens)
    .where(_UNUSED, tokens.c.id == bindparam("token_id"))
    .values(digest=bindparam("fresh"), expires_at=bindparam("end"))
)
_BY_DIGEST = select(tokens).where(tokens.c.digest == bindparam("given"))
_TO_ADDRESS = (tokens.c.email == bindparam("address")) & (tokens.c.purpose == bindparam("wanted"))
_EARLIER = select(tokens.c.id).where(_TO_ADDRESS, _UNUSED)
_OF_USER = select(tokens.c.id).where(tokens.c.user_id == bindparam("owner_id"), _UNUSED)
_OF_ADDRESS = select(tokens.c.id).where(tokens.c.email == bindparam("address"), _UNUSED)
_ISSUED = select(func.count()).select_from(tokens).where(_TO_ADDRESS, tokens.c.created_at >= bindparam("since"))
_INVITATIONS = select(tokens).where(tokens.c.purpose == Purpose.INVITE.value, _UNUSED).order_by(tokens.c.id.desc())
_OLD = select(tokens.c.id).where(tokens.c.expires_at < bindparam("before")).limit(1_000)
_FORGET = delete(tokens).where(tokens.c.id == bindparam("token_id"))


@dataclass(frozen=True, slots=True)
class SqlOneTimeTokens:
    connection: Connection

    def add(self, token: OneTimeToken) -> None:
        # By id: an UPDATE by address would lock the neighbouring addresses on MySQL, and two of them each other.
        values = {"address": token.email, "wanted": token.purpose.value}
        for token_id in self.connection.execute(_EARLIER, values).scalars().all():
            self.withdraw(token_id, token.created_at)
        self.connection.execute(insert(tokens).values({name: getattr(token, name) for name in _FIELDS}))

    def renew(self, token_id: str, digest: bytes, expires_at: datetime) -> bool:
        values = {"token_id": token_id, "fresh": digest, "end": expires_at}
        return self.connection.execute(_RENEW, values).rowcount == 1

    def spend(self, purpose: Purpose, digest: bytes, at: datetime) -> OneTimeToken | None:
        values = {"wanted": purpose.value, "given": digest}
        if self.connection.execute(_SPEND, values | {"at": at}).rowcount != 1:
            return None
        return _token(self.connection.execute(_BY_DIGEST, {"given": digest}).mappings().one())

    def issued(self, purpose: Purpose, email: str, since: datetime) -> int:
        values = {"address": email, "wanted": purpose.value, "since": since}
        return int(self.connection.execute(_ISSUED, values).scalar_one())

    def open_invitations(self) -> list[OneTimeToken]:
        return [_token(row) for row in self.connection.execute(_INVITATIONS).mappings()]

    def withdraw(self, token_id: str, at: datetime) -> bool:
        return self.connection.execute(_WITHDRAW, {"token_id": token_id, "at": at}).rowcount == 1

    def withdraw_all(self, user_id: str, email: str, at: datetime) -> None:
        mine = self.connection.execute(_OF_USER, {"owner_id": user_id}).scalars().all()
        sent = self.connection.execute(_OF_ADDRESS, {"address": email}).scalars().all()
        for token_id in sorted({*mine, *sent}):
            self.withdraw(token_id, at)

    def sweep(self, before: datetime) -> int:
        old = self.connection.execute(_OLD, {"before": before}).scalars().all()
        return sum(self.connection.execute(_FORGET, {"token_id": token_id}).rowcount for token_id in old)


def _token(row: RowMapping) -> OneTimeToken:
    role = None if row["role"] is None else Role(row["role"])
    return OneTimeToken(**{**row, "purpose": Purpose(row["purpose"]), "role": role})

"""The messages of chat sessions in SQL; they are written by the ledger's `SqlApply`."""

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, bindparam, select

from adapters.persistence.tables import messages
from domain.session import Message, MessageState

_OF_SESSION = select(messages).where(messages.c.session_id == bindparam("of_session"))
_NEWEST = _OF_SESSION.order_by(messages.c.seq.desc()).limit(bindparam("count"))
_NEXT = _OF_SESSION.where(messages.c.seq > bindparam("after")).order_by(messages.c.seq).limit(bindparam("count"))


@dataclass(frozen=True, slots=True)
class SqlMessages:
    connection: Connection

    def window(self, session_id: str, limit: int) -> list[Message]:
        rows = self.connection.execute(_NEWEST, {"of_session": session_id, "count": limit}).mappings()
        return [_message(row) for row in rows][::-1]

    def page(self, session_id: str, limit: int, after: int) -> list[Message]:
        rows = self.connection.execute(_NEXT, {"of_session": session_id, "after": after, "count": limit}).mappings()
        return [_message(row) for row in rows]


def _message(row: RowMapping) -> Message:
    return Message(**{**row, "state": MessageState(row["state"])})

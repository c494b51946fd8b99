"""Mails to be sent, in SQL."""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update

from adapters.persistence.account_tables import outbox
from domain.mail import Locale, MailKind, QueuedMail

_FIELDS = tuple(column.name for column in outbox.c)
_THIS = outbox.c.id == bindparam("mail_id")
_DUE = (
    select(outbox)
    .where(outbox.c.due_at <= bindparam("now"))
    .order_by(outbox.c.due_at, outbox.c.id)
    .limit(bindparam("wanted"))
)
_CLAIM = (
    update(outbox)
    .where(_THIS, outbox.c.attempts == bindparam("known"), outbox.c.due_at <= bindparam("now"))
    .values(due_at=bindparam("until"), attempts=outbox.c.attempts + 1)
)
"""Every claim counts an attempt, so of several that saw the same row only the first finds it unchanged."""

_POSTPONE = update(outbox).where(_THIS).values(due_at=bindparam("at"))
_FORGET = delete(outbox).where(_THIS)


@dataclass(frozen=True, slots=True)
class SqlOutbox:
    connection: Connection

    def put(self, mail: QueuedMail) -> None:
        self.connection.execute(insert(outbox).values({name: getattr(mail, name) for name in _FIELDS}))

    def claim(self, now: datetime, until: datetime, limit: int) -> list[QueuedMail]:
        rows = self.connection.execute(_DUE, {"now": now, "wanted": limit}).mappings().all()
        claimed = (mail for mail in map(_mail, rows) if self._claim(mail, now, until))
        return [replace(mail, due_at=until, attempts=mail.attempts + 1) for mail in claimed]

    def postpone(self, mail_id: str, due_at: datetime) -> None:
        self.connection.execute(_POSTPONE, {"mail_id": mail_id, "at": due_at})

    def done(self, mail_id: str) -> None:
        self.connection.execute(_FORGET, {"mail_id": mail_id})

    def waiting(self) -> int:
        return int(self.connection.execute(select(func.count()).select_from(outbox)).scalar_one())

    def _claim(self, mail: QueuedMail, now: datetime, until: datetime) -> bool:
        values = {"mail_id": mail.id, "known": mail.attempts, "now": now, "until": until}
        return self.connection.execute(_CLAIM, values).rowcount == 1


def _mail(row: RowMapping) -> QueuedMail:
    return QueuedMail(**{**row, "kind": MailKind(row["kind"]), "locale": Locale(row["locale"])})

"""Units of work on an SQL database, behind a breaker."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from adapters.persistence.errors import unavailable
from adapters.persistence.keys import SqlKeys
from adapters.persistence.messages import SqlMessages
from adapters.persistence.sessions import SqlSessions
from adapters.persistence.transaction import transaction
from adapters.persistence.turns import SqlTurns
from adapters.persistence.usage import SqlUsageLog
from adapters.persistence.users import SqlUsers
from application.breaker import Breaker
from domain.errors import DatabaseBusy, DatabaseUnavailable


@dataclass(frozen=True, slots=True)
class SqlUnitOfWork:
    users: SqlUsers
    keys: SqlKeys
    sessions: SqlSessions
    messages: SqlMessages
    turns: SqlTurns
    usage: SqlUsageLog


@dataclass(frozen=True, slots=True)
class SqlBegin:
    """Holds no connection itself, so one instance serves every greenlet."""

    engine: Engine
    breaker: Breaker

    @contextmanager
    def __call__(self) -> Iterator[SqlUnitOfWork]:
        if not self.breaker.allows():
            raise unavailable()
        try:
            with transaction(self.engine) as connection:
                yield _work(connection)
        except DatabaseUnavailable as error:
            self.breaker.failed(error.message)
            raise
        except DatabaseBusy:
            raise
        except Exception:
            self.breaker.succeeded()  # the caller's own error: the database did its part
            raise
        self.breaker.succeeded()


def _work(connection: Connection) -> SqlUnitOfWork:
    return SqlUnitOfWork(
        SqlUsers(connection),
        SqlKeys(connection),
        SqlSessions(connection),
        SqlMessages(connection),
        SqlTurns(connection),
        SqlUsageLog(connection),
    )

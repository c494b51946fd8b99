"""Units of work on an SQL database, behind a breaker."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from adapters.persistence.audit import SqlAuditLog
from adapters.persistence.budgets import SqlBudgets
from adapters.persistence.credentials import SqlCredentials
from adapters.persistence.errors import unavailable
from adapters.persistence.files import SqlFiles
from adapters.persistence.idempotency import SqlIdempotency
from adapters.persistence.identities import SqlIdentities
from adapters.persistence.image_jobs import SqlImageJobs
from adapters.persistence.keys import SqlKeys
from adapters.persistence.limit_book import SqlLimitBook
from adapters.persistence.logins import SqlLogins
from adapters.persistence.messages import SqlMessages
from adapters.persistence.one_time_tokens import SqlOneTimeTokens
from adapters.persistence.outbox import SqlOutbox
from adapters.persistence.price_changes import SqlPriceChanges
from adapters.persistence.second_factors import SqlSecondFactors
from adapters.persistence.sessions import SqlSessions
from adapters.persistence.summaries import SqlSummaries
from adapters.persistence.teams import SqlTeams
from adapters.persistence.throttles import SqlThrottles
from adapters.persistence.transaction import transaction
from adapters.persistence.turns import SqlTurns
from adapters.persistence.usage import SqlUsageLog
from adapters.persistence.users import SqlUsers
from adapters.persistence.worker_states import SqlWorkerStates
from application.breaker import Breaker
from domain.errors import DatabaseBusy, DatabaseUnavailable


@dataclass(frozen=True, slots=True)
class SqlUnitOfWork:
    users: SqlUsers
    keys: SqlKeys
    logins: SqlLogins
    tokens: SqlOneTimeTokens
    factors: SqlSecondFactors
    identities: SqlIdentities
    throttles: SqlThrottles
    outbox: SqlOutbox
    teams: SqlTeams
    limits: SqlLimitBook
    budgets: SqlBudgets
    credentials: SqlCredentials
    prices: SqlPriceChanges
    audit: SqlAuditLog
    workers: SqlWorkerStates
    idempotency: SqlIdempotency
    files: SqlFiles
    image_jobs: SqlImageJobs
    sessions: SqlSessions
    messages: SqlMessages
    summaries: SqlSummaries
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
        users=SqlUsers(connection),
        keys=SqlKeys(connection),
        logins=SqlLogins(connection),
        tokens=SqlOneTimeTokens(connection),
        factors=SqlSecondFactors(connection),
        identities=SqlIdentities(connection),
        throttles=SqlThrottles(connection),
        outbox=SqlOutbox(connection),
        teams=SqlTeams(connection),
        limits=SqlLimitBook(connection),
        budgets=SqlBudgets(connection),
        credentials=SqlCredentials(connection),
        prices=SqlPriceChanges(connection),
        audit=SqlAuditLog(connection),
        workers=SqlWorkerStates(connection),
        idempotency=SqlIdempotency(connection),
        files=SqlFiles(connection),
        image_jobs=SqlImageJobs(connection),
        sessions=SqlSessions(connection),
        messages=SqlMessages(connection),
        summaries=SqlSummaries(connection),
        turns=SqlTurns(connection),
        usage=SqlUsageLog(connection),
    )

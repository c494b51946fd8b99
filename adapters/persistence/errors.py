"""The one table from what drivers raise to what the domain knows."""

from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.errors import DatabaseBusy, DatabaseUnavailable

RETRY_AFTER = 2

_CONNECTIONS = frozenset({1040, 1203, 1226, "53300"})
_LOCKS = frozenset({1020, 1205, 1213, "40001", "40P01", "55P03", "sqlite 5", "sqlite 6"})
_DEFECTS = frozenset({1054, "sqlite 1"})
"""Statements that do not fit the schema: some drivers call these operational."""

_TOO_MANY_CLIENTS = ("too many clients", "remaining connection slots", "no more connections allowed")
"""psycopg has no code for what a server says before it has let us in."""


def unavailable(reason: str = "The database does not answer.") -> DatabaseUnavailable:
    return DatabaseUnavailable(reason, retry_after=RETRY_AFTER)


def translated(error: SQLAlchemyError) -> Exception:
    """DatabaseBusy: the same again, later, can work. DatabaseUnavailable: nobody gets through. Else `error` itself."""
    if isinstance(error, PoolTimeout):
        return DatabaseBusy(retry_after=RETRY_AFTER)
    if not isinstance(error, DBAPIError) or error.orig is None:
        return error
    code = code_of(error.orig)
    if code in _LOCKS:
        return DatabaseBusy("The row is locked by somebody else.", retry_after=RETRY_AFTER)
    if code in _CONNECTIONS or any(phrase in str(error.orig) for phrase in _TOO_MANY_CLIENTS):
        return DatabaseBusy(retry_after=RETRY_AFTER)
    if code in _DEFECTS:
        return error
    # What a driver does not classify any further is a broken file or protocol.
    outage = isinstance(error, OperationalError | InterfaceError | InternalError) or type(error) is DatabaseError
    return unavailable() if outage or error.connection_invalidated else error


def code_of(error: BaseException) -> int | str | None:
    """MySQL's error number, PostgreSQL's SQLSTATE or `sqlite <primary result code>`."""
    sqlite = getattr(error, "sqlite_errorcode", None)
    if sqlite is not None:
        return f"sqlite {sqlite & 0xFF}"
    if error.args and isinstance(error.args[0], int):
        return error.args[0]
    state: str | None = getattr(error, "sqlstate", None)
    return state

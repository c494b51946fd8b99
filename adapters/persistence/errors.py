"""The one table from what drivers raise to what the domain knows."""

from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.errors import DatabaseBusy, DatabaseUnavailable, SchemaMismatch

RETRY_AFTER = 2

_CONNECTIONS = frozenset({1040, 1203, 1226, "53300"})
_LOCKS = frozenset({1020, 1205, 1213, "40001", "40P01", "55P03", "sqlite 5", "sqlite 6"})
_SCHEMA = frozenset({1054, 1146, "42703", "42P01"})
"""A column or a table that is not there."""

_NO_SUCH = ("no such table", "no such column")
"""SQLite has one code for this and for every other defect of a statement, and calls them operational."""

_DEFECT = "sqlite 1"

_TOO_MANY_CLIENTS = ("too many clients", "remaining connection slots", "no more connections allowed")
"""psycopg has no code for what a server says before it has let us in."""


def unavailable(reason: str = "The database does not answer.") -> DatabaseUnavailable:
    return DatabaseUnavailable(reason, retry_after=RETRY_AFTER)


def translated(error: SQLAlchemyError) -> Exception:
    """`error` in the domain's words, or itself when it is a defect of ours.

    DatabaseBusy: the same again, later, can work. DatabaseUnavailable: nobody gets through, or, as SchemaMismatch,
    nothing can be found.
    """
    if isinstance(error, PoolTimeout):
        return DatabaseBusy(retry_after=RETRY_AFTER)
    if not isinstance(error, DBAPIError) or error.orig is None:
        return error
    return _from_driver(error, error.orig)


def _from_driver(error: DBAPIError, cause: BaseException) -> Exception:
    code = code_of(cause)
    if code in _LOCKS:
        return DatabaseBusy("The row is locked by somebody else.", retry_after=RETRY_AFTER)
    if code in _CONNECTIONS or any(phrase in str(cause) for phrase in _TOO_MANY_CLIENTS):
        return DatabaseBusy(retry_after=RETRY_AFTER)
    if code in _SCHEMA or (code == _DEFECT and str(cause).startswith(_NO_SUCH)):
        return SchemaMismatch(retry_after=RETRY_AFTER)
    if code == _DEFECT:
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

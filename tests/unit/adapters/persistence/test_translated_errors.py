"""The table from drivers' errors to the domain's, with errors as the drivers raise them."""

import sqlite3

import psycopg
import pymysql
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, NoSuchTableError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from adapters.persistence.errors import translated
from domain.errors import DatabaseBusy, DatabaseUnavailable, SchemaMismatch


def raised(error, dbapi):
    """As SQLAlchemy wraps it."""
    return DBAPIError.instance("SELECT 1", {}, error, dbapi.Error, hide_parameters=True)


def sqlite(code):
    error = sqlite3.OperationalError("as the driver says")
    error.sqlite_errorcode = code
    return error


BUSY = [
    raised(pymysql.err.OperationalError(1040, "Too many connections"), pymysql),
    raised(pymysql.err.OperationalError(1205, "Lock wait timeout exceeded"), pymysql),
    raised(pymysql.err.OperationalError(1213, "Deadlock found"), pymysql),
    raised(psycopg.errors.SerializationFailure(), psycopg),
    raised(psycopg.errors.DeadlockDetected(), psycopg),
    raised(psycopg.errors.LockNotAvailable(), psycopg),
    raised(psycopg.OperationalError("FATAL:  sorry, too many clients already"), psycopg),
    raised(sqlite(sqlite3.SQLITE_BUSY), sqlite3),
    raised(sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), sqlite3),
    PoolTimeout("QueuePool limit reached"),
]
GONE = [
    raised(pymysql.err.OperationalError(2003, "Can't connect"), pymysql),
    raised(pymysql.err.OperationalError(2013, "Lost connection"), pymysql),
    raised(pymysql.err.OperationalError(1290, "running with the --read-only option"), pymysql),
    raised(pymysql.err.OperationalError(1021, "Disk full"), pymysql),
    raised(
        pymysql.err.OperationalError(1969, "Query execution was interrupted (max_statement_time exceeded)"), pymysql
    ),
    raised(psycopg.errors.AdminShutdown(), psycopg),
    raised(psycopg.errors.QueryCanceled(), psycopg),
    raised(psycopg.errors.DiskFull(), psycopg),
    raised(psycopg.OperationalError("connection refused"), psycopg),
    raised(sqlite(sqlite3.SQLITE_FULL), sqlite3),
    raised(sqlite(sqlite3.SQLITE_IOERR_WRITE), sqlite3),
    raised(sqlite3.DatabaseError("file is not a database"), sqlite3),
]
MISMATCH = [
    raised(pymysql.err.ProgrammingError(1146, "Table doesn't exist"), pymysql),
    raised(pymysql.err.OperationalError(1054, "Unknown column"), pymysql),
    raised(psycopg.errors.UndefinedTable(), psycopg),
    raised(psycopg.errors.UndefinedColumn(), psycopg),
]
OURS = [
    raised(sqlite(sqlite3.SQLITE_ERROR), sqlite3),
    NoSuchTableError("users"),
]


def name(error):
    return f"{getattr(error, 'orig', error)!r}"[:60]


@pytest.mark.parametrize("error", BUSY, ids=name)
def test_busy_means_that_the_same_can_work_later(error):
    assert type(translated(error)) is DatabaseBusy
    assert translated(error).retry_after == 2


@pytest.mark.parametrize("error", GONE, ids=name)
def test_unavailable_means_that_nobody_gets_through(error):
    assert type(translated(error)) is DatabaseUnavailable
    assert translated(error).retry_after == 2


@pytest.mark.parametrize("error", MISMATCH, ids=name)
def test_a_table_or_column_that_is_not_there_means_another_schema(error):
    assert type(translated(error)) is SchemaMismatch


@pytest.mark.parametrize("error", OURS, ids=name)
def test_a_defect_of_the_program_stays_what_it_is(error):
    assert translated(error) is error


def test_a_violated_constraint_stays_what_it_is():
    error = raised(pymysql.err.IntegrityError(1062, "Duplicate entry"), pymysql)

    assert isinstance(translated(error), IntegrityError)


def test_nothing_of_the_statement_is_in_what_a_caller_sees():
    error = raised(pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'db.internal'"), pymysql)

    assert str(translated(error)) == DatabaseUnavailable.default

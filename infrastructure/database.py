"""The SQL engine: one pool per process, every wait bounded, every setting that correctness rests on frozen here."""

import sqlite3
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import PoolResetState, QueuePool

from adapters.persistence.transaction import UNIT_SECONDS, transaction
from infrastructure.configuration import ConfigurationError

_FILE = "parley.db"
_IN_TRANSACTION = 1
"""SERVER_STATUS_IN_TRANS of MySQL's protocol, sent with every answer."""
_MODES = "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, and connections of one process. Each can be set in the query of the URL: `?read_timeout=2`."""

    connect_timeout: int = 3
    read_timeout: int = 10
    write_timeout: int = 10
    lock_timeout: int = 5
    statement_timeout: int = 8
    unit_timeout: int = 10
    """Of one whole unit of work."""
    pool_timeout: int = 3
    pool_size: int = 5
    max_overflow: int = 5


def create_engine_for(address: str, home: Path) -> Engine:
    """An engine for `sqlite://` (a file in `home`), `sqlite:///path`, `mysql+pymysql://` or `postgresql+psycopg://`.

    Connects to nothing yet. Raises ConfigurationError for any other address.
    """
    try:
        url, limits = _split(make_url(address))
    except (ArgumentError, ValueError):
        raise ConfigurationError("DATABASE_URL is not a database address.") from None
    if url.drivername == "sqlite":
        return _sqlite(_placed(url, home), limits)
    if url.drivername == "mysql+pymysql":
        return _mysql(url, limits)
    if url.drivername == "postgresql+psycopg":
        return _postgresql(url, limits)
    raise ConfigurationError("DATABASE_URL must begin with sqlite://, mysql+pymysql:// or postgresql+psycopg://.")


def check_durability(engine: Engine) -> None:
    """Refuse a server that may forget what it has acknowledged. Raises ConfigurationError."""
    if engine.dialect.name == "mysql":
        _require(engine, "SELECT @@innodb_flush_log_at_trx_commit", "innodb_flush_log_at_trx_commit", "1")
    if engine.dialect.name == "postgresql":
        for setting in ("fsync", "full_page_writes"):
            _require(engine, f"SHOW {setting}", setting, "on")
        _require(engine, "SHOW synchronous_commit", "synchronous_commit", "on", "local", "remote_write", "remote_apply")


def pool_state(engine: Engine) -> tuple[int, int]:
    """How many connections this process keeps at most, and how many are in use."""
    pool = engine.pool
    return (pool.size(), pool.checkedout()) if isinstance(pool, QueuePool) else (0, 0)


def _require(engine: Engine, question: str, setting: str, *safe: str) -> None:
    with transaction(engine) as connection:
        actual = str(connection.exec_driver_sql(question).scalar())
    if actual not in safe:
        raise ConfigurationError(
            f"The database server has {setting}={actual} and may lose committed rows in a crash: set it to {safe[0]}."
        )


def _split(url: URL) -> tuple[URL, Limits]:
    """Take our limits out of the query; the driver gets what remains."""
    names = {field.name for field in fields(Limits)} & url.query.keys()
    limits = Limits(**{name: int(str(url.query[name])) for name in names})
    return url.difference_update_query(names), limits


def _pooled(
    url: URL, limits: Limits, arguments: dict[str, Any], *, reset: Literal["rollback"] | None = "rollback"
) -> Engine:
    return create_engine(
        url,
        connect_args=arguments,
        pool_size=limits.pool_size,
        max_overflow=limits.max_overflow,
        pool_timeout=limits.pool_timeout,
        pool_recycle=280,
        pool_pre_ping=True,
        pool_use_lifo=True,
        pool_reset_on_return=reset,
        execution_options={UNIT_SECONDS: float(limits.unit_timeout)},
        hide_parameters=True,
    )


# ── MySQL and MariaDB ────────────────────────────────────────────────────────────────────────────────────────────


def _mysql(url: URL, limits: Limits) -> Engine:
    settings = (
        f"SET SESSION sql_mode = '{_MODES}', time_zone = '+00:00', innodb_lock_wait_timeout = {limits.lock_timeout}"
        # Each server reads the comment that is meant for it. As PostgreSQL does by default, a unit that waited for a
        # lock reads what is there afterwards, and not what was there when it began.
        f" /*M!100101 , max_statement_time = {limits.statement_timeout}, tx_isolation = 'READ-COMMITTED' */"
        f" /*!80000 , max_execution_time = {limits.statement_timeout * 1000},"
        " transaction_isolation = 'READ-COMMITTED' */"
    )
    arguments = {
        "connect_timeout": limits.connect_timeout,
        "read_timeout": limits.read_timeout,
        "write_timeout": limits.write_timeout,
        "charset": "utf8mb4",
        "local_infile": False,
        "init_command": settings,
    }
    engine = _pooled(url, limits, arguments, reset=None)
    event.listen(engine, "reset", _roll_back)
    return engine


def _roll_back(connection: Any, _record: object, state: PoolResetState) -> None:
    """Only what has a transaction open: PyMySQL would ask the server for nothing, a round trip per unit of work."""
    if not state.terminate_only and connection.server_status & _IN_TRANSACTION:
        connection.rollback()


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────────────


def _postgresql(url: URL, limits: Limits) -> Engine:
    """PgBouncer in transaction mode shares server connections: nothing may outlive the transaction that set it."""
    begin = (
        f"BEGIN; SET LOCAL statement_timeout = {limits.statement_timeout * 1000};"
        f" SET LOCAL lock_timeout = {limits.lock_timeout * 1000}"
    )
    # psycopg's own BEGIN would cost a round trip for itself; with `autocommit` it leaves that to us.
    arguments = {"connect_timeout": limits.connect_timeout, "prepare_threshold": None, "autocommit": True}
    engine = _pooled(url, limits, arguments)
    _begin_with(engine, begin)
    return engine


# ── SQLite ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _sqlite(url: URL, limits: Limits) -> Engine:
    """One connection: transactions queue for it without blocking the event loop, as SQLite's own lock would."""
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "isolation_level": None, "timeout": limits.lock_timeout},
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=limits.pool_timeout,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _configure)
    _begin_with(engine, "BEGIN IMMEDIATE")
    return engine


def _placed(url: URL, home: Path) -> URL:
    if url.database == ":memory:":
        return url
    path = Path(url.database) if url.database else home / _FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return url.set(database=str(path.absolute()))


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Of several processes that open a new file, all but one may hear at once, without any waiting, that it is busy."""
    for pause in (0.01, 0.05, 0.25):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            time.sleep(pause)
        else:
            return
    connection.execute("PRAGMA journal_mode = WAL")


def _begin_with(engine: Engine, statement: str) -> None:
    """The statement that opens each transaction, for drivers that would not do so or would do it otherwise."""

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    event.listen(engine, "begin", begin)

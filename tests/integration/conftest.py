"""The servers, one of each per worker of the test run, started when a test first asks."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from adapters.clock import SystemClock
from adapters.persistence.ledger import SqlApply
from adapters.persistence.rollups import SqlRollups
from adapters.persistence.tables import metadata, rollup_watermark
from adapters.persistence.unit_of_work import SqlBegin
from application.breaker import Breaker
from infrastructure import schema_changes
from infrastructure.database import create_engine_for
from tests.contracts.rollups import SETTLED_SECONDS
from tests.fakes import RecordingRecorder
from tests.servers.mariadb import MariaDbServer, running_mariadb
from tests.servers.pgbouncer import PgBouncerServer, running_pgbouncer
from tests.servers.postgres import PostgresServer, running_postgres

STORES = [
    pytest.param(name, marks=pytest.mark.xdist_group(group))
    for name, group in (
        ("sqlite", "sqlite"),
        ("mariadb", "mariadb"),
        ("postgres", "postgres"),
        ("pgbouncer", "postgres"),
    )
]
"""Tests of one server stay on one worker (`--dist loadgroup`), so that it is started once."""

NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDbServer]:
    with running_mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def pgbouncer(postgres: PostgresServer) -> Iterator[PgBouncerServer]:
    with running_pgbouncer(postgres) as server:
        yield server


@pytest.fixture(scope="session", params=STORES)
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    """Makes an empty database and gives its address: the tests that use it run on every kind of store."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/parley.db?pool_timeout=1"
    server = request.getfixturevalue(request.param)
    return server.new_database


@pytest.fixture(scope="session")
def migrated(new_database: NewDatabase) -> Iterator[Engine]:
    engine = create_engine_for(new_database(), Path())
    schema_changes.migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(migrated: Engine) -> Engine:
    """An empty store with the newest schema."""
    with migrated.begin() as connection:
        empty(connection)
    return migrated


def empty(connection: Connection) -> None:
    """No row in any table, and the ledger's ids start at 1 again."""
    for table in reversed(metadata.sorted_tables):
        if table is not rollup_watermark:
            connection.execute(table.delete())
    restart = {
        "mysql": "ALTER TABLE usage_ledger AUTO_INCREMENT = 1",
        "postgresql": "ALTER SEQUENCE usage_ledger_id_seq RESTART",
    }
    if connection.dialect.name in restart:
        connection.exec_driver_sql(restart[connection.dialect.name])
    connection.execute(rollup_watermark.update().values(ledger_id=0))


@pytest.fixture
def begin(engine: Engine) -> SqlBegin:
    return SqlBegin(engine, Breaker("database", SystemClock(), RecordingRecorder()))


@pytest.fixture
def apply(engine: Engine) -> SqlApply:
    return SqlApply(engine)


@pytest.fixture
def rollups(engine: Engine) -> SqlRollups:
    return SqlRollups(engine, settled_seconds=SETTLED_SECONDS)


@pytest.fixture
def in_batches(engine: Engine) -> SqlRollups:
    return SqlRollups(engine, settled_seconds=SETTLED_SECONDS, batch=3)

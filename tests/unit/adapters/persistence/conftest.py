"""An embedded store for each test, copied from one that was migrated once, behind one engine for them all."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from adapters.clock import SystemClock
from adapters.persistence.ledger import SqlApply
from adapters.persistence.rollups import SqlRollups
from adapters.persistence.unit_of_work import SqlBegin
from application.breaker import Breaker
from infrastructure import schema_changes
from infrastructure.database import create_engine_for
from tests.contracts.rollups import SETTLED_SECONDS
from tests.fakes import RecordingRecorder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template")
    engine = create_engine_for("sqlite://", home)
    schema_changes.migrate(engine)
    engine.dispose()
    return home / "parley.db"


@pytest.fixture(scope="session")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """It keeps what it has compiled: a statement costs more than to run it."""
    engine = create_engine_for("sqlite://?pool_timeout=1", tmp_path_factory.mktemp("store"))
    event.listen(engine, "connect", _wait_for_no_disk)
    return engine


def _wait_for_no_disk(connection: sqlite3.Connection, _record: object) -> None:
    """No test cuts the power; that the product waits is shown in `test_database_engine.py`."""
    connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture
def engine(template: Path, shared_engine: Engine) -> Iterator[Engine]:
    store = Path(str(shared_engine.url.database))
    for beside in ("-wal", "-shm"):
        store.with_name(store.name + beside).unlink(missing_ok=True)
    shutil.copy(template, store)
    yield shared_engine
    shared_engine.dispose()


@pytest.fixture
def record() -> RecordingRecorder:
    return RecordingRecorder()


@pytest.fixture
def begin(engine: Engine, record: RecordingRecorder) -> SqlBegin:
    return SqlBegin(engine, Breaker("database", SystemClock(), record, failures=3))


@pytest.fixture
def apply(engine: Engine) -> SqlApply:
    return SqlApply(engine)


@pytest.fixture
def rollups(engine: Engine) -> SqlRollups:
    return SqlRollups(engine, settled_seconds=SETTLED_SECONDS)


@pytest.fixture
def in_batches(engine: Engine) -> SqlRollups:
    return SqlRollups(engine, settled_seconds=SETTLED_SECONDS, batch=3)

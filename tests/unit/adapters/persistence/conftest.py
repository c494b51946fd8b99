"""An embedded store for each test, copied from one that was migrated once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from adapters.clock import SystemClock
from adapters.persistence.ledger import SqlApply
from adapters.persistence.rollups import SqlRollups
from adapters.persistence.unit_of_work import SqlBegin
from application.breaker import Breaker
from infrastructure import schema
from infrastructure.database import create_engine_for
from tests.contracts.rollups import SETTLED_SECONDS
from tests.fakes import RecordingRecorder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template")
    engine = create_engine_for("sqlite://", home)
    schema.migrate(engine)
    engine.dispose()
    return home / "parley.db"


@pytest.fixture
def engine(template: Path, tmp_path: Path) -> Iterator[Engine]:
    shutil.copy(template, tmp_path / "parley.db")
    engine = create_engine_for("sqlite://?pool_timeout=1", tmp_path)
    yield engine
    engine.dispose()


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

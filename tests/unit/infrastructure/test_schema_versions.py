from pathlib import Path

import pytest
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from infrastructure import schema, schema_changes
from infrastructure.database import create_engine_for


@pytest.fixture
def engine(tmp_path: Path):
    engine = create_engine_for("sqlite://", tmp_path)
    yield engine
    engine.dispose()


def test_the_revision_that_is_needed_is_the_one_that_alembic_would_go_to():
    assert schema.head() == ScriptDirectory(str(schema.MIGRATIONS)).get_current_head()


def test_the_files_of_the_migrations_are_named_after_their_revisions():
    for script in ScriptDirectory(str(schema.MIGRATIONS)).walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")


@pytest.mark.parametrize("revision", ["0001", "0003"])
def test_the_revision_of_a_store_is_the_one_that_alembic_reads(engine: Engine, revision: str):
    schema_changes.migrate(engine)
    schema_changes.downgrade(engine, revision)

    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == revision
    assert schema.state(engine) == (revision, schema.head())


def test_an_empty_store_has_no_revision_and_neither_has_one_that_was_taken_back_to_nothing(engine: Engine):
    assert schema.state(engine)[0] is None

    schema_changes.migrate(engine)
    schema_changes.downgrade(engine, "base")

    assert schema.state(engine)[0] is None


def test_only_another_revision_is_told_as_a_mismatch(engine: Engine):
    assert "None" in (schema.mismatch(engine) or "")

    schema_changes.migrate(engine)

    assert schema.mismatch(engine) is None

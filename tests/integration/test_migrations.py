"""The schema on every server: made, made twice at once, compared with the tables, and taken back."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from adapters.persistence.tables import metadata
from infrastructure import schema
from infrastructure.configuration import ConfigurationError
from infrastructure.database import check_durability, create_engine_for
from tests.servers.program import wait_until

MIGRATE = """
import sys
from pathlib import Path
from infrastructure import schema
from infrastructure.database import create_engine_for
engine = create_engine_for(sys.argv[1], Path())
schema.migrate(engine)
engine.dispose()
"""


@pytest.fixture
def fresh(new_database):
    """An engine on a database without any table."""
    engine = create_engine_for(new_database(), Path())
    yield engine
    engine.dispose()


def tables(engine):
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def test_a_new_store_has_no_revision_and_then_the_newest(fresh):
    assert schema.state(fresh) == (None, schema.head())

    schema.migrate(fresh)

    assert schema.state(fresh) == (schema.head(), schema.head())


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(fresh):
    schema.migrate(fresh)

    with fresh.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_text_is_compared_by_bytes_in_every_column(fresh):
    schema.migrate(fresh)
    where = {
        "mysql": "FROM information_schema.columns WHERE table_schema = DATABASE()",
        "postgresql": "FROM information_schema.columns WHERE table_schema = 'public'",
    }.get(fresh.dialect.name, "FROM (SELECT 0 AS collation_name, 0 AS data_type, 0 AS table_name) WHERE 0")
    text_types = "('varchar', 'character varying', 'text', 'mediumtext')"
    ask = f"SELECT DISTINCT collation_name {where} AND data_type IN {text_types}"

    with fresh.connect() as connection:
        found = set(connection.execute(text(f"{ask} AND table_name <> 'alembic_version'")).scalars())

    assert found == {"mysql": {"utf8mb4_bin"}, "postgresql": {"C"}, "sqlite": set()}[fresh.dialect.name]


def test_migrating_twice_changes_nothing(fresh):
    schema.migrate(fresh)
    before = tables(fresh)

    schema.migrate(fresh)

    assert tables(fresh) == before


def test_a_downgrade_takes_every_table_back(fresh):
    schema.migrate(fresh)

    schema.downgrade(fresh, "base")

    assert tables(fresh) == {"alembic_version"}
    assert schema.state(fresh)[0] is None


def test_processes_that_migrate_at_once_wait_for_each_other(new_database):
    address = new_database()
    racers = [subprocess.Popen([sys.executable, "-c", MIGRATE, address], stderr=subprocess.PIPE) for _ in range(3)]

    errors = [racer.communicate(timeout=60)[1].decode() for racer in racers]

    assert [racer.returncode for racer in racers] == [0, 0, 0], errors
    engine = create_engine_for(address, Path())
    assert schema.state(engine) == (schema.head(), schema.head())
    engine.dispose()


def test_a_migration_that_was_killed_half_way_is_taken_up_again(fresh):
    """MySQL commits each statement of a migration, so a kill leaves tables without a revision."""
    schema.migrate(fresh)
    with fresh.begin() as connection:
        for statement in (
            "DROP TABLE rollup_watermark",
            "DELETE FROM alembic_version",
        ):
            connection.execute(text(statement))

    schema.migrate(fresh)

    assert tables(fresh) == {*metadata.tables, "alembic_version"}


def test_a_store_of_a_newer_program_is_left_alone(fresh):
    schema.migrate(fresh)
    with fresh.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    assert schema.state(fresh) == ("9999", schema.head())
    with pytest.raises(schema.SchemaError, match="9999"):
        schema.migrate(fresh)


@pytest.mark.xdist_group("mariadb")
def test_a_mariadb_that_may_forget_commits_is_refused(mariadb):
    engine = create_engine_for(mariadb.new_database(), Path())
    check_durability(engine)
    mariadb.ask("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        with pytest.raises(ConfigurationError, match="innodb_flush_log_at_trx_commit=2"):
            check_durability(engine)
    finally:
        mariadb.ask("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        engine.dispose()


@pytest.mark.xdist_group("postgres")
@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_postgres_that_may_forget_commits_is_refused(postgres, setting):
    engine = create_engine_for(postgres.new_database(), Path())
    check_durability(engine)

    def switch(value):
        postgres.ask(f"ALTER SYSTEM SET {setting} = {value}")
        postgres.ask("SELECT pg_reload_conf()")
        wait_until(lambda: postgres.ask(f"SHOW {setting}") == value)

    switch("off")
    engine.dispose()
    try:
        with pytest.raises(ConfigurationError, match=f"{setting}=off"):
            check_durability(engine)
    finally:
        switch("on")
        engine.dispose()

"""The schema on every server: made, made twice at once, compared with the tables, and taken back."""

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, Table, event, insert, inspect, select, text

from adapters.clock import SystemClock
from adapters.persistence.ledger import SqlApply
from adapters.persistence.limit_book import limits_from
from adapters.persistence.tables import metadata
from adapters.persistence.unit_of_work import SqlBegin
from application.breaker import Breaker
from application.records import Settled
from domain.limits import Budget, Limits, Unit, Window
from domain.provider_credential import PriceChange
from domain.session import SessionConfig, Strategy, Summary
from domain.usage import Usage
from infrastructure import schema, schema_changes
from infrastructure.configuration import ConfigurationError
from infrastructure.database import check_durability, create_engine_for
from tests.builders import NOW, a_key, a_session, a_token, a_user, an_entry
from tests.contracts.idempotency import REPLY, a_call, rest, stored
from tests.contracts.idempotency import put as put_keys
from tests.fakes import RecordingRecorder
from tests.servers.program import wait_until

MIGRATE = """
import sys
from pathlib import Path
from infrastructure import schema_changes
from infrastructure.database import create_engine_for
engine = create_engine_for(sys.argv[1], Path())
schema_changes.migrate(engine)
engine.dispose()
"""


MOVED = ("rpm", "tpm", "concurrency", "budget", "window")
OLD_LIMITS = {
    "key_1": {"rpm": 60, "tpm": 100_000, "concurrency": 4, "budget": 5_000_000_000_000, "window": "month"},
    "key_2": {"budget": 7},
    "key_3": {"window": "day"},
}
NEW_LIMITS = {
    "key_1": Limits(60, 100_000, 4, (Budget(Unit.MONEY, Window.MONTH, 5_000_000_000_000),)),
    "key_2": Limits(budgets=(Budget(Unit.MONEY, Window.TOTAL, 7),)),
}


A_CONFIG = SessionConfig(0.7, 512, 0.9, 'The "context" matters.', 3, Strategy.SUMMARY)


@dataclass
class SessionAsItWas:
    """The settings of a session before there was a choice of strategies: no others were taken."""

    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    system_prompt: str | None
    history: int


class Killed(Exception):
    pass


@pytest.fixture
def fresh(new_database):
    """An engine on a database without any table."""
    engine = create_engine_for(new_database(), Path())
    yield engine
    engine.dispose()


def tables(engine):
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def rows(engine, name):
    with engine.connect() as connection:
        table = Table(name, MetaData(), autoload_with=connection)
        return connection.execute(select(table)).mappings().all()


def put(engine, name, *rows):
    with engine.begin() as connection:
        connection.execute(insert(Table(name, MetaData(), autoload_with=connection)), list(rows))


@pytest.fixture
def old(fresh):
    """A store of the first schema, with a user and three keys."""
    schema_changes.migrate(fresh)
    schema_changes.downgrade(fresh, "0001")
    user = {name: getattr(a_user(), name) for name in ("id", "email", "role", "name", "disabled")}
    put(fresh, "users", user | {"created_at": NOW.replace(tzinfo=None)})
    for number, (key_id, limits) in enumerate(OLD_LIMITS.items(), 1):
        key = a_key(a_token(f"k1dk1dk1d{number}"))
        row = {name: getattr(key, name) for name in ("kid", "user_id", "name", "digest", "last4")}
        lists = {"scopes": "[]", "models": "[]", "created_at": NOW.replace(tzinfo=None)}
        put(fresh, "api_keys", row | lists | limits | {"id": key_id})
    return fresh


def old_limits(engine):
    return {
        row["id"]: {it: row[it] for it in ("rpm", "tpm", "concurrency", "budget", "window")}
        for row in rows(engine, "api_keys")
    }


def new_limits(engine):
    return {row["subject_id"]: limits_from(row) for row in rows(engine, "limits") if row["kind"] == "key"}


@contextlib.contextmanager
def killed_at(engine, words):
    """The first statement with these words is not executed, and none after it."""

    def kill(_connection, _cursor, statement, *_):
        if words in " ".join(statement.split()):
            raise Killed

    event.listen(engine, "before_cursor_execute", kill)
    try:
        with pytest.raises(Killed):
            yield
    finally:
        event.remove(engine, "before_cursor_execute", kill)


def test_a_new_store_has_no_revision_and_then_the_newest(fresh):
    assert schema.state(fresh) == (None, schema.head())

    schema_changes.migrate(fresh)

    assert schema.state(fresh) == (schema.head(), schema.head())


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(fresh):
    schema_changes.migrate(fresh)

    with fresh.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_text_is_compared_by_bytes_in_every_column(fresh):
    schema_changes.migrate(fresh)
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
    schema_changes.migrate(fresh)
    before = tables(fresh)

    schema_changes.migrate(fresh)

    assert tables(fresh) == before


def test_a_downgrade_takes_every_table_back(fresh):
    schema_changes.migrate(fresh)

    schema_changes.downgrade(fresh, "base")

    assert tables(fresh) == {"alembic_version"}
    assert schema.state(fresh)[0] is None


def test_the_limits_of_old_keys_move_to_the_new_table_and_back(old):
    schema_changes.migrate(old)
    assert new_limits(old) == NEW_LIMITS

    schema_changes.downgrade(old, "0001")
    nothing = dict.fromkeys(MOVED)
    assert old_limits(old) == {
        "key_1": OLD_LIMITS["key_1"],
        "key_2": nothing | {"budget": 7, "window": "total"},
        "key_3": nothing,
    }

    schema_changes.migrate(old)
    assert new_limits(old) == NEW_LIMITS


def test_an_old_user_is_confirmed_and_needs_no_second_factor(old):
    schema_changes.migrate(old)

    (user,) = rows(old, "users")
    assert (bool(user["confirmed"]), user["locale"], bool(user["totp"])) == (True, "en", False)


def test_moving_the_limits_is_taken_up_wherever_it_was_killed(old):
    """Only MySQL keeps what was done before the kill: there each round goes on where the last one ended."""
    for words in (
        "ADD COLUMN locale",
        "CREATE INDEX ix_usage_ledger_all",
        "CREATE TABLE IF NOT EXISTS team_members",
        "INSERT INTO limits",
        "DROP COLUMN rpm",
        "DROP COLUMN budget",
        "UPDATE alembic_version",
    ):
        with killed_at(old, words):
            schema_changes.migrate(old)
    schema_changes.migrate(old)
    assert new_limits(old) == NEW_LIMITS

    for words in (
        "ADD COLUMN budget",
        "DROP TABLE IF EXISTS limits",
        "DROP TABLE IF EXISTS logins",
        "DROP COLUMN totp",
    ):
        with killed_at(old, words):
            schema_changes.downgrade(old, "0001")
    schema_changes.downgrade(old, "0001")
    assert old_limits(old)["key_1"] == OLD_LIMITS["key_1"]


def test_a_store_in_use_goes_back_before_providers_kept_anything_and_forward_again(fresh):
    schema_changes.migrate(fresh)
    sessions = [a_session(id=f"sess_{number:04}", config=A_CONFIG, conversation="") for number in range(501)]
    begin = SqlBegin(fresh, Breaker("database", SystemClock(), RecordingRecorder()))
    with begin() as work:
        work.users.add(a_user())
        for session in sessions:
            work.sessions.add(session)
        work.sessions.add(a_session(id="sess_kept", conversation="dify:1"))
        work.summaries.put(Summary("sess_0001", 8, 6, "They said hello.", NOW))
        work.prices.add(PriceChange("prc_1", "acme/paint", NOW, "usr_1", 0, 0, image=7))
    SqlApply(fresh)([Settled("req_1", (an_entry(usage=Usage(images=2), cache_hit=True),))])

    schema_changes.downgrade(fresh, "0003")
    kept = {row["id"]: row for row in rows(fresh, "sessions")}
    assert len(kept) == 502
    for row in kept.values():
        SessionAsItWas(**json.loads(row["config"]))
    assert json.loads(kept["sess_0001"]["config"])["system_prompt"] == 'The "context" matters.'
    assert [row["request_id"] for row in rows(fresh, "usage_ledger")] == ["req_1"]
    assert "session_summaries" not in tables(fresh)

    schema_changes.migrate(fresh)
    with begin() as work:
        assert work.sessions.get("sess_0001", "usr_1").config == replace(A_CONFIG, context=Strategy.SLIDING)
        assert work.sessions.get("sess_kept", "usr_1").conversation == ""
        assert work.summaries.get("sess_0001") is None
        (record,) = work.usage.records("usr_1", 10, None)
        assert (record.usage.images, record.cache_hit) == (0, False)
        assert [(change.input, change.image) for change in work.prices.latest()] == [(0, None)]


def test_an_older_program_takes_no_beginning_of_a_long_reply_for_the_whole(fresh):
    schema_changes.migrate(fresh)
    begin = SqlBegin(fresh, Breaker("database", SystemClock(), RecordingRecorder()))
    long, short = a_call(1), a_call(2)
    put_keys(begin, long, short)
    with begin() as work:
        work.idempotency.finish(long, REPLY, [b"2", b"3"])
        work.idempotency.finish(short, REPLY)

    with killed_at(fresh, "DROP TABLE idempotency_parts"):
        schema_changes.downgrade(fresh, "0005")
    schema_changes.downgrade(fresh, "0005")
    assert "idempotency_parts" not in tables(fresh)
    assert {row["request_id"]: row["status"] for row in rows(fresh, "idempotency_keys")} == {
        "req_1": None,
        "req_2": 200,
    }

    schema_changes.migrate(fresh)
    assert [stored(begin, call) for call in (long, short)] == [long, replace(short, reply=REPLY)]
    assert rest(begin, long) == []


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
    schema_changes.migrate(fresh)
    with fresh.begin() as connection:
        for statement in (
            "DROP TABLE rollup_watermark",
            "DELETE FROM alembic_version",
        ):
            connection.execute(text(statement))

    schema_changes.migrate(fresh)

    assert tables(fresh) == {*metadata.tables, "alembic_version"}


def test_a_store_of_a_newer_program_is_left_alone(fresh):
    schema_changes.migrate(fresh)
    with fresh.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    assert schema.state(fresh) == ("9999", schema.head())
    with pytest.raises(schema.SchemaError, match="9999"):
        schema_changes.migrate(fresh)


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

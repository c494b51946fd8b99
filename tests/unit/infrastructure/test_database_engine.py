from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.persistence.transaction import UNIT_SECONDS
from infrastructure.configuration import ConfigurationError
from infrastructure.database import check_durability, create_engine_for

MYSQL = "mysql+pymysql://u:p@127.0.0.1/parley"
POSTGRESQL = "postgresql+psycopg://u:p@127.0.0.1/parley"


def dialled(address, tmp_path):
    """The arguments that the driver would be called with."""
    engine = create_engine_for(address, tmp_path)
    seen = {}

    def connect(*args, **arguments):
        seen.update(arguments)
        raise engine.dialect.dbapi.OperationalError("not now")

    engine.dialect.connect = connect
    with pytest.raises(engine.dialect.dbapi.Error):
        engine.pool._creator()
    return seen


def ask(engine, statement):
    with engine.connect() as connection:
        return connection.exec_driver_sql(statement).scalar()


@pytest.fixture
def embedded(tmp_path):
    engine = create_engine_for("sqlite://", tmp_path / "var")
    yield engine
    engine.dispose()


def test_without_a_path_the_embedded_store_is_a_file_in_the_home_folder(embedded, tmp_path):
    assert ask(embedded, "SELECT 1") == 1

    assert (tmp_path / "var" / "parley.db").exists()
    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700


def test_the_embedded_store_survives_a_power_cut(embedded):
    assert ask(embedded, "PRAGMA journal_mode") == "wal"
    assert ask(embedded, "PRAGMA synchronous") == 2
    assert ask(embedded, "PRAGMA foreign_keys") == 1
    assert ask(embedded, "PRAGMA busy_timeout") == 5_000
    check_durability(embedded)


def test_a_transaction_of_the_embedded_store_takes_the_file_at_once(embedded):
    with embedded.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        assert connection.connection.driver_connection.in_transaction


def test_a_new_embedded_store_can_be_opened_by_many_at_once(tmp_path):
    engines = [create_engine_for("sqlite://", tmp_path) for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        modes = list(pool.map(ask, engines, ["PRAGMA journal_mode"] * 8))

    assert modes == ["wal"] * 8
    for engine in engines:
        engine.dispose()


def test_a_path_can_be_given(tmp_path):
    engine = create_engine_for(f"sqlite:///{tmp_path}/other.db", tmp_path / "unused")
    ask(engine, "SELECT 1")
    engine.dispose()

    assert (tmp_path / "other.db").exists()
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("address", [MYSQL, POSTGRESQL])
def test_the_pool_of_a_server_is_small_and_never_trusts_an_old_connection(address, tmp_path):
    engine = create_engine_for(address, tmp_path)
    pool = engine.pool

    assert (pool.size(), pool._max_overflow, pool.timeout(), pool._recycle) == (5, 5, 3, 280)
    assert pool._pre_ping
    assert pool._pool.use_lifo
    assert engine.hide_parameters
    assert engine.get_execution_options()[UNIT_SECONDS] == 10


def test_every_wait_for_mysql_is_bounded(tmp_path):
    arguments = dialled(MYSQL, tmp_path)

    assert (arguments["connect_timeout"], arguments["read_timeout"], arguments["write_timeout"]) == (3, 10, 10)
    assert (arguments["charset"], arguments["local_infile"]) == ("utf8mb4", False)
    for setting in (
        "STRICT_ALL_TABLES",
        "time_zone = '+00:00'",
        "innodb_lock_wait_timeout = 5",
        "max_statement_time = 8",
        "max_execution_time = 8000",
    ):
        assert setting in arguments["init_command"]


def test_postgresql_is_used_as_pgbouncer_allows(tmp_path):
    arguments = dialled(POSTGRESQL, tmp_path)

    assert arguments["connect_timeout"] == 3
    assert arguments["prepare_threshold"] is None
    assert "options" not in arguments


def test_limits_can_be_set_in_the_address(tmp_path):
    address = f"{MYSQL}?read_timeout=2&unit_timeout=4&pool_size=1&ssl_disabled=true"
    engine = create_engine_for(address, tmp_path)

    assert dialled(address, tmp_path)["read_timeout"] == 2
    assert engine.get_execution_options()[UNIT_SECONDS] == 4
    assert engine.pool.size() == 1
    assert engine.url.query == {"ssl_disabled": "true"}


@pytest.mark.parametrize("address", ["oracle://x", "mysql://x/y", "nonsense", f"{MYSQL}?read_timeout=soon"])
def test_any_other_address_is_refused_without_repeating_it(address, tmp_path):
    with pytest.raises(ConfigurationError) as caught:
        create_engine_for(address, tmp_path)

    assert address not in str(caught.value)

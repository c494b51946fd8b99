"""The way from one version of the schema to another."""

import time
from collections.abc import Callable

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from adapters.persistence.errors import RETRY_AFTER
from adapters.persistence.transaction import transaction
from domain.errors import DatabaseBusy
from infrastructure.schema import MIGRATIONS, SchemaError

_LONG = 3600.0
_WAIT = 60.0
_ASK = {
    # DDL commits on MySQL, so there the lock belongs to the connection; names are shared by all databases of a server.
    "mysql": text("SELECT GET_LOCK(CONCAT('parley.migrate.', MD5(DATABASE())), 0)"),
    "postgresql": text("SELECT pg_try_advisory_xact_lock(123676465390969)"),
    # A transaction on the embedded store has the whole file.
    "sqlite": text("SELECT 1"),
}
_RELEASE = text("SELECT RELEASE_LOCK(CONCAT('parley.migrate.', MD5(DATABASE())))")


def migrate(engine: Engine) -> None:
    """Upgrade to this program's schema. Of several processes at once one works and the others wait for it.

    Raises SchemaError, DatabaseUnavailable or DatabaseBusy. A statement is bounded by the engine's timeouts: for
    a change that takes longer, give the address larger ones (`?read_timeout=3600&statement_timeout=3600`).
    """
    _alone(engine, lambda config: command.upgrade(config, "head"))


def downgrade(engine: Engine, revision: str) -> None:
    """Back to `revision`, or to nothing with `base`. Raises as `migrate` does."""
    _alone(engine, lambda config: command.downgrade(config, revision))


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _alone(engine: Engine, change: Callable[[Config], None]) -> None:
    with transaction(engine, _LONG) as connection:
        try:
            _lock(connection)
            change(_config(connection))
            connection.commit()
        except CommandError as error:
            raise SchemaError(f"The store's schema does not fit this program: {error}") from error
        finally:
            _unlock(connection)


def _lock(connection: Connection) -> None:
    deadline = time.monotonic() + _WAIT
    while not connection.execute(_ASK[connection.dialect.name]).scalar():
        if time.monotonic() > deadline:
            raise DatabaseBusy("Another process is migrating the store.", retry_after=RETRY_AFTER)
        time.sleep(0.1)


def _unlock(connection: Connection) -> None:
    """The end of its connection frees a lock as well, so a broken one needs nothing more."""
    if connection.dialect.name == "mysql" and not connection.invalidated:
        connection.rollback()
        connection.execute(_RELEASE)

"""A transaction that ends: committed, rolled back, or with its connection thrown away."""

from collections.abc import Iterator
from contextlib import contextmanager

from gevent import Timeout
from gevent.monkey import is_module_patched
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from adapters.persistence.errors import translated, unavailable

SECONDS = 10.0
UNIT_SECONDS = "unit_seconds"
"""The execution option with which an engine sets another bound than SECONDS."""


@contextmanager
def transaction(engine: Engine, seconds: float | None = None) -> Iterator[Connection]:
    """Commits on exit, rolls back on error. Raises DatabaseBusy, and DatabaseUnavailable, after `seconds` as well.

    psycopg waits for an answer without a limit of its own; `seconds` bounds the whole unit on every driver. It needs
    gevent's patches, without which only the drivers' own timeouts hold. None stands for the engine's bound.
    """
    seconds = seconds or engine.get_execution_options().get(UNIT_SECONDS, SECONDS)
    bound = Timeout(seconds) if is_module_patched("socket") else None
    if bound is not None:
        bound.start()
    try:
        with engine.connect() as connection:
            yield from _unit(connection)
    except SQLAlchemyError as error:
        raise translated(error) from error
    except Timeout as error:
        if error is not bound:
            raise
        raise unavailable() from error
    finally:
        if bound is not None:
            bound.close()


def _unit(connection: Connection) -> Iterator[Connection]:
    try:
        yield connection
        connection.commit()
    except Exception:
        connection.rollback()
        raise
    except BaseException:
        # A greenlet was killed or timed out, perhaps in the middle of an answer: nobody may read the rest of it.
        connection.invalidate()
        raise

import time

import gevent
import pytest
from sqlalchemy import event

from adapters.clock import SystemClock
from adapters.persistence.unit_of_work import SqlBegin
from application.breaker import Breaker
from application.facts import BreakerChanged
from domain.errors import DatabaseUnavailable, NotFound
from infrastructure.database import create_engine_for
from tests.builders import a_user


@pytest.fixture
def broken(tmp_path, record):
    """A store whose file is not a database."""
    (tmp_path / "parley.db").write_bytes(b"not a database" * 100)
    engine = create_engine_for("sqlite://", tmp_path)
    yield SqlBegin(engine, Breaker("database", SystemClock(), record, failures=3))
    engine.dispose()


@pytest.fixture
def thrown_away(engine):
    """The connections that no later unit of work will get."""
    connections = []

    def invalidated(connection, record, error):
        connections.append(connection)

    event.listen(engine, "invalidate", invalidated)
    yield connections
    event.remove(engine, "invalidate", invalidated)


def attempt(begin):
    with begin() as work:
        work.users.any()


@pytest.mark.parametrize("leave", [gevent.GreenletExit, gevent.Timeout, KeyboardInterrupt])
def test_whoever_is_killed_in_a_unit_takes_the_connection_along(begin, engine, leave, thrown_away):
    with pytest.raises(leave), begin() as work:  # noqa: PT012 # the unit is what raises
        work.users.add(a_user())
        raise leave

    assert len(thrown_away) == 1
    assert engine.pool.checkedout() == 0
    with begin() as work:
        assert not work.users.any()


def test_an_ordinary_error_keeps_the_connection(begin, thrown_away):
    with pytest.raises(NotFound), begin() as work:
        work.sessions.get("sess_1", "usr_1")

    assert thrown_away == []


def test_after_some_failures_nobody_waits_for_the_database(broken, record):
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            attempt(broken)
    started = time.monotonic()

    with pytest.raises(DatabaseUnavailable) as caught:
        attempt(broken)

    assert time.monotonic() - started < 0.01
    assert caught.value.retry_after == 2
    assert [fact.open for fact in record.of(BreakerChanged)] == [True]

"""What happens to units of work and to settled records when the database fails in the ways that databases do."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pymysql
import pytest
from sqlalchemy import func, select

from adapters.clock import SystemClock
from adapters.persistence.ledger import SqlApply
from adapters.persistence.tables import messages, usage_ledger
from adapters.persistence.unit_of_work import SqlBegin
from application.breaker import Breaker
from domain.errors import DatabaseBusy, DatabaseUnavailable
from infrastructure import schema_changes
from infrastructure.database import create_engine_for
from tests.builders import NOW, a_session, a_settled, a_user
from tests.fakes import RecordingRecorder
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mariadb import running_mariadb
from tests.servers.postgres import running_postgres

ROOT = Path(__file__).resolve().parents[2]
FAST = "?connect_timeout=1&read_timeout=2&write_timeout=2&pool_timeout=1&lock_timeout=1&unit_timeout=2"

SERVERS = [
    pytest.param(running_mariadb, marks=pytest.mark.xdist_group("faulty-mariadb"), id="mariadb"),
    pytest.param(running_postgres, marks=pytest.mark.xdist_group("faulty-postgres"), id="postgres"),
]


class Store:
    """A migrated database of a server that may be paused and killed, with short timeouts."""

    def __init__(self, server):
        self.server = server
        self.address = server.new_database()
        self.name = self.address.rpartition("/")[2]
        self._engines = []
        engine = self.engine()
        schema_changes.migrate(engine)
        self.apply = SqlApply(engine)
        self.begin = begin_on(engine)
        with self.begin() as work:
            work.users.add(a_user())
            work.sessions.add(a_session())

    def engine(self, query=FAST, port=None):
        engine = create_engine_for(self.server.address(self.name, port) + query, Path())
        self._engines.append(engine)
        return engine

    def count(self, table):
        with self.engine().begin() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar()

    def close(self):
        for engine in self._engines:
            engine.dispose()

    def end_connections(self):
        """As an administrator does."""
        here = f"= '{self.name}'"
        if "mysql" in self.address:
            ask = "SELECT GROUP_CONCAT(id) FROM information_schema.processlist WHERE db "
            for pid in str(self.server.ask(ask + here)).split(","):
                self.server.ask(f"KILL CONNECTION {pid}")
        else:
            ask = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname "
            self.server.ask(ask + here)


def begin_on(engine):
    return SqlBegin(engine, Breaker("database", SystemClock(), RecordingRecorder()))


def patched(name, *arguments):
    command = [sys.executable, "-m", "tests.integration.patched_database", name, *map(str, arguments)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=100, check=False)
    assert answer.returncode == 0, answer.stderr.decode()[-4000:]
    return json.loads(answer.stdout)


@pytest.fixture(scope="module", params=SERVERS)
def faulty(request):
    """Only the tests of this file use this server, and they may do to it what they like."""
    with request.param() as server:
        yield server


@pytest.fixture
def store(faulty):
    store = Store(faulty)
    yield store
    store.close()


class TestPaused:
    def test_nobody_waits_longer_than_the_timeout_and_soon_nobody_waits(self, store):
        impatient = FAST.replace("read_timeout=2", "read_timeout=1").replace("unit_timeout=2", "unit_timeout=1")
        answer = patched("paused", store.address + impatient, store.server.pid)

        *slow, fast = answer["waits"]
        assert 0.9 < max(slow) < 1.9, "one second, and not twice that for a second try"
        assert fast < 0.3, "of no timeout at all"
        assert answer["recovery"] < 8

    def test_drivers_let_other_greenlets_run(self, store):
        assert patched("waiting_is_cooperative", store.address) > 20


class TestGone:
    def test_a_restart_between_two_units_goes_unnoticed(self, store):
        store.server.kill()
        store.server.begin()

        with store.begin() as work:
            assert work.users.any()

    def test_a_dead_server_is_unavailable_at_once_and_back_soon(self, store):
        store.server.kill()
        started = time.monotonic()
        for _ in range(6):
            with pytest.raises(DatabaseUnavailable) as caught, store.begin() as work:
                work.users.any()
            assert caught.value.retry_after == 2
        assert time.monotonic() - started < 3, "no timeout for any of the six"
        store.server.begin()
        time.sleep(2)

        with store.begin() as work:
            assert work.users.any()

    def test_a_connection_killed_in_a_transaction_leaves_no_half(self, store):
        with pytest.raises(DatabaseUnavailable), store.begin() as work:  # noqa: PT012 # the last line raises
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            store.end_connections()
            work.users.any()

        with store.begin() as work:
            assert work.users.get("usr_2") is None

    def test_a_lost_reply_to_the_commit_stores_exactly_once(self, store):
        with FaultProxy(store.server.port) as proxy:
            apply = SqlApply(store.engine(port=proxy.port))
            apply([a_settled(request_id="req_0")])  # the connection is open now
            batch = [a_settled(session=True)]
            proxy.lose_reply_after(b"COMMIT")
            with pytest.raises(DatabaseUnavailable):
                apply(batch)
            proxy.wait_lost()
            assert store.count(messages) == 2, "the commit itself arrived"

            apply(batch)

        assert (store.count(usage_ledger), store.count(messages)) == (4, 2)

    def test_a_cut_in_the_middle_of_an_answer_is_an_outage(self, store):
        with FaultProxy(store.server.port) as proxy:
            begin = begin_on(store.engine(port=proxy.port))
            with begin() as work:
                assert work.users.any()
            proxy.limit = 60
            with pytest.raises(DatabaseUnavailable), begin() as work:
                work.users.get("usr_1")
            proxy.limit = None

            with begin() as work:
                assert work.users.get("usr_1") == a_user()


class TestCrowded:
    def test_a_server_without_free_connections_is_busy(self, store):
        crowd = []
        try:
            with contextlib.suppress(pymysql.OperationalError, psycopg.OperationalError):
                while len(crowd) < 99:
                    crowd.append(self.guest(store))
            with pytest.raises(DatabaseBusy) as caught, begin_on(store.engine())() as work:
                work.users.any()
            assert caught.value.retry_after == 2
        finally:
            for guest in crowd:
                guest.close()

        with begin_on(store.engine())() as work:
            assert work.users.any()

    def guest(self, store):
        if "mysql" in store.address:
            return store.server.admin()
        return psycopg.connect(store.address.replace("+psycopg", ""))

    def test_an_exhausted_pool_is_busy_and_tells_nothing_about_the_server(self, store):
        begin = begin_on(store.engine(FAST + "&pool_size=1&max_overflow=0"))
        with begin() as holder:
            holder.users.any()
            started = time.monotonic()
            for _ in range(6):
                with pytest.raises(DatabaseBusy), begin() as work:
                    work.users.any()
            assert 0.9 < (time.monotonic() - started) / 6 < 1.9
            assert not begin.breaker.is_open

        with begin() as work:
            assert work.users.any()

    def test_a_row_that_stays_locked_is_busy(self, store):
        with store.begin() as holder:
            holder.turns.take("sess_1", "req_1", NOW, NOW)
            with pytest.raises(DatabaseBusy), store.begin() as work:
                work.turns.take("sess_1", "req_2", NOW, NOW)

        with store.begin() as work:
            assert work.turns.session_of("req_1", "usr_1") == "sess_1"

    def test_settling_waits_out_a_lock(self, store):
        locked, done = threading.Event(), threading.Event()

        def hold():
            with store.begin() as work:
                work.turns.take("sess_1", "req_1", NOW, NOW)
                locked.set()
                done.wait(1.5)  # longer than the lock timeout

        holder = threading.Thread(target=hold)
        holder.start()
        assert locked.wait(5)
        store.apply([a_settled(session=True)])
        holder.join()

        assert store.count(messages) == 2
        with store.begin() as work:
            assert work.turns.session_of("req_1", "usr_1") is None

    def test_of_two_deadlocked_units_one_goes_through(self, store):
        with store.begin() as work:
            work.sessions.add(a_session(id="sess_2"))
        both = threading.Barrier(2, timeout=5)
        outcomes = []

        def cross(first, second):
            try:
                with store.begin() as work:
                    work.sessions.save(a_session(id=first, title=first))
                    both.wait()
                    work.sessions.save(a_session(id=second, title=first))
            except DatabaseBusy:
                outcomes.append("busy")
            else:
                outcomes.append("through")

        threads = [threading.Thread(target=cross, args=pair) for pair in (("sess_1", "sess_2"), ("sess_2", "sess_1"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(outcomes) == ["busy", "through"]
        with store.begin() as work:
            assert work.sessions.get("sess_1", "usr_1").title == work.sessions.get("sess_2", "usr_1").title


class TestKilledGreenlets:
    def test_nobody_reads_the_rest_of_somebody_elses_answer(self, store):
        counts = patched("killed_in_the_middle", store.address + "?pool_size=2&max_overflow=0", 250)

        assert counts["wrong"] == counts["checked out"] == 0
        assert min(counts["read"], counts["timed out"]) > 100


@pytest.mark.xdist_group("mariadb")
def test_a_read_only_server_answers_reads(mariadb):
    store = Store(mariadb)
    mariadb.ask("CREATE OR REPLACE USER reader@'127.0.0.1'")
    mariadb.ask(f"GRANT ALL ON {store.name}.* TO reader@'127.0.0.1'")
    engine = create_engine_for(store.address.replace("root@", "reader@"), Path())
    mariadb.ask("SET GLOBAL read_only = 1")
    try:
        with begin_on(engine)() as work:
            assert work.users.any()
        with pytest.raises(DatabaseUnavailable), begin_on(engine)() as work:
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
    finally:
        mariadb.ask("SET GLOBAL read_only = 0")
        engine.dispose()
        store.close()

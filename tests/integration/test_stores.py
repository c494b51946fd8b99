"""The storage contracts, and what only SQL can get wrong, on every server that Parley runs on."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, func, insert, select, update

from adapters.persistence.admin_tables import idempotency_parts
from adapters.persistence.tables import messages, rollup_watermark, usage_ledger, usage_rollups
from adapters.persistence.usage import row_from
from domain.errors import DatabaseBusy
from domain.idempotency import Reply
from tests.builders import NOW, a_session, a_settled, a_turn, a_user, an_entry
from tests.contracts.account_store import AccountStoreContract
from tests.contracts.apply import ApplyContract
from tests.contracts.idempotency import IdempotencyContract, a_call
from tests.contracts.rollups import SETTLED_SECONDS, RollupsContract
from tests.contracts.unit_of_work import UnitOfWorkContract


def put(engine, ledger_id, **fields):
    """A ledger row that has this id."""
    entry = an_entry(request_id=f"req_{ledger_id}")
    row = row_from(entry) | {"id": ledger_id, "day": entry.started_at.date()}
    with engine.begin() as connection:
        connection.execute(insert(usage_ledger).values(row | fields))


def count(engine, table):
    with engine.begin() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar()


def watermark(engine):
    with engine.begin() as connection:
        return connection.execute(select(rollup_watermark.c.ledger_id)).scalar()


def insist_on(apply, records):
    """As the journal does."""
    for _ in range(20):
        with contextlib.suppress(DatabaseBusy):
            return apply(records)
    raise AssertionError("always busy")


class TestUnitOfWork(UnitOfWorkContract):
    def test_connections_go_back_to_the_pool(self, begin, engine):
        for _ in range(20):
            with begin() as work:
                work.users.any()

        assert engine.pool.checkedout() == 0

    def test_an_open_transaction_does_not_come_back_from_the_pool(self, begin, engine):
        with begin() as work:
            work.users.add(a_user())
        left = engine.raw_connection()
        for statement in ("BEGIN", "DELETE FROM users"):
            left.cursor().execute(statement)
        left.close()

        with begin() as work:
            assert work.users.any()

    def test_one_of_many_racing_turns_gets_the_session(self, begin):
        with begin() as work:
            work.users.add(a_user())
            work.sessions.add(a_session())

        def race(number):
            with begin() as work:
                return work.turns.take("sess_1", f"req_{number}", NOW, NOW)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(race, range(8))) == 1


class TestAccountStore(AccountStoreContract):
    pass


class TestIdempotency(IdempotencyContract):
    def test_one_of_many_racing_claims_gets_the_key(self, begin):
        def race(number):
            with begin() as work:
                return work.idempotency.claim(a_call(request_id=f"req_{number}")).request_id

        with ThreadPoolExecutor(16) as pool:
            winners = set(pool.map(race, range(64)))
        assert len(winners) == 1

    def test_of_long_replies_a_sweep_forgets_a_few_at_a_time(self, begin, engine):
        for number in (1, 2):
            with begin() as work:
                work.idempotency.claim(a_call(number))
                work.idempotency.finish(a_call(number), Reply(200, (), b"1"), [b"2"] * 128)

        seen = []
        while not seen or seen[-1][0]:
            with begin() as work:
                swept = work.idempotency.sweep(NOW + timedelta(seconds=1))
            seen.append((swept, count(engine, idempotency_parts)))
        assert seen == [(1, 128), (1, 0), (0, 0)]

    def test_a_sweep_that_met_a_reply_on_its_way_leaves_no_part_of_it(self, begin, engine):
        def sweep():
            with begin() as work:
                return work.idempotency.sweep(NOW + timedelta(seconds=1))

        with begin() as work:
            work.idempotency.claim(a_call())
        with ThreadPoolExecutor(1) as pool:
            with begin() as work:
                work.idempotency.finish(a_call(), Reply(200, (), b"1"), [b"2"])
                swept = pool.submit(sweep)
                time.sleep(0.3)  # by now it has found the key without a reply, and waits for it
            assert swept.result() == 1

        assert count(engine, idempotency_parts) == 0

    def test_a_short_reply_costs_one_statement_to_keep_and_two_to_find(self, begin, engine):
        statements = []

        def note(_connection, _cursor, statement, *_):
            statements.append(statement.split()[0])

        event.listen(engine, "before_cursor_execute", note)
        with begin() as work:
            work.idempotency.claim(a_call())
            work.idempotency.finish(a_call(), Reply(200, (), b"short"))
        event.remove(engine, "before_cursor_execute", note)

        assert [word for word in statements if not word.startswith("BEGIN")] == ["INSERT", "SELECT", "UPDATE"]


class TestApply(ApplyContract):
    def test_racing_appliers_store_everything_once(self, begin, apply, engine):
        """The owner of a journal and its reaper, or a replay after a lost reply, at the same time."""
        with begin() as work:
            work.users.add(a_user())
            for number in range(4):
                work.sessions.add(a_session(id=f"sess_{number}"))
        batch = [
            a_settled(
                session=True,
                request_id=f"req_{number}",
                turn=a_turn(session_id=f"sess_{number % 4}", question_id=f"q{number}", answer_id=f"a{number}"),
            )
            for number in range(20)
        ]

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda records: insist_on(apply, records), [batch, batch[::-1], batch, batch[::-1]]))

        assert (count(engine, usage_ledger), count(engine, messages)) == (40, 40)
        with begin() as work:
            for number in range(4):
                assert [message.seq for message in work.messages.page(f"sess_{number}", 99, 0)] == list(range(1, 11))

    def test_turns_of_one_session_from_many_workers_follow_each_other(self, begin, apply):
        with begin() as work:
            work.users.add(a_user())
            work.sessions.add(a_session())

        def settle(worker):
            for number in range(8):
                turn = a_turn(question_id=f"q{worker}-{number}", answer_id=f"a{worker}-{number}")
                insist_on(apply, [a_settled(session=True, request_id=f"req_{worker}-{number}", turn=turn)])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(settle, range(4)))

        with begin() as work:
            assert [message.seq for message in work.messages.page("sess_1", 99, 0)] == list(range(1, 65))

    def test_the_server_notes_when_a_row_came(self, apply, engine):
        before = datetime.now(UTC)
        apply([a_settled()])

        with engine.begin() as connection:
            moments = connection.execute(select(usage_ledger.c.recorded_at)).scalars().all()
        # The servers run on this machine; SQLite counts in milliseconds.
        assert all(abs((moment - before).total_seconds()) < 5 for moment in moments)


class TestRollups(RollupsContract):
    def test_a_missing_id_is_waited_for(self, engine, rollups, begin):
        put(engine, 1)
        put(engine, 3)
        assert (rollups.advance(), watermark(engine)) == (1, 1)

        put(engine, 2)
        assert (rollups.advance(), watermark(engine)) == (2, 3)

        assert rollups.rebuild() == 0
        with begin() as work:
            assert work.usage.lifetime("usr_1").requests == 3

    def test_an_id_that_nobody_used_is_passed_in_the_end(self, engine, rollups):
        put(engine, 1)
        put(engine, 3)
        assert rollups.advance() == 1
        time.sleep(SETTLED_SECONDS + 1.1)  # the server's clock is asked for whole seconds

        assert (rollups.advance(), watermark(engine)) == (1, 3)

    def test_writers_at_the_same_time_count_every_row_once(self, engine, rollups, in_batches, apply, begin):
        apply([a_settled(request_id=f"req_{number:03}") for number in range(60)])

        def insist(writer):
            added = 0
            for _ in range(60):
                try:
                    added += writer.advance()
                except DatabaseBusy:
                    continue
            return added

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(insist, [in_batches, in_batches, rollups, in_batches])) == 60

        assert rollups.rebuild() == 0
        with begin() as work:
            assert work.usage.lifetime("usr_1").requests == 60

    def test_a_rebuild_mends_wrong_missing_and_invented_groups(self, engine, rollups, apply, begin):
        others = (an_entry(request_id="req_2", key_id="key_2"), an_entry(request_id="req_3", key_id="key_3"))
        apply([a_settled(entries=(an_entry(), *others))])
        rollups.advance()
        with engine.begin() as connection:
            rows = usage_rollups
            connection.execute(update(rows).where(rows.c.key_id == "key_1").values(cost=7))
            connection.execute(update(rows).where(rows.c.key_id == "key_2").values(key_id="key_9"))

        assert (rollups.rebuild(), rollups.rebuild()) == (3, 0)

        with begin() as work:
            groups = work.usage.groups("usr_1", NOW.date())
        assert [(group.key_id, group.total.cost) for group in groups] == [
            ("key_1", 1_500),
            ("key_2", 1_500),
            ("key_3", 1_500),
        ]

    def test_attempts_are_in_no_sum(self, engine, rollups, begin):
        put(engine, 1, kind="attempt")

        assert (rollups.advance(), watermark(engine)) == (0, 1)
        with begin() as work:
            assert work.usage.lifetime("usr_1").requests == 0

    def test_while_another_writer_is_at_work_nothing_is_added(self, engine, rollups, apply):
        apply([a_settled()])
        with engine.begin() as connection:
            connection.execute(select(rollup_watermark).with_for_update()).all()
            if engine.dialect.name == "sqlite":  # a transaction has the whole file there
                with pytest.raises(DatabaseBusy):
                    rollups.advance()
            else:
                assert rollups.advance() == 0

        assert rollups.advance() == 1

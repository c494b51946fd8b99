"""Any order of reserving, settling, releasing, sweeping and crashing, against a model that only adds up."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import select

from adapters.persistence.admin_tables import budget_holds, budget_windows
from adapters.persistence.tables import metadata, rollup_watermark
from domain.limits import Hold, Kind, Unit, Window
from tests.builders import NOW, a_claim, a_settled, a_usage, an_entry
from tests.examples import examples
from tests.fakes import MemoryBegin

BUDGETS = (
    (Kind.KEY, "key_1", Unit.MONEY, Window.DAY),
    (Kind.KEY, "key_2", Unit.TOKENS, Window.TOTAL),
    (Kind.USER, "usr_1", Unit.TOKENS, Window.WEEK),
    (Kind.GLOBAL, "", Unit.MONEY, Window.MONTH),
)
LIMIT = 100
SETTINGS = settings(max_examples=examples(50), stateful_step_count=25, deadline=None)
INDEXES = st.integers(0, 1_000)


class NoRoom(Exception):
    """The caller rolls back."""


@dataclass(frozen=True)
class Store:
    begin: Callable
    apply: Callable
    stored: Callable
    """What is stored as `reserved` and what the rows of holds sum up to, per window."""


@dataclass
class Request:
    """As the model sees it; `amount` is reserved of money and of tokens alike."""

    holds: tuple[Hold, ...]
    record: object
    charged: int
    at: object
    key_id: str
    state: str = "held"

    def concerns(self, key):
        kind, subject_id, _, window, period = key
        mine = kind is Kind.GLOBAL or subject_id in {self.key_id, "usr_1"}
        return mine and window.start(self.at) == period


class BudgetMachine(RuleBasedStateMachine):
    """A crash is a request that nothing happens to any more."""

    def __init__(self, store):
        super().__init__()
        self.store = store
        self.now = NOW
        self.requests: list[Request] = []
        self.used: dict = {}
        """Of every window that was met."""
        self.excused: set = set()
        """Windows that may go beyond their limit: use turned up that nothing was reserved for."""

    @rule(
        key_id=st.sampled_from(["key_1", "key_2"]),
        amount=st.integers(0, 60),
        share=st.integers(0, 100),
        enforced=st.booleans(),
    )
    def reserve(self, key_id, amount, share, enforced):
        request = self._asked(key_id, amount, share)
        left = {key_of(hold): LIMIT - sum(self._expected(key_of(hold))) - amount for hold in request.holds}
        with suppress(NoRoom), self.store.begin() as work:
            claims = [a_claim(hold, LIMIT, enforced=enforced) for hold in request.holds]
            assert work.budgets.reserve(request.record.request_id, claims, self.now) == list(left.values())
            if enforced and min(left.values()) < 0:
                raise NoRoom
            self._meet(request)
            self.excused |= {key for key, rest in left.items() if rest < 0}
            self.requests.append(request)

    @rule(key_id=st.sampled_from(["key_1", "key_2"]), charged=st.integers(0, 60))
    def go_on_while_the_database_is_away(self, key_id, charged):
        self.requests.append(replace(self._asked(key_id, charged, 100), state="away"))

    @precondition(lambda self: self.requests)
    @rule(chosen=st.lists(INDEXES, min_size=1, max_size=4))
    def settle(self, chosen):
        requests = [self.requests[index % len(self.requests)] for index in chosen]
        requests = [request for request in requests if request.state != "released"]
        self.store.apply([request.record for request in requests])
        for request in requests:
            self._meet(request)
        for request in requests:
            self._count(request)

    @precondition(lambda self: self.requests)
    @rule(index=INDEXES)
    def release(self, index):
        request = self.requests[index % len(self.requests)]
        with self.store.begin() as work:
            work.budgets.release(request.record.request_id)
        if request.state == "held":
            request.state = "released"

    @rule(age=st.integers(0, 48))
    def sweep(self, age):
        before = self.now - timedelta(hours=age)
        old = [request for request in self.requests if request.state == "held" and request.at < before]
        with self.store.begin() as work:
            assert work.budgets.sweep(before) == sum(len(request.holds) for request in old)
        for request in old:
            request.state = "swept"

    @rule(hours=st.integers(1, 40))
    def wait(self, hours):
        self.now += timedelta(hours=hours)

    @invariant()
    def every_window_is_what_its_requests_make_it(self):
        with self.store.begin() as work:
            for key in self.used:
                standing = work.budgets.standing(*key)
                assert (standing.used, standing.reserved) == self._expected(key)
                assert standing.reserved >= 0
                assert key in self.excused or standing.used + standing.reserved <= LIMIT

    @invariant()
    def every_reservation_belongs_to_a_hold(self):
        windows, holds = self.store.stored()
        assert windows == holds

    def _asked(self, key_id, amount, share):
        """A request that will cost a part of what it reserves."""
        name, charged = f"req_{len(self.requests):04}", amount * share // 100
        entry = an_entry(
            request_id=name,
            key_id=key_id,
            charged=charged,
            usage=a_usage(input=0, output=charged),
            started_at=self.now,
        )
        holds = tuple(
            Hold(kind, subject_id, unit, window, window.start(self.now), amount)
            for kind, subject_id, unit, window in BUDGETS
            if kind is not Kind.KEY or subject_id == key_id
        )
        record = a_settled(request_id=name, entries=(entry,), holds=holds)
        return Request(holds, record, charged, self.now, key_id)

    def _expected(self, key):
        held = (request for request in self.requests if request.state == "held")
        reserved = sum(hold.amount for request in held for hold in request.holds if key_of(hold) == key)
        return self.used.get(key, self._in_ledger(key)), reserved

    def _in_ledger(self, key):
        return sum(request.charged for request in self.requests if request.state == "settled" and request.concerns(key))

    def _meet(self, request):
        for hold in request.holds:
            self.used.setdefault(key_of(hold), self._in_ledger(key_of(hold)))

    def _count(self, request):
        if request.state == "settled":
            return
        for hold in request.holds:
            self.used[key_of(hold)] += request.charged
            if request.state != "held":
                self.excused.add(key_of(hold))
        request.state = "settled"


def key_of(hold):
    return (hold.kind, hold.subject_id, hold.unit, hold.window, hold.period)


def memory_store():
    begin = MemoryBegin()

    def stored():
        rows = begin.rows
        holds = {}
        for (_, key), held in rows.holds.items():
            if held.state == "held":
                holds[key] = holds.get(key, 0) + held.hold.amount
        return {key: it.reserved for key, it in rows.windows.items() if it.reserved}, {
            k: n for k, n in holds.items() if n
        }

    return Store(begin, begin.apply, stored)


def sql_store(engine, begin, apply):
    def stored():
        windows, holds = {}, {}
        with engine.begin() as connection:
            for row in connection.execute(select(budget_windows).where(budget_windows.c.reserved != 0)):
                windows[row.kind, row.subject_id, row.unit, row.window, row.period] = row.reserved
            for row in connection.execute(select(budget_holds).where(budget_holds.c.state == "held")):
                key = (row.kind, row.subject_id, row.unit, row.window, row.period)
                holds[key] = holds.get(key, 0) + row.amount
        return windows, {key: amount for key, amount in holds.items() if amount}

    return Store(begin, apply, stored)


def empty(engine):
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            if table is not rollup_watermark:
                connection.execute(table.delete())


def test_budgets_in_memory_add_up_whatever_happens():
    run_state_machine_as_test(lambda: BudgetMachine(memory_store()), settings=SETTINGS)


def test_budgets_in_sql_add_up_whatever_happens(engine, begin, apply):
    with engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA synchronous = OFF")
        connection.exec_driver_sql("BEGIN")

    def machine():
        empty(engine)
        return BudgetMachine(sql_store(engine, begin, apply))

    run_state_machine_as_test(machine, settings=SETTINGS)

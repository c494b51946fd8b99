"""Budgets and administration on every server that Parley runs on, and what only parallel writers can get wrong."""

import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import func, select

from adapters.persistence.admin_tables import budget_holds
from domain.errors import DatabaseBusy
from domain.limits import EPOCH, BudgetStanding, Kind, Unit, Window
from tests.builders import NOW, a_claim, a_hold
from tests.contracts.admin_store import AdminStoreContract
from tests.contracts.budgets import BudgetsContract, spent, standing
from tests.contracts.usage_log import UsageLogContract

EVERYBODY = a_hold(kind=Kind.GLOBAL, subject_id="", window=Window.TOTAL, period=EPOCH, amount=1)
BUDGETS = (EVERYBODY, a_hold(amount=1), a_hold(unit=Unit.TOKENS, amount=1), a_hold(kind=Kind.USER, amount=1))


class NoRoom(Exception):
    """The caller rolls back."""


def insist_on(action):
    """As callers do; returns the result and how often the database was busy."""
    for busy in range(50):
        with contextlib.suppress(DatabaseBusy):
            return action(), busy
    raise AssertionError("always busy")


def admitted(begin, request_id, *claims):
    """Whether all claims found room; claims are given in an order of its own by every second request."""

    def reserve():
        with contextlib.suppress(NoRoom), begin() as work:
            if min(work.budgets.reserve(request_id, claims, NOW)) < 0:
                raise NoRoom
            return True
        return False

    return insist_on(reserve)[0]


def holds_in(engine):
    with engine.begin() as connection:
        return connection.execute(select(func.count()).select_from(budget_holds)).scalar()


class TestAdminStore(AdminStoreContract):
    pass


class TestUsageLog(UsageLogContract):
    @pytest.fixture
    def advance(self, rollups):
        return rollups.advance


class TestBudgets(BudgetsContract):
    @pytest.fixture
    def advance(self, rollups):
        return rollups.advance

    @pytest.mark.parametrize("met", [True, False], ids=["known", "first met"])
    def test_a_budget_for_three_admits_exactly_three_of_a_hundred(self, begin, apply, engine, met):
        hold = a_hold(amount=30)
        if met:
            assert admitted(begin, "req_0", a_claim(hold, 100))
            with begin() as work:
                work.budgets.release("req_0")

        with ThreadPoolExecutor(100) as pool:
            names = [f"req_{number:03}" for number in range(1, 101)]
            results = list(pool.map(lambda name: admitted(begin, name, a_claim(hold, 100)), names))

        won = [name for name, it in zip(names, results, strict=True) if it]
        assert (len(won), holds_in(engine)) == (3, 3)
        assert standing(begin) == BudgetStanding(reserved=90)
        apply([spent(name, 25, hold) for name in won])
        assert (standing(begin), holds_in(engine)) == (BudgetStanding(used=75), 0)

    def test_first_requests_of_a_day_are_not_in_each_others_way(self, begin, engine):
        """At midnight every caller meets new windows at once."""
        together = Barrier(4)

        def reserve(caller):
            left = []
            for day in range(30):
                claims = [a_claim(replace(hold, period=NOW.date() + timedelta(days=day)), 1_000) for hold in BUDGETS]
                if engine.dialect.name != "sqlite":  # a transaction has the whole file there
                    together.wait(10)
                with begin() as work:
                    left += work.budgets.reserve(f"req_{day}_{caller}", claims[:: -1 if caller % 2 else 1], NOW)
            return left

        with ThreadPoolExecutor(4) as pool:
            left = [number for numbers in pool.map(reserve, range(4)) for number in numbers]

        assert Counter(left) == dict.fromkeys(range(996, 1_000), 30 * len(BUDGETS))

    @pytest.mark.parametrize("reserved", [True, False], ids=["reserved", "database was away"])
    def test_racing_appliers_count_every_record_once(self, begin, apply, engine, reserved):
        names = [f"req_{number:02}" for number in range(40)]
        if reserved:
            for name in names:
                assert admitted(begin, name, *(a_claim(hold, 1_000) for hold in BUDGETS))
        batch = [spent(name, 3, *BUDGETS) for name in names]

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda records: insist_on(lambda: apply(records)), [batch, batch[::-1], batch, batch[5:]]))

        for hold in BUDGETS:
            assert standing(begin, hold) == BudgetStanding(used=600 if hold.unit is Unit.TOKENS else 120)
        assert holds_in(engine) == 0

    def test_reserving_settling_releasing_and_sweeping_at_once_lose_nothing(self, begin, apply, engine):
        """Each of eight workers leads its requests through all four ends, over the same budgets."""

        def sweep():
            with begin() as work:
                return work.budgets.sweep(NOW - timedelta(hours=1))

        def release(name):
            with begin() as work:
                work.budgets.release(name)

        def work_on(worker):
            busy = 0
            for number in range(12):
                name = f"req_{number:02}{worker}"
                claims = [a_claim(hold, 10_000) for hold in BUDGETS]
                assert admitted(begin, name, *claims[:: -1 if number % 2 else 1])
                if number % 3 == 0:
                    busy += insist_on(lambda name=name: release(name))[1]
                else:
                    busy += insist_on(lambda name=name: apply([spent(name, 3, *BUDGETS[::-1])]))[1]
                busy += insist_on(sweep)[1]
            return busy

        with ThreadPoolExecutor(8) as pool:
            busy = sum(pool.map(work_on, range(8)))

        settled = 8 * 8
        for hold in BUDGETS:
            assert standing(begin, hold) == BudgetStanding(used=settled * (15 if hold.unit is Unit.TOKENS else 3))
        assert holds_in(engine) == 0
        assert busy <= 10

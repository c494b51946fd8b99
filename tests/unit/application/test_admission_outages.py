"""While the database is away or busy, known callers go on for a moment, and within a bound."""

from dataclasses import replace

import pytest

from application.admin_store import Claim
from application.admission import Ask, Defaults
from application.outage import Allowance
from application.store import UnitOfWork
from domain.errors import BudgetExceeded, DatabaseBusy, DatabaseUnavailable
from domain.limits import Bound, Budget, Hold, Kind, Limits, Unit, Window
from tests.builders import NOW, a_principal
from tests.world import World

DAY = Budget(Unit.MONEY, Window.DAY, 1_000)
TOKENS = Budget(Unit.TOKENS, Window.DAY, 300)
KEY = Bound(Kind.KEY, "key_1", Limits(concurrency=50, budgets=(DAY,)))
TEAM = Bound(Kind.TEAM, "team_1", Limits(budgets=(TOKENS,)))


def admit(world: World, *bounds: Bound, number: int = 1, tokens: int = 100, **principal) -> tuple[Hold, ...]:
    """A call that costs as much as it has tokens."""
    ask = Ask(a_principal(bounds=bounds, **principal), ["acme/large"], tokens, 0)
    return world.admission.admit(ask, world.call(f"req_{number}"))


def admitted(world: World, *bounds: Bound, calls: int = 20, **fields) -> int:
    """How many of so many calls pass while the database is away."""
    world.begin.down = DatabaseUnavailable()
    passed = 0
    for number in range(100, 100 + calls):
        try:
            admit(world, *bounds, number=number, **fields)
            passed += 1
        except DatabaseUnavailable:
            continue
    return passed


def test_a_known_key_goes_on_up_to_the_last_known_rest_of_its_budget(world: World):
    admit(world, KEY)

    assert admitted(world, KEY) == 9


def test_the_narrowest_of_its_budgets_decides(world: World):
    admit(world, KEY, TEAM)

    assert admitted(world, KEY, TEAM) == 2


def test_each_of_several_workers_has_its_part_of_what_was_left(world: World):
    world.admission = replace(world.admission, defaults=Defaults(workers=2))
    admit(world, KEY)

    assert admitted(world, KEY) == 4


def test_two_keys_of_a_team_share_what_is_left_of_its_budget(world: World):
    admit(world, TEAM)

    assert admitted(world, TEAM) == 2
    assert admitted(world, TEAM, key_id="key_2") == 0


def test_no_key_spends_more_than_the_cap(world: World):
    world.admission = replace(world.admission, defaults=Defaults(outage_cap=450))
    admit(world, KEY)

    assert admitted(world, KEY) == 4


def test_a_budget_of_which_nothing_is_known_allows_nothing(world: World):
    assert admitted(world, KEY) == 0


def test_a_refusal_teaches_what_is_left_as_well(world: World):
    with pytest.raises(BudgetExceeded):
        admit(world, KEY, tokens=1_001)

    assert admitted(world, KEY) == 10


def test_a_call_that_goes_on_holds_what_its_journal_record_will_settle(world: World):
    (known,) = admit(world, KEY)
    world.begin.down = DatabaseUnavailable()

    assert admit(world, KEY, number=2) == (known,)


def test_a_call_that_may_not_go_on_gives_back_its_place(world: World):
    admitted(world, KEY, calls=50)
    world.begin.down = None

    admit(world, KEY)


def test_the_allowance_is_whole_again_when_the_database_has_answered(world: World):
    world.admission = replace(world.admission, defaults=Defaults(outage_cap=300))
    admit(world, KEY)
    assert admitted(world, KEY) == 3

    world.begin.down = None
    admit(world, KEY, number=2)

    assert admitted(world, KEY) == 3


def test_a_turn_in_a_session_needs_the_database_anyway(world: World):
    class Away:
        def reserve(self, *_):
            raise DatabaseUnavailable

    admit(world, KEY)
    work = type("Work", (), {"budgets": Away()})()
    ask = Ask(a_principal(bounds=(KEY,)), ["acme/large"], 1, 0)

    with pytest.raises(DatabaseUnavailable):
        world.admission.admit(ask, world.call("req_2"), work)


# ── keys without budgets ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_without_budgets_is_capped_as_well(world: World):
    away = [False]
    world.admission = replace(world.admission, database_away=lambda: away[0], defaults=Defaults(outage_cap=250))
    for number in range(10):
        admit(world, number=number)

    away[0] = True

    assert admitted(world) == 2
    away[0] = False
    admit(world)
    away[0] = True
    assert admitted(world) == 2


def test_a_model_without_a_price_costs_nothing_that_could_be_capped(world: World):
    world.admission = replace(world.admission, database_away=lambda: True, defaults=Defaults(outage_cap=0))

    assert world.admission.admit(Ask(a_principal(), ["acme/unpriced"], 100, 0), world.call()) == ()


@pytest.mark.parametrize("bounds", [(), (KEY,)], ids=["without budgets", "with budgets"])
def test_in_shadow_nothing_is_refused_even_then(world: World, bounds: tuple[Bound, ...]):
    defaults = Defaults(outage_cap=0, shadow=True)
    world.admission = replace(world.admission, database_away=lambda: True, defaults=defaults)

    assert admitted(world, *bounds) == 20


# ── a busy database ──────────────────────────────────────────────────────────────────────────────────────────────


class Busy:
    """A `Begin` that is busy so many times; every pause between two tries is counted."""

    def __init__(self, world: World, times: int) -> None:
        self.tries = self.pauses = 0
        self._begin = world.begin
        self._times = times
        world.admission = replace(world.admission, begin=self, pause=self.pause)

    def __call__(self) -> UnitOfWork:
        self.tries += 1
        if self.tries <= self._times:
            raise DatabaseBusy
        return self._begin()

    def pause(self) -> None:
        self.pauses += 1


def test_a_busy_database_is_asked_again_after_a_pause(world: World):
    busy = Busy(world, times=3)

    assert len(admit(world, KEY)) == 1
    assert (busy.tries, busy.pauses) == (4, 3)


def test_a_database_that_stays_busy_is_no_outage(world: World):
    admit(world, KEY)
    busy = Busy(world, times=99)

    with pytest.raises(DatabaseBusy):
        admit(world, KEY, number=2)

    assert (busy.tries, busy.pauses) == (4, 3)


def test_by_default_there_is_no_pause_and_no_outage(world: World):
    world.admission.pause()

    assert not world.admission.database_away()


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────


def a_claim(key_id: str) -> Claim:
    return Claim(Hold(Kind.KEY, key_id, Unit.MONEY, Window.DAY, NOW.date(), 1), 10)


def test_what_is_remembered_is_bounded_and_the_oldest_is_forgotten():
    allowance = Allowance(size=2)
    claims = [a_claim(key_id) for key_id in ("a", "b", "a", "c")]
    for claim in claims:
        allowance.learn([claim], [5])

    assert [allowance.take(it, 1, 9, [a_claim(it)]) for it in "abc"] == [False, True, True]


def test_a_call_that_is_not_allowed_takes_nothing():
    allowance = Allowance()
    allowance.learn([a_claim("a")], [1])

    assert not allowance.take("a", 9, 8, [a_claim("a")])
    assert allowance.take("a", 8, 8, [a_claim("a")])

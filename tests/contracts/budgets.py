"""What every `Budgets` does together with `Apply`. Provide the fixtures `begin` and `apply` on an empty store."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from domain.limits import EPOCH, NO_LIMITS, Budget, BudgetStanding, Kind, Limits, Unit, Window
from domain.usage import Usage
from tests.builders import NOW, a_claim, a_hold, a_key, a_settled, a_token, a_user, an_entry

TODAY = date(2026, 11, 21)
YESTERDAY = NOW - timedelta(days=1)
LATER = NOW + timedelta(minutes=1)


def reserve(begin, request_id, *claims, at=NOW):
    with begin() as work:
        return work.budgets.reserve(request_id, claims, at)


def standing(begin, hold=None):
    with begin() as work:
        return standing_in(work, hold or a_hold())


def standing_in(work, hold):
    return work.budgets.standing(hold.kind, hold.subject_id, hold.unit, hold.window, hold.period)


def put(begin, limits):
    with begin() as work:
        work.limits.put(Kind.KEY, a_hold().subject_id, limits)


def spent(request_id, amount, *holds, **fields):
    """The record of a request that was charged `amount`."""
    entry = an_entry(request_id=request_id, charged=amount, **fields)
    return a_settled(request_id=request_id, entries=(entry,), holds=holds)


class ReservingContract:
    def test_what_fits_is_taken_and_what_is_left_is_told(self, begin):
        assert reserve(begin, "req_1", a_claim(a_hold(amount=30), 100)) == [70]
        assert reserve(begin, "req_2", a_claim(a_hold(amount=70), 100)) == [0]

        assert standing(begin) == BudgetStanding(used=0, reserved=100)

    def test_a_budget_without_room_says_how_much_is_missing_and_takes_nothing(self, begin):
        reserve(begin, "req_1", a_claim(a_hold(amount=90), 100))
        with pytest.raises(ZeroDivisionError), begin() as work:  # noqa: PT012 # the unit is what raises
            assert work.budgets.reserve("req_2", [a_claim(a_hold(amount=30), 100)], NOW) == [-20]
            assert standing_in(work, a_hold()) == BudgetStanding(reserved=90)
            raise ZeroDivisionError

        assert standing(begin) == BudgetStanding(reserved=90)

    def test_one_missing_unit_is_too_much(self, begin):
        assert reserve(begin, "req_1", a_claim(a_hold(amount=100), 100)) == [0]
        with pytest.raises(ZeroDivisionError), begin() as work:  # noqa: PT012 # as above
            assert work.budgets.reserve("req_2", [a_claim(a_hold(amount=1), 100)], NOW) == [-1]
            raise ZeroDivisionError

    def test_several_budgets_answer_in_the_order_of_the_claims(self, begin):
        claims = [
            a_claim(a_hold(kind=Kind.USER, subject_id="usr_1", amount=5), 20),
            a_claim(a_hold(kind=Kind.GLOBAL, subject_id="", unit=Unit.TOKENS, amount=7), 1_000),
            a_claim(a_hold(amount=5), 10),
            a_claim(a_hold(window=Window.TOTAL, period=EPOCH, amount=5), 6),
        ]

        assert reserve(begin, "req_1", *claims) == [15, 993, 5, 1]

        for claim in claims:
            assert standing(begin, claim.hold) == BudgetStanding(reserved=claim.hold.amount)

    def test_one_budget_without_room_is_told_beside_the_others(self, begin):
        full, free = a_claim(a_hold(amount=5), 4), a_claim(a_hold(kind=Kind.GLOBAL, subject_id="", amount=5), 9)
        with pytest.raises(ZeroDivisionError), begin() as work:  # noqa: PT012 # as above
            assert work.budgets.reserve("req_1", [full, free], NOW) == [-1, 4]
            raise ZeroDivisionError

        assert standing(begin) == standing(begin, free.hold) == BudgetStanding()

    def test_a_budget_that_is_not_enforced_is_counted_beyond_its_limit(self, begin):
        assert reserve(begin, "req_1", a_claim(a_hold(amount=30), 20, enforced=False)) == [-10]

        assert standing(begin) == BudgetStanding(reserved=30)

    def test_windows_of_other_periods_units_and_subjects_are_apart(self, begin):
        reserve(begin, "req_1", a_claim(a_hold(amount=30), 100))

        for other in (
            a_hold(period=TODAY + timedelta(days=1)),
            a_hold(unit=Unit.TOKENS),
            a_hold(window=Window.MONTH, period=TODAY.replace(day=1)),
            a_hold(subject_id="key_2"),
            a_hold(kind=Kind.TEAM),
        ):
            assert standing(begin, other) == BudgetStanding()

    def test_a_new_key_begins_with_what_another_has_used_and_reserved(self, begin, apply):
        old = [a_hold(amount=30), a_hold(unit=Unit.TOKENS, window=Window.TOTAL, period=EPOCH, amount=5)]
        reserve(begin, "req_1", a_claim(old[0], 100))
        apply([spent("req_1", 10, old[0])])
        reserve(begin, "req_2", *(a_claim(hold, 100) for hold in old))
        before = [standing(begin, hold) for hold in old]

        with begin() as work:
            work.budgets.inherit("key_2", "key_1", [Budget(hold.unit, hold.window, 100) for hold in old], NOW)

        after = [standing(begin, replace(hold, subject_id="key_2")) for hold in old]
        assert after == [BudgetStanding(used=it.used + it.reserved) for it in before]
        assert after[0] == BudgetStanding(used=40)
        assert [standing(begin, hold) for hold in old] == before

    def test_nothing_asked_for_takes_nothing(self, begin):
        assert reserve(begin, "req_1") == []


class FirstMeetingContract:
    """A window begins with what the ledger has for it."""

    @pytest.fixture
    def advance(self):
        """Brings the rollups up to date; to be provided where there are any."""
        return lambda: None

    @pytest.fixture(params=[False, True], ids=["tail", "rollups"])
    def ledger(self, begin, apply, advance, request):
        """Use of two users and a team, today and yesterday."""
        with begin() as work:
            work.users.add(a_user())
            work.keys.add(a_key())
            work.keys.add(a_key(a_token("k1dk1dk1d2"), id="key_2", team_id="team_1"))
        usage = Usage(1, 2, 3, 4, 5)
        entries = (
            an_entry(request_id="req_1", charged=100, usage=usage),
            an_entry(request_id="req_2", charged=None, usage=usage),
            an_entry(request_id="req_3", charged=1_000, usage=usage, started_at=YESTERDAY),
            an_entry(request_id="req_4", charged=10_000, usage=usage, key_id="key_2"),
            an_entry(request_id="req_5", charged=100_000, usage=usage, key_id="key_9", user_id="usr_2"),
        )
        apply([a_settled(entries=entries)])
        if request.param:
            advance()
        return begin

    @pytest.mark.parametrize(
        ("kind", "subject_id", "day", "total", "tokens"),
        [
            (Kind.KEY, "key_1", 100, 1_100, 30),
            (Kind.USER, "usr_1", 100, 1_100, 30),
            (Kind.USER, "usr_2", 100_000, 100_000, 15),
            (Kind.TEAM, "team_1", 10_000, 10_000, 15),
            (Kind.GLOBAL, "", 110_100, 111_100, 60),
            (Kind.KEY, "key_3", 0, 0, 0),
        ],
    )
    def test_it_begins_with_the_use_of_its_subject(self, ledger, kind, subject_id, day, total, tokens):
        holds = {
            a_hold(kind=kind, subject_id=subject_id): day,
            a_hold(kind=kind, subject_id=subject_id, window=Window.TOTAL, period=EPOCH): total,
            a_hold(kind=kind, subject_id=subject_id, unit=Unit.TOKENS): tokens,
        }
        for hold, used in holds.items():
            assert standing(ledger, hold) == BudgetStanding(used)
            assert reserve(ledger, "req_9", a_claim(replace(hold, amount=1), 1_000_000)) == [1_000_000 - used - 1]
            assert standing(ledger, hold) == BudgetStanding(used, 1)

    def test_a_window_that_is_over_ends_with_its_last_day(self, ledger):
        assert standing(ledger, a_hold(period=YESTERDAY.date())) == BudgetStanding(used=1_000)


class GivingBackContract:
    def test_what_is_released_is_free_again(self, begin):
        other = a_hold(kind=Kind.GLOBAL, subject_id="", amount=30)
        reserve(begin, "req_1", a_claim(a_hold(amount=30), 100), a_claim(other, 100))
        reserve(begin, "req_2", a_claim(a_hold(amount=7), 100))

        for _ in range(2):
            with begin() as work:
                work.budgets.release("req_1")

        assert (standing(begin), standing(begin, other)) == (BudgetStanding(reserved=7), BudgetStanding())

    def test_releasing_what_was_never_reserved_does_nothing(self, begin):
        with begin() as work:
            work.budgets.release("req_1")

    def test_holds_from_before_a_time_are_swept_once(self, begin):
        reserve(begin, "req_1", a_claim(a_hold(amount=30), 100))
        reserve(begin, "req_2", a_claim(a_hold(amount=7), 100), at=LATER)

        with begin() as work:
            assert work.budgets.sweep(LATER) == 1
        with begin() as work:
            assert work.budgets.sweep(LATER) == 0

        assert standing(begin) == BudgetStanding(reserved=7)

    def test_a_swept_hold_cannot_be_released_as_well(self, begin):
        reserve(begin, "req_1", a_claim(a_hold(amount=30), 100))
        with begin() as work:
            work.budgets.sweep(LATER)
        with begin() as work:
            work.budgets.release("req_1")

        assert standing(begin) == BudgetStanding()

    def test_long_after_its_sweep_a_hold_is_forgotten(self, begin):
        reserve(begin, "req_1", a_claim(a_hold(amount=30), 100))
        for moment in (LATER, LATER + timedelta(days=8)):
            with begin() as work:
                work.budgets.sweep(moment)

        assert reserve(begin, "req_1", a_claim(a_hold(amount=1), 1)) == [0]


class SettlingContract:
    def test_a_settled_request_has_used_what_it_was_charged_and_reserves_nothing(self, begin, apply):
        hold = a_hold(amount=30)
        reserve(begin, "req_1", a_claim(hold, 100))

        apply([spent("req_1", 20, hold)])

        assert standing(begin) == BudgetStanding(used=20)

    def test_a_record_counts_once_however_often_it_is_given(self, begin, apply):
        hold = a_hold(amount=30)
        reserve(begin, "req_1", a_claim(hold, 100))
        record = spent("req_1", 20, hold)

        apply([record, record])
        apply([record])

        assert standing(begin) == BudgetStanding(used=20)

    def test_without_a_price_nothing_is_spent(self, begin, apply):
        hold = a_hold(amount=30)
        reserve(begin, "req_1", a_claim(hold, 100))

        apply([spent("req_1", None, hold)])

        assert standing(begin) == BudgetStanding()

    def test_tokens_of_all_classes_count(self, begin, apply):
        hold = a_hold(unit=Unit.TOKENS, amount=30)
        reserve(begin, "req_1", a_claim(hold, 100))

        apply([spent("req_1", 20, hold, usage=Usage(1, 2, 3, 4, 5))])

        assert standing(begin, hold) == BudgetStanding(used=15)

    def test_the_record_of_a_request_that_could_not_reserve_counts(self, begin, apply):
        """The database was away when it was admitted."""
        record = spent("req_1", 20, a_hold())
        for _ in range(2):
            apply([record])

        assert standing(begin) == BudgetStanding(used=20)

    def test_records_of_one_batch_meet_their_window_together(self, begin, apply):
        apply([spent("req_0", 1_000)])
        apply([spent("req_1", 1), spent("req_2", 20, a_hold()), spent("req_3", 300, a_hold())])

        assert standing(begin) == BudgetStanding(used=1_320)

    def test_a_swept_request_that_turns_up_counts_once(self, begin, apply):
        hold = a_hold(amount=30)
        reserve(begin, "req_1", a_claim(hold, 100))
        with begin() as work:
            work.budgets.sweep(LATER)

        for _ in range(2):
            apply([spent("req_1", 20, hold)])
        with begin() as work:
            assert work.budgets.sweep(LATER) == 0

        assert standing(begin) == BudgetStanding(used=20)

    def test_releasing_or_sweeping_what_is_settled_changes_nothing(self, begin, apply):
        hold = a_hold(amount=30)
        reserve(begin, "req_1", a_claim(hold, 100))
        apply([spent("req_1", 20, hold)])
        with begin() as work:
            work.budgets.release("req_1")
            assert work.budgets.sweep(LATER) == 0

        assert standing(begin) == BudgetStanding(used=20)

    def test_a_request_may_cost_more_than_it_reserved(self, begin, apply):
        hold = a_hold(amount=30)
        reserve(begin, "req_1", a_claim(hold, 30))
        apply([spent("req_1", 50, hold)])

        assert standing(begin) == BudgetStanding(used=50)
        with pytest.raises(ZeroDivisionError), begin() as work:  # noqa: PT012 # the unit is what raises
            assert work.budgets.reserve("req_2", [a_claim(a_hold(amount=1), 30)], NOW) == [-21]
            raise ZeroDivisionError

    def test_a_record_without_a_final_row_only_gives_back(self, begin, apply):
        hold = a_hold(amount=30)
        reserve(begin, "req_1", a_claim(hold, 100))

        apply([a_settled(entries=(), holds=(hold,))])

        assert standing(begin) == BudgetStanding()

    def test_a_full_batch_over_many_windows_is_settled(self, begin, apply):
        everybody = a_hold(kind=Kind.GLOBAL, subject_id="", amount=2)
        keys = [a_hold(subject_id=f"key_{number:03}", amount=2) for number in range(200)]
        for number, hold in enumerate(keys[:100]):
            reserve(begin, f"req_{number}", a_claim(hold, 10), a_claim(everybody, 10_000))

        apply([spent(f"req_{number}", 3, hold, everybody) for number, hold in enumerate(keys)])

        assert standing(begin, everybody) == BudgetStanding(used=600)
        assert {standing(begin, hold) for hold in keys} == {BudgetStanding(used=3)}


class ChangingContract:
    """A budget that is set begins with what the ledger has for it, also when there was one before."""

    BUDGET = Limits(budgets=(Budget(Unit.MONEY, Window.DAY, 1_000),))

    @pytest.fixture
    def away(self, begin, apply):
        """There was a budget, of which one call used 20 and one holds 30; now there is none."""
        put(begin, self.BUDGET)
        for request_id in ("req_1", "req_2"):
            reserve(begin, request_id, a_claim(a_hold(amount=30), 1_000))
        apply([spent("req_1", 20, a_hold())])
        put(begin, NO_LIMITS)

    @pytest.mark.usefixtures("away")
    def test_what_was_used_while_a_budget_was_away_counts_when_it_is_back(self, begin, apply):
        apply([spent("req_3", 300)])
        put(begin, self.BUDGET)

        assert standing(begin) == BudgetStanding(used=320, reserved=30)
        assert reserve(begin, "req_4", a_claim(a_hold(amount=1), 1_000)) == [649]
        assert standing(begin) == BudgetStanding(used=320, reserved=31)

    @pytest.mark.usefixtures("away")
    def test_what_ran_meanwhile_counts_once(self, begin, apply):
        put(begin, self.BUDGET)
        record = spent("req_2", 25, a_hold())
        for _ in range(2):
            apply([record])

        assert standing(begin) == BudgetStanding(used=45)

    def test_a_changed_amount_goes_on_with_what_was_counted(self, begin, apply):
        put(begin, self.BUDGET)
        reserve(begin, "req_1", a_claim(a_hold(amount=30), 1_000))
        put(begin, Limits(budgets=(Budget(Unit.MONEY, Window.DAY, 50), Budget(Unit.TOKENS, Window.DAY, 9))))
        apply([spent("req_1", 20, a_hold())])

        assert standing(begin) == BudgetStanding(used=20)


class BudgetsContract(ReservingContract, FirstMeetingContract, GivingBackContract, SettlingContract, ChangingContract):
    """Everything above."""

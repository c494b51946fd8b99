"""A call is let in when all limits and budgets of its caller have room, and leaves nothing behind when it is not."""

from dataclasses import replace
from datetime import timedelta

import pytest

from application.admission import DEFAULT_OUTPUT, Ask, Defaults, expected_output
from application.call import Call, TokenStanding
from application.facts import LimiterFailed, LimitHit
from domain.completion import ModelCard
from domain.errors import BudgetExceeded, DatabaseBusy, ModelUnpriced, RateLimited
from domain.limits import Bound, Budget, Hold, Kind, Limits, Unit, Window
from domain.usage import NANO, Price, PriceBook
from domain.user import Role
from tests.builders import NOW, a_principal
from tests.world import World

DAY = Budget(Unit.MONEY, Window.DAY, 300)


def a_bound(kind: Kind = Kind.KEY, id: str = "key_1", **limits) -> Bound:  # noqa: A002 - named as its field
    return Bound(kind, id, Limits(**limits))


def admit(world: World, *bounds: Bound, number: int = 1, prompt: int = 50, output: int = 25, **principal) -> Call:
    """A call of 75 tokens, or 100 nano-units, unless a test says otherwise."""
    call = world.call(f"req_{number}")
    ask = Ask(a_principal(bounds=bounds, **principal), ["acme/large"], prompt, output)
    world.admission.admit(ask, call)
    return call


def configure(world: World, **fields) -> None:
    world.admission = replace(world.admission, **fields)


def held(world: World) -> int:
    """Of all budgets together."""
    return sum(standing.reserved for standing in world.begin.rows.windows.values())


# ── tokens per minute, concurrency ───────────────────────────────────────────────────────────────────────────────


def test_a_caller_without_limits_costs_neither_a_count_nor_a_transaction(world: World):
    begun = world.begin.begun
    world.admission = replace(world.admission, capacity=None)

    assert admit(world, a_bound(rpm=5), a_bound(Kind.TEAM, "team_1", rpm=9)).standing is None
    assert world.begin.begun == begun


def test_a_key_runs_no_more_calls_at_once_than_it_may(world: World):
    for number in range(2):
        admit(world, a_bound(concurrency=2), number=number)

    with pytest.raises(RateLimited) as refusal:
        admit(world, a_bound(concurrency=2), number=3)

    said = "This key may make 2 calls at the same time and is making them. Try again in 1 s."
    assert (refusal.value.message, refusal.value.retry_after) == (said, 1)
    assert world.record.of(LimitHit) == [LimitHit("key", "concurrency", shadow=False)]


def test_tokens_are_reserved_for_the_prompt_and_the_most_it_may_answer(world: World):
    admit(world, a_bound(tpm=1_100), output=1_000)
    world.clock.advance(20.5)

    with pytest.raises(RateLimited) as refusal:
        admit(world, a_bound(tpm=1_100), number=2)

    assert refusal.value.message == (
        "This key may use 1,100 tokens per minute and has not the 75 left that this call may take. Try again in 40 s."
    )
    assert refusal.value.retry_after == 40
    assert world.record.of(LimitHit) == [LimitHit("key", "tokens", shadow=False)]


@pytest.mark.parametrize("role", list(Role))
def test_no_role_is_exempt(world: World, role: Role):
    with pytest.raises(RateLimited):
        admit(world, a_bound(concurrency=0), role=role)
    with pytest.raises(BudgetExceeded):
        admit(world, a_bound(budgets=(replace(DAY, amount=0),)), role=role)


@pytest.mark.parametrize(
    ("bound", "login", "who"),
    [
        (a_bound(concurrency=0), False, "This key"),
        (a_bound(Kind.USER, "usr_1", concurrency=0), False, "This user"),
        (a_bound(Kind.TEAM, "team_1", concurrency=0), False, "This team"),
        (a_bound(Kind.GLOBAL, "", concurrency=0), False, "The whole installation"),
        (a_bound(concurrency=0), True, "This login"),
        (a_bound(Kind.USER, "usr_1", concurrency=0), True, "This user"),
    ],
    ids=str,
)
def test_a_refusal_names_whose_limit_it_was(world: World, bound: Bound, login: bool, who: str):
    with pytest.raises(RateLimited, match=f"^{who} may make 0 calls"):
        admit(world, bound, login=login)


def test_the_keys_of_a_team_share_its_limit(world: World):
    team = a_bound(Kind.TEAM, "team_1", concurrency=2)
    for number, key_id in enumerate(("key_1", "key_2")):
        admit(world, a_bound(id=key_id, concurrency=5), team, number=number, key_id=key_id)

    with pytest.raises(RateLimited, match="This team"):
        admit(world, team, number=3, key_id="key_3")


def test_what_a_key_does_not_say_the_defaults_do(world: World):
    configure(world, defaults=Defaults(tpm=100, concurrency=1))

    admit(world, a_bound(concurrency=3))

    with pytest.raises(RateLimited, match="100 tokens per minute"):
        admit(world, a_bound(concurrency=3), number=2)
    admit(world, a_bound(tpm=1_000), number=3, key_id="key_2")
    with pytest.raises(RateLimited, match="1 calls at the same time"):
        admit(world, a_bound(tpm=1_000), number=4, key_id="key_2")


def test_the_standing_is_that_of_the_limit_of_which_least_is_left(world: World):
    call = admit(world, a_bound(tpm=1_000), a_bound(Kind.TEAM, "team_1", tpm=100), a_bound(Kind.GLOBAL, "", tpm=900))

    assert call.standing == TokenStanding(100, 25, 60)


def test_a_refused_call_has_a_standing_too(world: World):
    admit(world, a_bound(tpm=100))
    call = world.call("req_2")

    with pytest.raises(RateLimited):
        world.admission.admit(Ask(a_principal(bounds=(a_bound(tpm=100),)), ["acme/large"], 50, 25), call)

    assert call.standing == TokenStanding(100, 25, 60)


@pytest.mark.parametrize("everywhere", [False, True], ids=["one limit", "everywhere"])
def test_in_shadow_a_limit_is_measured_and_refuses_nothing(world: World, everywhere: bool):
    configure(world, defaults=Defaults(shadow=everywhere))
    bound = a_bound(tpm=100, concurrency=9, shadow=not everywhere)
    crowd = a_bound(Kind.USER, "usr_1", concurrency=1, shadow=not everywhere)

    calls = [admit(world, bound, crowd, number=number) for number in range(2)]

    assert world.record.facts == [LimitHit("key", "tokens", shadow=True), LimitHit("user", "concurrency", shadow=True)]
    assert [call.standing for call in calls] == [None, None], "a limit that is not enforced is no business of a client"


class BrokenCapacity:
    def reserve(self, *_):
        raise ZeroDivisionError

    settle = renew = reserve


def test_a_broken_limiter_lets_the_call_pass_and_says_so(world: World):
    configure(world, capacity=BrokenCapacity())

    admit(world, a_bound(tpm=1))
    world.admission.settle("req_1", 5)

    assert world.record.facts == [LimiterFailed("ZeroDivisionError")] * 2


def test_settling_gives_back_the_place_and_the_tokens_that_were_not_used(world: World):
    bound = a_bound(tpm=100, concurrency=1)
    admit(world, bound)

    world.admission.settle("req_1", 10)

    assert admit(world, bound, number=2).standing == TokenStanding(100, 15, 60)


# ── budgets ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_exactly_as_many_calls_are_let_in_as_the_budget_has_room_for(world: World):
    refused = 0
    for number in range(100):
        try:
            admit(world, a_bound(budgets=(DAY,)), number=number)
        except BudgetExceeded:
            refused += 1

    assert (refused, held(world)) == (97, 300)


def test_what_a_prompt_costs_to_cache_and_an_answer_to_think_is_reserved(world: World):
    price = Price(1_000_000, 2_000_000, cached_input=100_000, cache_write=2_000_000, reasoning=8_000_000)
    world.prices.book = PriceBook("v2", {"acme/large": price})

    admit(world, a_bound(budgets=(DAY,)))

    assert held(world) == 50 * 2 + 25 * 8


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (
            a_bound(budgets=(Budget(Unit.MONEY, Window.DAY, 5 * NANO),)),
            "The budget of this key, 5 per day, is spent; it resets at 2026-11-22T00:00:00Z.",
        ),
        (
            a_bound(Kind.TEAM, "team_1", budgets=(Budget(Unit.TOKENS, Window.MONTH, 1_000),)),
            "The budget of this team, 1,000 tokens per month, is spent; it resets at 2026-12-01T00:00:00Z.",
        ),
        (
            a_bound(Kind.GLOBAL, "", budgets=(Budget(Unit.MONEY, Window.TOTAL, NANO // 2),)),
            "The budget of the whole installation, 0.5 in all, is spent.",
        ),
    ],
    ids=["money", "tokens", "in all"],
)
def test_a_spent_budget_is_named_and_when_it_resets(world: World, bound: Bound, said: str):
    amount = bound.limits.budgets[0].amount
    admit(world, bound, prompt=amount, output=0)

    with pytest.raises(BudgetExceeded) as refusal:
        admit(world, bound, number=2)

    assert refusal.value.message == said
    assert world.record.facts == [LimitHit(bound.kind, "budget", shadow=False)]


def test_a_budget_that_has_less_left_than_the_call_may_take_says_so(world: World):
    with pytest.raises(BudgetExceeded, match="per day, has less left than this call may take; it resets"):
        admit(world, a_bound(budgets=(DAY,)), prompt=301)


def test_a_call_takes_from_all_budgets_or_from_none(world: World):
    team = a_bound(Kind.TEAM, "team_1", budgets=(Budget(Unit.TOKENS, Window.DAY, 74),))
    bound = a_bound(concurrency=1, budgets=(DAY, Budget(Unit.TOKENS, Window.TOTAL, 10_000)))

    with pytest.raises(BudgetExceeded, match="budget of this team"):
        admit(world, bound, team)

    assert (held(world), world.begin.rows.holds) == (0, {})
    admit(world, bound)


def test_the_holds_say_how_much_of_which_window(world: World):
    week = Budget(Unit.TOKENS, Window.WEEK, 1_000)
    ask = Ask(a_principal(bounds=(a_bound(budgets=(DAY, week)),)), ["acme/large"], 50, 25)

    holds = world.admission.admit(ask, world.call())

    monday = NOW.date() - timedelta(days=5)
    assert holds == (
        Hold(Kind.KEY, "key_1", Unit.MONEY, Window.DAY, NOW.date(), 100),
        Hold(Kind.KEY, "key_1", Unit.TOKENS, Window.WEEK, monday, 75),
    )


def test_a_spent_budget_costs_no_place_and_no_tokens(world: World):
    bound = a_bound(tpm=100, concurrency=1, budgets=(replace(DAY, amount=0),))
    for number in range(3):
        with pytest.raises(BudgetExceeded):
            admit(world, bound, number=number)


def test_a_refusal_in_the_unit_of_the_caller_is_the_callers_to_roll_back(world: World):
    principal = a_principal(bounds=(a_bound(concurrency=1, budgets=(DAY,)),))
    begun = world.begin.begun
    with world.begin() as work:
        world.admission.admit(Ask(principal, ["acme/large"], 200, 0), world.call("req_1"), work)
    world.admission.settle("req_1", 200)

    with pytest.raises(BudgetExceeded), world.begin() as work:
        world.admission.admit(Ask(principal, ["acme/large"], 200, 0), world.call("req_2"), work)

    assert (held(world), world.begin.begun - begun) == (200, 2)


def test_a_budget_in_money_needs_a_price(world: World):
    ask = Ask(a_principal(bounds=(a_bound(concurrency=1, budgets=(DAY,)),)), ["acme/unpriced"], 1, 1)

    for number in range(2):
        with pytest.raises(ModelUnpriced) as refusal:
            world.admission.admit(ask, world.call(f"req_{number}"))

    assert refusal.value.param == "model"
    assert world.record.facts == [LimitHit("key", "budget", shadow=False)] * 2


def test_a_budget_in_tokens_needs_none(world: World):
    bound = a_bound(budgets=(Budget(Unit.TOKENS, Window.DAY, 100),))

    assert (
        world.admission.admit(Ask(a_principal(bounds=(bound,)), ["acme/unpriced"], 1, 1), world.call())[0].amount == 2
    )


@pytest.mark.parametrize("model", ["acme/large", "acme/unpriced"])
def test_in_shadow_a_budget_is_measured_and_refuses_nothing(world: World, model: str):
    bound = a_bound(budgets=(replace(DAY, amount=99),), shadow=True)

    (hold,) = world.admission.admit(Ask(a_principal(bounds=(bound,)), [model], 50, 25), world.call())

    assert world.record.facts == [LimitHit("key", "budget", shadow=True)]
    assert hold.amount == held(world) == (100 if model == "acme/large" else 0)


# ── giving up ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_abandoned_call_gives_everything_back(world: World):
    principal = a_principal(bounds=(a_bound(concurrency=1, tpm=75, budgets=(DAY,)),))
    ask = Ask(principal, ["acme/large"], 50, 25)
    holds = world.admission.admit(ask, world.call())

    world.admission.abandon("req_1", holds)
    world.admission.abandon("req_1", holds)

    assert held(world) == 0
    world.admission.admit(ask, world.call("req_2"))


def test_abandoning_while_the_database_is_away_gives_back_the_place_at_least(world: World):
    principal = a_principal(bounds=(a_bound(concurrency=1, budgets=(DAY,)),))
    ask = Ask(principal, ["acme/large"], 50, 25)
    holds = world.admission.admit(ask, world.call())
    world.begin.down = DatabaseBusy()

    world.admission.abandon("req_1", holds)

    world.begin.down = None
    world.admission.admit(ask, world.call("req_2"))


def test_a_call_without_budgets_is_abandoned_without_a_transaction(world: World):
    begun = world.begin.begun

    world.admission.abandon("req_1", ())

    assert world.begin.begun == begun


# ── what a call is reckoned with ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "card", "tokens"),
    [
        ({"max_tokens": 7}, ModelCard("m"), 7),
        ({"max_completion_tokens": 8, "max_tokens": 7}, ModelCard("m", max_output=5), 8),
        ({"max_tokens": 7, "n": 3}, ModelCard("m"), 21),
        ({}, ModelCard("m"), DEFAULT_OUTPUT),
        ({"n": None}, ModelCard("m", max_output=100_000), DEFAULT_OUTPUT),
        ({"n": 2}, ModelCard("m", max_output=300), 600),
    ],
    ids=str,
)
def test_an_answer_is_reckoned_with_what_its_caller_allows(options: dict[str, int], card: ModelCard, tokens: int):
    assert expected_output(options, card) == tokens

"""Every way to a paid answer is admitted alike, and whatever ends it, nothing of what it reserved stays behind."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

import pytest

from application.admission import DEFAULT_OUTPUT
from application.chat import ChatOrder
from application.completions import CompletionOrder
from application.generation import Generation
from application.model_ports import Choice, Plan, plan_of
from application.order import Order
from application.ports import Share
from domain.completion import ModelCard
from domain.errors import (
    AccountingUnavailable,
    BudgetExceeded,
    ClientGone,
    DatabaseUnavailable,
    ModelUnpriced,
    RateLimited,
)
from domain.limits import Bound, Budget, BudgetStanding, Kind, Limits, Unit, Window
from domain.provider_errors import UpstreamReset
from domain.usage import Price, PriceBook
from domain.user import Principal, Role
from tests.builders import a_deployment, a_principal
from tests.fakes import ScriptedModel
from tests.world import World

MESSAGES = [{"role": "user", "content": "Hello"}]
PROMPT_TOKENS = 6
USED = ScriptedModel.USAGE.total_tokens
COST = 12 + 2 * 3
LIMITS = Limits(tpm=10_000, concurrency=1, budgets=(Budget(Unit.MONEY, Window.DAY, 10_000),))

Run = Callable[[World, Principal, str], object]


def a_caller(**limits) -> Principal:
    found = Limits(**limits) if limits else LIMITS
    return a_principal(role=Role.OWNER, bounds=(Bound(Kind.KEY, "key_1", found),))


def complete(world: World, caller: Principal, name: str = "req_1"):
    return world.completions.complete(caller, CompletionOrder(("acme/large",), MESSAGES), world.call(name))


def stream(world: World, caller: Principal, name: str = "req_1"):
    running = world.completions.stream(
        caller, CompletionOrder(("acme/large",), MESSAGES), world.call(name, streamed=True)
    )
    return drain(running)


def send(world: World, caller: Principal, name: str = "req_1"):
    return world.chat.send(caller, ChatOrder("sess_1", "Hello"), world.call(name))


def converse(world: World, caller: Principal, name: str = "req_1"):
    return drain(world.chat.stream(caller, ChatOrder("sess_1", "Hello"), world.call(name, streamed=True)))


def drain(running):
    try:
        return list(running)
    finally:
        running.close()


every_way = pytest.mark.parametrize("run", [complete, stream, send, converse], ids=lambda it: it.__name__)


def standing(world: World) -> BudgetStanding:
    """Of the one budget there is."""
    return next(iter(world.begin.rows.windows.values()), BudgetStanding())


def left(world: World) -> int:
    """Of the tokens of this minute, where nothing has the one place any more."""
    verdict = world.capacity.reserve("req_look", [Share("key:key_1", LIMITS.tpm, 1)], 1)
    world.capacity.settle("req_look", 0)
    assert verdict.refused is None
    return verdict.tokens[0][1] + 1


def places(world: World) -> int:
    """Free ones, of one."""
    return 1 - len(world.capacity._running)


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────────────────

REFUSALS = [
    ({"tpm": 0}, RateLimited),
    ({"concurrency": 0}, RateLimited),
    ({"concurrency": 1, "budgets": (Budget(Unit.MONEY, Window.DAY, 1),)}, BudgetExceeded),
    ({"concurrency": 1, "budgets": (Budget(Unit.TOKENS, Window.TOTAL, 1),)}, BudgetExceeded),
]


@every_way
@pytest.mark.parametrize(("limits", "error"), REFUSALS, ids=["tokens", "concurrency", "money", "budget in tokens"])
def test_a_call_that_is_refused_leaves_no_trace(world: World, run: Run, limits: dict[str, object], error: type):
    with pytest.raises(error):
        run(world, a_caller(**limits))

    assert (world.model.prompts, world.journal.opened, world.begin.rows.holds) == ([], [], {})
    assert world.session().active_request_id is None
    assert left(world) == LIMITS.tpm


@every_way
def test_a_budget_in_money_refuses_what_has_no_price(world: World, run: Run):
    world.prices.book = PriceBook("v2", {})

    with pytest.raises(ModelUnpriced):
        run(world, a_caller())

    assert places(world) == 1


@every_way
def test_what_cannot_be_journalled_gives_everything_back(world: World, run: Run):
    world.journal.refuse = AccountingUnavailable()

    with pytest.raises(AccountingUnavailable):
        run(world, a_caller())

    assert (standing(world).reserved, world.begin.rows.holds) == (0, {})
    assert left(world) == LIMITS.tpm


@pytest.mark.parametrize("run", [send, converse])
def test_a_turn_is_refused_in_its_one_unit_of_work(world: World, run: Run):
    """A second one beside it would wait for the lock that the first one has."""
    begun = world.begin.begun
    world.journal.refuse = AccountingUnavailable()

    with pytest.raises(AccountingUnavailable):
        run(world, a_caller())

    assert world.begin.begun - begun == 1


def test_a_turn_whose_lock_could_not_be_stored_is_settled_by_its_record(world: World):
    inner = world.chat.begin

    @contextmanager
    def lost():
        with inner() as work:
            yield work
            raise DatabaseUnavailable

    object.__setattr__(world.chat, "begin", lost)

    with pytest.raises(DatabaseUnavailable):
        send(world, a_caller())

    (record,) = world.journal.settled
    assert record.holds == world.journal.opened[0].holds != ()
    assert standing(world) == BudgetStanding()
    assert left(world) == LIMITS.tpm


# ── admitted ─────────────────────────────────────────────────────────────────────────────────────────────────────


@every_way
def test_a_call_holds_its_place_and_its_budget_while_it_runs(world: World, run: Run):
    seen = []
    world.script(lambda: seen.append((standing(world).reserved, places(world))), "Hello")

    run(world, a_caller())

    ((reserved, free),) = seen
    assert free == 0
    assert reserved > 2 * 1_000, "the answer was reckoned with a thousand tokens"


@every_way
def test_a_good_end_settles_what_was_used(world: World, run: Run):
    run(world, a_caller())

    assert standing(world) == BudgetStanding(used=COST)
    assert left(world) == LIMITS.tpm - USED
    (opened,), (record,) = world.journal.opened, world.journal.settled
    assert opened.holds == record.holds != ()


@every_way
@pytest.mark.parametrize("error", [UpstreamReset(), ClientGone(), RuntimeError("a defect")], ids=str)
@pytest.mark.parametrize("heard", [[], ["abcd" * 10]], ids=["silent", "heard"])
def test_a_bad_end_settles_what_was_used(world: World, run: Run, heard: list[str], error: Exception):
    world.script(*heard, error)

    with pytest.raises(type(error)):
        run(world, a_caller())

    final = world.final()
    assert standing(world) == BudgetStanding(used=final.charged or 0)
    assert left(world) == LIMITS.tpm - final.usage.total_tokens


@every_way
def test_an_end_that_cannot_be_journalled_frees_the_place(world: World, run: Run):
    world.script("Hello", lambda: setattr(world.journal, "refuse", AccountingUnavailable()))

    with pytest.raises(AccountingUnavailable):
        run(world, a_caller())

    assert left(world) == LIMITS.tpm - USED


def test_the_estimate_is_what_the_call_allows(world: World):
    options = {"max_tokens": 40, "n": 2}

    world.completions.complete(a_caller(), CompletionOrder(("acme/large",), MESSAGES, options), world.call())

    (hold,) = world.journal.opened[0].holds
    assert hold.amount == PROMPT_TOKENS + 2 * 80


@pytest.mark.parametrize("option", ["tools", "functions", "response_format", "prediction"])
def test_whatever_the_provider_reads_counts_as_prompt(world: World, option: str):
    options = {option: [{"text": "x" * 4_000}]}

    world.generations.open(
        Order(a_caller(), plan_of(a_deployment(world.model)), "acme/large", MESSAGES, options), world.call()
    )

    assert world.journal.opened[0].prompt_tokens > PROMPT_TOKENS + 1_000


def test_what_is_reserved_is_enough_for_the_longest_answer_of_all_that_may_come_to_answer(world: World):
    short = replace(a_deployment(world.model), card=ModelCard("large", max_output=10))
    plan = Plan("both", (Choice(short), Choice(a_deployment(world.model, "acme/small"), 1)))
    world.prices.book = PriceBook("v2", dict.fromkeys(("acme/large", "acme/small"), Price(1_000_000, 2_000_000)))

    world.generations.open(Order(a_caller(), plan, "both", MESSAGES, {}), world.call())

    assert standing(world).reserved == PROMPT_TOKENS + 2 * DEFAULT_OUTPUT


def test_a_call_is_billed_by_the_prices_it_began_with(world: World):
    dearer = PriceBook("v2", {"acme/large": Price(input=9_000_000, output=9_000_000)})
    world.script("Hello", lambda: setattr(world.prices, "book", dearer))

    answer = complete(world, a_caller())

    final = world.final()
    assert (answer.cost, final.cost, final.price_version) == (COST, COST, "v1")
    assert world.journal.opened[0].price_version == "v1"
    assert complete(world, a_caller(), "req_2").cost == 9 * USED


def test_a_call_that_was_never_opened_has_nothing_to_settle(world: World):
    order = Order(a_caller(), plan_of(a_deployment(world.model)), "acme/large", MESSAGES, {})
    generation = Generation(world.generations, order, world.call())
    generation.admit(None)

    generation.cut(ClientGone())

    assert (world.journal.settled, places(world)) == ([], 0)

"""Some providers bill an answer to its end whoever leaves: then it is heard to its end, for the true count."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from application.cancellation import LEFT_SECONDS
from application.chat import ChatOrder
from application.completions import CompletionOrder
from application.guardrails import Rule
from application.model_ports import Choice, Plan
from application.stream import Stream
from domain.completion import Completion, Delta
from domain.errors import ClientGone, GuardrailBlocked, ServerShuttingDown, StoppedByUser
from domain.guardrail import Action, Side, Span
from domain.ledger import LedgerEntry, State
from domain.provider_errors import UpstreamReset
from domain.usage import Source, Usage
from tests.builders import a_deployment, a_principal
from tests.fakes import ScriptedModel
from tests.world import World

COUNTED = Usage(input=100, output=70, source=Source.PROVIDER)
END = Completion("", "stop", COUNTED)
ORDER = CompletionOrder(("acme/large",), [{"role": "user", "content": "Hello"}])


class Later:
    """Keeps what is to go on until a test lets it."""

    def __init__(self) -> None:
        self.works: list[Callable[[], object]] = []

    def __call__(self, _call: Any, work: Callable[[], object]) -> None:
        self.works.append(work)

    def run(self) -> None:
        while self.works:
            self.works.pop()()


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def world(later: Later) -> World:
    return a_world(later, "Hel", "lo", END)


def a_world(later: Later, *script: Any) -> World:
    world = World(ScriptedModel(*script))
    world.models._deployments["acme/large"] = replace(a_deployment(world.model), drains=True)
    world.generations = replace(world.generations, beside=later)
    world.completions = replace(world.completions, generations=world.generations)
    world.chat = replace(world.chat, generations=world.generations)
    return world


def stream(world: World) -> Stream:
    return world.completions.stream(a_principal(), ORDER, world.call(streamed=True))


def final(world: World) -> LedgerEntry:
    (record,) = world.journal.settled
    return record.entries[-1]


def test_an_answer_whose_client_leaves_is_counted_by_its_provider(world: World, later: Later):
    running = stream(world)
    next(iter(running))

    running.close()
    running.close()

    assert (world.journal.settled, world.model.closed, len(later.works)) == ([], 0, 1)
    later.run()
    assert (final(world).state, final(world).error_code, final(world).usage) == (State.PARTIAL, "client_gone", COUNTED)
    assert world.model.closed == 1


def test_an_answer_that_was_whole_before_anybody_read_it_is_counted(world: World, later: Later):
    world.script(END)
    stream(world).close()

    later.run()

    assert final(world).usage == COUNTED


def test_what_was_read_to_its_end_is_complete_and_nothing_is_left_to_hear(world: World, later: Later):
    running = stream(world)
    list(running)
    running.close()

    assert (final(world).state, later.works) == (State.COMPLETED, [])


def test_a_session_gets_the_whole_text_though_nobody_waited_for_it(world: World, later: Later):
    running = world.chat.stream(a_principal(), ChatOrder("sess_1", "What?"), world.call(streamed=True))
    next(iter(running))
    running.close()

    later.run()

    assert world.texts()[1] == ("assistant", "Hello", "complete")
    assert world.session().active_request_id is None


def test_a_whole_answer_whose_client_leaves_is_counted_as_well(world: World):
    call = world.call()
    world.script("Hel", lambda: call.cancellation.cancel(ClientGone()), "lo", END)

    world.completions.complete(a_principal(), ORDER, call)

    assert (final(world).state, final(world).error_code, final(world).usage) == (State.PARTIAL, "client_gone", COUNTED)


def test_nobody_hears_for_more_than_a_minute_what_nobody_reads(world: World, later: Later):
    running = stream(world)
    cancellation = world.model.cancellations[0]
    running.close()
    world.clock.advance(LEFT_SECONDS - 1)
    cancellation.give_up()
    assert cancellation.reason is None
    world.clock.advance(1)
    cancellation.give_up()
    later.run()

    assert (final(world).error_code, final(world).usage.source) == ("client_gone", Source.ESTIMATED)
    assert world.model.closed == 1


def test_what_somebody_waits_for_is_not_given_up(world: World):
    running = stream(world)
    world.clock.advance(LEFT_SECONDS * 2)
    world.model.cancellations[0].give_up()

    assert isinstance(list(running)[-1].completion, Completion)


@pytest.mark.parametrize("reason", [StoppedByUser(), ServerShuttingDown()], ids=lambda it: it.code)
def test_it_can_be_ended_like_any_other(world: World, later: Later, reason: Any):
    running = stream(world)
    running.close()
    world.model.cancellations[0].cancel(reason)

    later.run()

    assert (final(world).state, final(world).error_code) == (State.PARTIAL, reason.code)


def test_a_stream_that_was_stopped_before_its_client_left_was_stopped(world: World, later: Later):
    running = stream(world)
    world.model.cancellations[0].cancel(StoppedByUser())
    running.close()

    assert (final(world).error_code, later.works) == ("stopped", [])


def test_without_room_for_one_more_it_is_cancelled_and_estimated(world: World, later: Later):
    call = world.call(streamed=True)
    call.cancellation.room = lambda: False
    running = world.completions.stream(a_principal(), ORDER, call)
    running.close()

    assert (final(world).state, final(world).usage.source, later.works) == (State.PARTIAL, Source.ESTIMATED, [])
    assert world.model.closed == 1


def test_a_rest_that_breaks_off_is_estimated(world: World, later: Later):
    world.script("abcd" * 10, UpstreamReset())
    stream(world).close()

    later.run()

    assert (final(world).error_code, final(world).usage.output) == ("upstream_reset", 11)


def test_a_defect_while_nobody_listens_is_settled_and_told(world: World, later: Later):
    world.script("Hel", RuntimeError("a defect"))
    stream(world).close()

    with pytest.raises(RuntimeError):
        later.run()

    assert final(world).state is State.PARTIAL


def test_a_rule_that_forbids_the_rest_changes_nothing_in_its_count(world: World, later: Later):
    long = "long " * 60

    def find(text: str) -> list[Span]:
        return [Span(at, at + 6)] if (at := text.find("secret")) >= 0 else []

    world.guardrails.use([Rule("no", find, Action.BLOCK, frozenset({Side.OUTPUT}))])
    world.script(long, "secret ", long, END)
    stream(world).close()

    later.run()

    assert (final(world).error_code, final(world).usage) == ("guardrail_blocked", COUNTED)


def test_an_answer_is_not_made_anew_for_nobody():
    """Who would take over has cost nothing so far."""
    first, second = ScriptedModel(), ScriptedModel("Hello")
    world = World(first)
    deployments = [replace(a_deployment(first), drains=True), a_deployment(second, "acme/other")]
    plan = Plan("both", tuple(Choice(it, tier) for tier, it in enumerate(deployments)))
    world.models.resolve = lambda _: plan  # type: ignore[method-assign]
    call = world.call()
    first.play(lambda: call.cancellation.cancel(ClientGone()), UpstreamReset())

    with pytest.raises(ClientGone):
        world.completions.complete(a_principal(), ORDER, call)

    assert (second.prompts, final(world).error_code) == ([], "client_gone")


def test_who_takes_over_decides_anew_what_becomes_of_an_answer():
    first, second = ScriptedModel(UpstreamReset()), ScriptedModel("Hello", "you")
    world = World(first)
    deployments = [replace(a_deployment(first), drains=True), a_deployment(second, "acme/other")]
    plan = Plan("both", tuple(Choice(it, tier) for tier, it in enumerate(deployments)))
    world.models.resolve = lambda _: plan  # type: ignore[method-assign]

    stream(world).close()

    assert (final(world).usage.source, second.closed) == (Source.ESTIMATED, 1)


def test_the_default_hears_the_rest_at_once():
    world = World(ScriptedModel("Hel", Delta([{"index": 0, "delta": {}, "finish_reason": "stop"}]), END))
    world.models._deployments["acme/large"] = replace(a_deployment(world.model), drains=True)

    stream(world).close()

    assert final(world).usage == COUNTED


def test_a_blocked_answer_needs_room_too(world: World):
    world.guardrails.use([Rule("no", lambda _: [Span(0, 1)], Action.BLOCK, frozenset({Side.OUTPUT}))])
    world.script("Hello you", "more", END)
    call = world.call(streamed=True)
    call.cancellation.room = lambda: False

    with pytest.raises(GuardrailBlocked):
        world.completions.stream(a_principal(), ORDER, call)

    assert final(world).usage.source is Source.ESTIMATED

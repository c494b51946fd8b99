"""What rules about answers mean for a stream: when it begins, what it costs, what is kept of it."""

from dataclasses import replace
from typing import Any

import pytest

from application.chat import ChatOrder
from application.completions import CompletionOrder
from application.guardrails import Rule
from application.stream import Stream
from domain.completion import Completion, Delta
from domain.errors import GuardrailBlocked
from domain.guardrail import MASK, Action, Side, Span
from domain.ledger import LedgerEntry, State
from domain.provider_errors import UpstreamReset
from domain.usage import Source, Usage
from tests.builders import a_deployment, a_principal
from tests.fakes import ScriptedModel, a_delta
from tests.world import World

LONG = "long " * 60
COUNTED = Usage(input=100, output=70, source=Source.PROVIDER)
END = Completion("", "stop", COUNTED)
FINISH = Delta([{"index": 0, "delta": {}, "finish_reason": "stop"}])


def a_rule(action: Action, word: str = "secret") -> Rule:
    def find(text: str) -> list[Span]:
        return [Span(at, at + len(word))] if (at := text.find(word)) >= 0 else []

    return Rule("secrets", find, action, frozenset({Side.OUTPUT}))


def a_world(action: Action, *script: Any, drains: bool = False) -> World:
    world = World(ScriptedModel(*script))
    world.guardrails.use([a_rule(action)])
    world.models._deployments["acme/large"] = replace(a_deployment(world.model), drains=drains)
    return world


def stream(world: World, **options: Any) -> Stream:
    order = CompletionOrder(("acme/large",), [{"role": "user", "content": "Hello"}], options)
    return world.completions.stream(a_principal(), order, world.call(streamed=True))


def text_of(items: list) -> str:
    return "".join(delta.text for item in items if isinstance(item, list) for delta in item)


def rows(world: World) -> LedgerEntry:
    """The final row; whatever was paid to the provider is in the attempt's."""
    *attempts, final = world.journal.settled[0].entries
    assert [it.usage for it in attempts] == ([final.usage] if attempts else [])
    return final


def test_what_is_forbidden_before_anything_was_shown_is_an_error_of_the_call():
    world = a_world(Action.BLOCK, *("word " for _ in range(20)), "secret ", FINISH, END)

    with pytest.raises(GuardrailBlocked):
        stream(world)


def test_what_is_forbidden_later_is_an_error_of_the_stream_and_none_of_it_is_out():
    world = a_world(Action.BLOCK, LONG, LONG, "secret ", LONG)
    running, heard = stream(world), []

    with pytest.raises(GuardrailBlocked):
        heard.extend(running)

    assert "long" in text_of(list(heard))
    assert "s" not in text_of(list(heard))


def test_an_answer_that_is_forbidden_as_a_whole_is_paid_as_the_provider_counted_it():
    world = World(ScriptedModel("A secret.", END))
    world.guardrails.use([a_rule(Action.BLOCK)])

    with pytest.raises(GuardrailBlocked):
        world.completions.complete(a_principal(), CompletionOrder(("acme/large",), []), world.call())

    final = rows(world)
    assert (final.state, final.error_code, final.usage) == (State.PARTIAL, "guardrail_blocked", COUNTED)


@pytest.mark.parametrize("usage", [Usage(input=4, source=Source.PROVIDER), None])
def test_an_answer_of_which_nothing_is_visible_is_paid_too(usage: Usage | None):
    world = World(ScriptedModel())
    message = {"role": "assistant", "content": None, "refusal": "A secret."}
    world.model.complete = lambda *_: Completion("", "stop", usage, choices=[{"message": message}])  # type: ignore[method-assign]
    world.guardrails.use([a_rule(Action.BLOCK)])

    with pytest.raises(GuardrailBlocked):
        world.completions.complete(a_principal(), CompletionOrder(("acme/large",), []), world.call())

    assert rows(world).usage == (usage or Usage(input=0, output=3, source=Source.ESTIMATED))


def test_the_count_of_an_answer_is_waited_for_that_was_whole_when_it_was_forbidden():
    world = a_world(Action.BLOCK, "A secret", FINISH, END)

    with pytest.raises(GuardrailBlocked):
        stream(world)

    final = rows(world)
    assert (final.state, final.usage, world.model.closed) == (State.PARTIAL, COUNTED, 1)


def test_a_provider_that_does_not_count_then_is_not_waited_for_long():
    world = a_world(Action.BLOCK, "A secret", FINISH, UpstreamReset())

    with pytest.raises(GuardrailBlocked):
        stream(world)

    assert world.model.cancellations[0].remaining() == 2
    assert rows(world).usage.source is Source.ESTIMATED


def test_an_answer_that_goes_on_is_cut_when_it_is_forbidden():
    late = Delta([{"index": 1, "delta": {}, "finish_reason": "stop"}])
    for script in ((FINISH, "more"), (late, "more")):
        world = a_world(Action.BLOCK, "A secret ", *script)

        with pytest.raises(GuardrailBlocked):
            stream(world, n=2)

        assert (rows(world).usage.source, world.model.closed) == (Source.ESTIMATED, 1)


def test_an_answer_that_is_billed_to_its_end_is_heard_to_its_end():
    more = "and so on " * 10
    world = a_world(Action.BLOCK, "A secret ", more, [], FINISH, END, drains=True)

    with pytest.raises(GuardrailBlocked):
        stream(world)

    final = rows(world)
    assert (final.state, final.error_code, final.usage) == (State.PARTIAL, "guardrail_blocked", COUNTED)


def test_a_rest_that_breaks_off_is_estimated_with_all_that_was_heard():
    world = a_world(Action.BLOCK, "A secret ", "word" * 10, UpstreamReset(), drains=True)

    with pytest.raises(GuardrailBlocked):
        stream(world)

    assert rows(world).usage.output == 49 // 4 + 1


def test_a_rest_that_ends_without_its_closing_is_estimated():
    class Silent(ScriptedModel):
        def stream(self, prompt: Any, cancellation: Any) -> Any:
            return iter([[a_delta("A secret ")], [a_delta("word")], []])

    world = a_world(Action.BLOCK, drains=True)
    world.models._deployments["acme/large"] = replace(a_deployment(Silent()), drains=True)

    with pytest.raises(GuardrailBlocked):
        stream(world)

    assert rows(world).usage.output == 13 // 4 + 1


def test_what_is_forbidden_at_the_very_end_is_paid_as_counted():
    world = a_world(Action.BLOCK, "A secret", END, drains=True)

    with pytest.raises(GuardrailBlocked):
        stream(world)

    assert rows(world).usage == COUNTED


def test_a_call_that_holds_everything_back_opens_the_gate_in_time():
    """Not with each event, which would be a heartbeat each."""
    world = World()
    tick = lambda: world.clock.advance(0.5)  # noqa: E731 - an act in a script
    world.script(*[part for _ in range(60) for part in (tick, "w ")], FINISH)
    world.guardrails.use([a_rule(Action.BLOCK)])

    running = stream(world)

    assert running.first_event_ms == 15_500
    *items, answer = running
    assert items.count([]) == 15, "one in a second"
    assert (text_of(items), answer.completion.finish) == ("w " * 60, "stop")


def test_heartbeats_of_the_provider_are_passed_on():
    world = a_world(Action.MASK, LONG, LONG, [], [], FINISH)

    assert list(stream(world)).count([]) == 2


def test_a_stream_that_ends_without_a_finish_reason_shows_what_was_held_back():
    world = a_world(Action.MASK, "It is secret", END)

    assert text_of(list(stream(world))) == f"It is {MASK}"


@pytest.mark.parametrize("finish", [[FINISH], []], ids=["finish", "none"])
def test_a_session_keeps_what_was_shown(finish: list[Delta]):
    world = a_world(Action.MASK, "It is secret", *finish)

    running = world.chat.stream(a_principal(), ChatOrder("sess_1", "What?"), world.call(streamed=True))
    *_, answer = running
    running.close()

    assert answer.content == f"It is {MASK}"
    assert world.texts()[1] == ("assistant", f"It is {MASK}", "complete")


def test_a_whole_answer_of_a_session_is_kept_as_it_was_shown():
    world = a_world(Action.MASK, "It is secret")

    world.chat.send(a_principal(), ChatOrder("sess_1", "What?"), world.call())

    assert world.texts()[1] == ("assistant", f"It is {MASK}", "complete")


def test_what_is_taken_out_of_a_prompt_reaches_neither_the_provider_nor_its_options():
    world = World()
    world.guardrails.use([replace(a_rule(Action.MASK), sides=frozenset({Side.INPUT}))])
    order = CompletionOrder(("acme/large",), [{"role": "user", "content": "secret"}], {"user": "secret"})
    world.models._deployments["acme/large"] = a_deployment(world.model, options=["user"])

    world.completions.complete(a_principal(), order, world.call())

    (prompt,) = world.model.prompts
    assert (prompt.messages[0]["content"], prompt.options) == (MASK, {"user": MASK})


def test_without_rules_an_order_is_passed_on_as_it_is(world: World):
    messages = [{"role": "user", "content": "Hello"}]

    world.completions.complete(a_principal(), CompletionOrder(("acme/large",), messages), world.call())

    assert world.model.prompts[0].messages is messages

import json
from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from application.completions import CompletionOrder
from application.facts import CacheAsked
from application.guardrails import Rule
from application.order import Order
from application.stream import Stream
from domain.completion import Completion, Delta
from domain.errors import GuardrailBlocked
from domain.guardrail import Action, Side, Span
from domain.ledger import State
from domain.limits import Bound, Budget, Kind, Limits, Unit, Window
from domain.provider_errors import UpstreamReset
from domain.usage import Source
from tests.builders import a_principal
from tests.fakes import ScriptedModel
from tests.world import World

MESSAGES = [{"role": "user", "content": "Hello"}]
BUDGET = Budget(Unit.MONEY, Window.DAY, 1_000_000)


@pytest.fixture
def world():
    return a_world()


def a_world(*script: Any, seconds: int = 60) -> World:
    world = World(ScriptedModel(*(script or ("Hel", "lo"))))
    world.generations = replace(world.generations, cache=replace(world.cache, seconds=seconds))
    world.completions = replace(world.completions, generations=world.generations)
    return world


def ask(world: World, name: str, *, messages: list = MESSAGES, principal: Any = None, **options: Any):
    call = world.call(name)
    call.fresh, call.unkept = options.pop("fresh", False), options.pop("unkept", False)
    return world.completions.complete(
        principal or a_principal(), CompletionOrder(("acme/large",), messages, options), call
    )


def a_stream(world: World, name: str) -> Stream:
    return world.completions.stream(
        a_principal(), CompletionOrder(("acme/large",), MESSAGES), world.call(name, streamed=True)
    )


def stream(world: World, name: str) -> tuple[str, Any]:
    running = a_stream(world, name)
    *deltas, answer = running
    running.close()
    return "".join(delta.text for item in deltas for delta in item), answer


def test_the_same_request_is_answered_from_the_cache_for_nothing(world: World):
    first, second = ask(world, "req_1"), ask(world, "req_2")

    assert (first.cache_hit, second.cache_hit, len(world.model.prompts)) == (False, True, 1)
    assert second.completion.choices == first.completion.choices
    assert (second.model, second.cost, second.usage.total_tokens, second.attempts) == ("acme/large", 0, 0, 0)


def test_a_hit_is_in_the_ledger_marked_and_without_an_attempt(world: World):
    ask(world, "req_1")
    ask(world, "req_2")

    (final,) = world.journal.settled[1].entries
    assert (final.cache_hit, final.state, final.cost, final.charged) == (True, State.COMPLETED, 0, 0)
    assert (final.usage.source, final.model_used) == (Source.NONE, "acme/large")
    assert not any(entry.cache_hit for entry in world.journal.settled[0].entries)


def test_a_stream_is_replayed_as_a_stream(world: World):
    first, second = stream(world, "req_1"), stream(world, "req_2")

    assert (first[0], second[0], len(world.model.prompts)) == ("Hello", "Hello", 1)
    assert (second[1].cache_hit, second[1].cost, second[1].completion.finish) == (True, 0, "stop")
    assert world.journal.settled[1].entries[-1].cache_hit


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [{"role": "user", "content": "Hallo"}]},
        {"messages": [{"role": "system", "content": "Be brief."}, *MESSAGES]},
        {"temperature": 0.1},
        {"principal": a_principal(user_id="usr_2")},
        {"principal": a_principal(team_id="team_1")},
        {"fresh": True},
    ],
    ids=lambda other: next(iter(other)),
)
def test_whatever_differs_is_another_request(world: World, other: dict[str, Any]):
    ask(world, "req_1")

    assert not ask(world, "req_2", **other).cache_hit


def test_members_share_what_their_teams_keys_asked(world: World):
    ask(world, "req_1", principal=a_principal(team_id="team_1"))

    assert ask(world, "req_2", principal=a_principal(team_id="team_1", user_id="usr_2")).cache_hit


def test_a_stream_and_a_whole_answer_do_not_share(world: World):
    ask(world, "req_1")

    assert not stream(world, "req_2")[1].cache_hit


def test_it_is_off_by_default():
    world = a_world(seconds=0)
    ask(world, "req_1")

    assert not ask(world, "req_2").cache_hit
    assert CacheAsked(hit=False) not in world.record.facts


def test_an_answer_is_kept_no_longer_than_told(world: World):
    ask(world, "req_1")
    world.clock.advance(61)

    assert not ask(world, "req_2").cache_hit


def test_what_was_cut_by_its_length_is_not_kept(world: World):
    ask(world, "req_1", max_tokens=1)

    assert not ask(world, "req_2", max_tokens=1).cache_hit


def test_a_failure_is_not_kept():
    world = a_world(UpstreamReset())
    with pytest.raises(UpstreamReset):
        ask(world, "req_1")
    world.script("Hello")

    assert not ask(world, "req_2").cache_hit


def test_a_stream_that_broke_is_not_kept():
    world = a_world("Hel", UpstreamReset())
    with pytest.raises(UpstreamReset):
        stream(world, "req_1")
    world.script("Hello")

    assert not stream(world, "req_2")[1].cache_hit


@pytest.mark.parametrize("piece", ["x" * 300_000, ["x" * 100_000] * 3], ids=["one", "many"])
def test_a_long_answer_is_not_kept(piece: Any):
    world = a_world(piece, "end")
    stream(world, "req_1")
    ask(world, "req_2")

    assert not stream(world, "req_3")[1].cache_hit
    assert not ask(world, "req_4").cache_hit


def test_every_question_to_the_cache_is_a_fact(world: World):
    ask(world, "req_1")
    ask(world, "req_2")

    assert [fact for fact in world.record.facts if isinstance(fact, CacheAsked)] == [
        CacheAsked(False),
        CacheAsked(True),
    ]


def test_the_order_of_names_does_not_matter(world: World):
    ask(world, "req_1", messages=[{"role": "user", "content": "Hello"}], temperature=0, max_tokens=9)
    same = ask(world, "req_2", messages=[{"content": "Hello", "role": "user"}], max_tokens=9, temperature=0)

    assert same.cache_hit


@pytest.mark.parametrize("fresh", [True, False])
def test_who_wants_nothing_kept_neither_gets_nor_leaves_anything(world: World, fresh: bool):
    ask(world, "req_1", unkept=True, fresh=fresh)
    assert not ask(world, "req_2").cache_hit
    assert not ask(world, "req_3", unkept=True, fresh=fresh).cache_hit


def test_who_wants_a_fresh_answer_leaves_it_to_the_next(world: World):
    ask(world, "req_1")
    world.script("New")
    fresh = ask(world, "req_2", fresh=True)
    cached = ask(world, "req_3")

    assert (fresh.cache_hit, cached.cache_hit, cached.completion.text) == (False, True, "New")


def test_half_a_surrogate_is_a_text_like_any_other(world: World):
    messages = [{"role": "user", "content": "\ud83d"}]
    ask(world, "req_1", messages=messages)

    assert ask(world, "req_2", messages=messages).cache_hit
    assert not ask(world, "req_3", messages=[{"role": "user", "content": "\ud83e"}]).cache_hit


@pytest.mark.parametrize("finish", ["length", "content_filter", None])
def test_one_choice_that_is_not_whole_keeps_all_from_being_kept(world: World, finish: str | None):
    def cut(prompt: Any, cancellation: Any) -> Completion:
        choices = [{"index": index, "message": {"content": "x"}, "finish_reason": "stop"} for index in range(2)]
        choices[1]["finish_reason"] = finish
        return Completion("x", "stop", choices=choices)

    world.model.complete = cut  # type: ignore[method-assign]
    ask(world, "req_1", n=2)

    assert not ask(world, "req_2", n=2).cache_hit


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_one_choice_of_a_stream_that_is_not_whole_keeps_all_from_being_kept(finish: str):
    cut = Delta([{"index": 1, "delta": {}, "finish_reason": finish}])
    world = a_world("Hello", cut)
    stream(world, "req_1")

    assert not stream(world, "req_2")[1].cache_hit


def test_a_replayed_stream_has_the_same_events():
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    events = [
        Delta([{"index": 0, "delta": {"role": "assistant", "reasoning_content": "Hm."}}], reasoning="Hm."),
        Delta([{"index": 1, "delta": {"content": "B"}}, {"index": 0, "delta": {"content": "A"}}], "A"),
        Delta([{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]),
    ]
    world = a_world(*events, Completion("", "tool_calls", extra={"system_fingerprint": "fp"}))

    runs = [list(a_stream(world, name)) for name in ("req_1", "req_2")]

    first, second = ([delta for item in run[:-1] for delta in item] for run in runs)
    assert first == second == events
    assert runs[1][-1].completion.extra == {"system_fingerprint": "fp"}
    assert runs[1][-1].cache_hit


def test_a_stream_without_a_single_event_is_replayed_as_such():
    world = a_world(Completion("", "stop", ScriptedModel.USAGE))
    stream(world, "req_1")

    assert [answer.cache_hit for answer in a_stream(world, "req_2")] == [True]


ODD = ({"model": 7}, {"deltas": [{}]}, {"deltas": [["x"]]}, {"deltas": 7})
ODD_COMPLETIONS = ({"text": None}, {"choices": None}, {"choices": [1]}, {"new": 1})
STORED: dict[str, Any] = {
    "model": "acme/large",
    "completion": {"text": "Hi", "finish": "stop", "choices": []},
    "deltas": [],
}


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        b'{"model":"acme/large"}',
        *(json.dumps({**STORED, **odd}).encode() for odd in ODD),
        *(json.dumps({**STORED, "completion": {**STORED["completion"], **odd}}).encode() for odd in ODD_COMPLETIONS),
    ],
)
def test_what_was_stored_and_cannot_be_read_is_a_miss(world: World, monkeypatch: pytest.MonkeyPatch, stored: bytes):
    monkeypatch.setattr(world.cache.cache, "get", lambda _: stored)

    assert not ask(world, "req_1").cache_hit
    assert not stream(world, "req_2")[1].cache_hit


def test_what_is_stored_so_can_be_read(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(world.cache.cache, "get", lambda _: json.dumps(STORED).encode())

    assert ask(world, "req_1").cache_hit


def test_a_hit_counts_for_the_rate_and_leaves_the_budget_as_it_is(world: World):
    principal = a_principal(bounds=(Bound(Kind.KEY, "key_1", Limits(tpm=100_000, budgets=(BUDGET,))),))
    ask(world, "req_1", principal=principal)
    before = dict(world.begin.rows.windows)
    ask(world, "req_2", principal=principal)

    assert world.begin.rows.windows == before
    assert all(window.used > 0 == window.reserved for window in before.values())


def test_an_answer_that_a_rule_changes_or_forbids_is_not_kept(world: World):
    for action, run in product((Action.MASK, Action.BLOCK), (ask, stream)):
        world.guardrails.use([rule_about("Hello", action)])
        with suppress(GuardrailBlocked):
            run(world, f"req_{action}_{run.__name__}")
    world.guardrails.use([])

    assert not ask(world, "req_8").cache_hit
    assert not stream(world, "req_9")[1].cache_hit


def test_an_answer_that_is_only_noted_is_kept(world: World):
    world.guardrails.use([rule_about("Hello", Action.NOTE)])
    ask(world, "req_1")
    stream(world, "req_2")

    assert ask(world, "req_3").cache_hit
    assert stream(world, "req_4")[1].cache_hit


def test_a_summary_of_a_session_is_not_taken_from_the_cache_nor_left_in_it(world: World):
    order = Order(a_principal(), world.router.plan(a_principal(), ("acme/large",), {}), "acme/large", MESSAGES, {})
    for name in ("req_1", "req_2"):
        generation = world.generations.open(replace(order, session_id="sess_1"), world.call(name))
        assert not world.generations.complete(generation).cache_hit

    assert not ask(world, "req_3").cache_hit


def rule_about(word: str, action: Action) -> Rule:
    def find(text: str) -> list[Span]:
        return [Span(at, at + len(word))] if (at := text.find(word)) >= 0 else []

    return Rule("word", find, action, frozenset({Side.OUTPUT}))


def test_the_rules_of_today_hold_for_an_answer_of_yesterday(world: World):
    ask(world, "req_1")
    rule = Rule(
        "no",
        lambda text: [Span(0, 1)] if "Hello" in text and text != MESSAGES[0] else [],
        Action.BLOCK,
        frozenset({Side.OUTPUT}),
    )
    world.guardrails.use([rule])

    with pytest.raises(GuardrailBlocked):
        ask(world, "req_2")

    final = world.journal.settled[1].entries[-1]
    assert (final.state, final.cost, final.error_code, final.cache_hit) == (State.FAILED, 0, "guardrail_blocked", True)


def test_a_cache_that_breaks_leaves_nothing_open(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(world.cache.cache, "get", lambda _: 1 / 0)

    for run in (ask, stream):
        with pytest.raises(ZeroDivisionError):
            run(world, f"req_{run.__name__}")

    assert [record.entries[-1].state for record in world.journal.settled] == [State.FAILED] * 2

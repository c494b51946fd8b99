"""A stream is committed when its first event is in; until then every failure is a plain error."""

from dataclasses import replace

import pytest

from application.completions import CompletionOrder
from application.stream import Stream
from domain.completion import Completion
from domain.provider_errors import UpstreamReset
from tests.builders import a_principal
from tests.fakes import ScriptedModel, a_delta
from tests.world import World

GATE = 15.0


def stream(world: World) -> Stream:
    messages = [{"role": "user", "content": "Hello"}]
    call = world.call(streamed=True)
    return world.completions.stream(a_principal(), CompletionOrder(("acme/large",), messages), call)


def test_it_returns_with_the_first_event_and_gives_it_out():
    world = World(ScriptedModel("Hel", "lo"))

    running = stream(world)

    assert world.model.closed == 0
    hel, lo, answer = running
    assert (hel, lo) == ([a_delta("Hel")], [a_delta("lo")])
    assert answer.completion.text == "Hello"


def test_it_says_at_once_who_answers():
    running = stream(World())

    assert (running.request_id, running.model, running.answer_id) == ("req_1", "acme/large", None)
    running.close()


def test_an_error_before_the_first_event_is_raised_by_the_call():
    with pytest.raises(UpstreamReset):
        stream(World(ScriptedModel(UpstreamReset())))


def test_an_error_after_the_first_event_is_raised_by_the_stream():
    running = stream(World(ScriptedModel("Hel", UpstreamReset())))

    parts = iter(running)
    assert next(parts) == [a_delta("Hel")]
    with pytest.raises(UpstreamReset):
        next(parts)


def test_heartbeats_do_not_open_the_gate():
    world = World(ScriptedModel([], [], UpstreamReset()))

    with pytest.raises(UpstreamReset):
        stream(world)


def test_a_model_that_thinks_longer_than_the_gate_is_committed_with_a_heartbeat():
    world = World()
    world.script([], lambda: world.clock.advance(GATE), [], "Hello")

    running = stream(world)
    first, second, answer = running

    assert not running.begun
    assert (first, second) == ([], [a_delta("Hello")])
    assert answer.completion.text == "Hello"


def test_an_error_behind_the_gate_is_raised_by_the_stream():
    world = World()
    world.script(lambda: world.clock.advance(GATE), [], UpstreamReset())

    running = stream(world)

    with pytest.raises(UpstreamReset):
        list(running)


def test_the_gate_can_be_set():
    world = World()
    world.completions = replace(world.completions, generations=replace(world.generations, gate_seconds=0.0))
    world.script([], "Hello")

    assert next(iter(stream(world))) == []


def test_heartbeats_are_passed_on_and_are_no_output():
    world = World(ScriptedModel("Hel", [], "lo", Completion("", "stop", None)))

    parts = list(stream(world))

    assert parts[1] == []
    assert world.final().usage.output == 2


def test_an_answer_without_a_single_delta_is_an_answer():
    world = World(ScriptedModel(Completion("", "stop", ScriptedModel.USAGE)))

    (answer,) = stream(world)

    assert answer.completion.finish == "stop"


def test_several_events_of_one_read_stay_together():
    running = stream(World(ScriptedModel(["a", "b"], "c")))

    assert [len(part) for part in list(running)[:-1]] == [2, 1]

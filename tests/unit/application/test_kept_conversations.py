"""Who keeps a session's conversation is told so, nobody else, and only as long as he knows all of it."""

from dataclasses import replace

import pytest

from application.cancellation import Attempt
from application.chat import ChatOrder
from application.dispatch import Dispatch
from application.model_ports import Choice, Plan
from application.stream import Stream
from domain.completion import Completion, Prompt
from domain.provider_errors import UpstreamFailed, UpstreamTruncated
from tests.builders import a_deployment, a_principal
from tests.fakes import ScriptedModel
from tests.world import World


class Other(ScriptedModel):
    """A model of the provider `other`."""

    def __init__(self, *script):
        super().__init__(*script)
        self.dials = False

    def _play(self, prompt, cancellation):
        cancellation.attempts.append(Attempt("other", f"other/{prompt.model}", 0.0))
        return super()._play(prompt, cancellation)


@pytest.fixture
def other():
    return Other("Hi")


@pytest.fixture
def world(other):
    return World(keeping("c-1"), a_deployment(other, "other/small"))


def keeping(conversation, *script):
    """A model whose provider keeps its conversation under that id."""
    return ScriptedModel(*script, "Hello", Completion("", "stop", ScriptedModel.USAGE, conversation=conversation))


class Turns:
    """One turn after the other in the one session."""

    def __init__(self, world, streamed):
        self.world = world
        self.streamed = streamed
        self.count = 0

    def take(self, model=None):
        self.count += 1
        call = self.world.call(f"req_{self.count}", streamed=self.streamed)
        order = ChatOrder("sess_1", "Hello?", model)
        if not self.streamed:
            self.world.chat.send(a_principal(), order, call)
            return
        stream: Stream = self.world.chat.stream(a_principal(), order, call)
        try:
            for _ in stream:
                pass
        finally:
            stream.close()


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def turns(world, request):
    return Turns(world, request.param)


def told(model):
    """The conversation that each prompt went on with."""
    return [prompt.conversation for prompt in model.prompts]


def test_the_next_turn_goes_on_in_the_conversation_that_the_provider_keeps(world, turns):
    turns.take()
    assert world.session().conversation == "acme:c-1"

    turns.take()
    assert told(world.model) == ["", "c-1"]


def test_a_turn_that_another_provider_answers_is_not_told_of_it_and_ends_it(world, other, turns):
    turns.take()
    turns.take("other/small")
    turns.take()

    assert told(other) == [""]
    assert told(world.model) == ["", ""]
    assert len(world.model.prompts[-1].messages) == 5


def test_a_session_that_moves_to_another_provider_does_not_take_it_along(world, other, turns):
    turns.take()
    world.configure(provider="other", model="small")
    turns.take()
    turns.take()

    assert told(other) == ["", ""]


@pytest.mark.parametrize("turns", [True], indirect=True)
def test_a_turn_that_was_cut_ends_it(world, turns):
    turns.take()
    world.script("Hel", UpstreamTruncated())
    with pytest.raises(UpstreamTruncated):
        turns.take()
    world.script("Hello")
    turns.take()

    assert told(world.model)[-1] == ""
    assert [message["content"] for message in world.model.prompts[-1].messages][-2:] == ["Hel", "Hello?"]


def test_a_turn_that_failed_without_a_word_leaves_it(world, turns):
    turns.take()
    world.script(UpstreamFailed())
    with pytest.raises(UpstreamFailed):
        turns.take()
    world.script("Hello")
    turns.take()

    assert told(world.model) == ["", "c-1", "c-1"]


def test_an_answer_that_no_provider_keeps_leaves_nothing_to_go_on_with(world, turns):
    world.script("Hello")
    turns.take()

    assert world.session().conversation == ""


@pytest.mark.parametrize(
    ("stored", "first", "second"),
    [("acme:c-1", "c-1", ""), ("other:c-1", "", "c-1"), ("third:c-1", "", ""), ("acme:a:b", "a:b", ""), ("", "", "")],
)
def test_of_all_that_a_route_tries_only_who_keeps_it_is_told(world, other, stored, first, second):
    acme = ScriptedModel(UpstreamFailed())
    plan = Plan("route", (Choice(a_deployment(acme)), Choice(a_deployment(other, "other/small"), tier=1)))
    prompt = replace(Prompt("large", [{"role": "user", "content": "Hello"}]), conversation=stored)

    Dispatch(plan).complete(prompt, world.call().cancellation)

    assert (told(acme), told(other)) == ([first], [second])


def test_whoever_answered_is_who_keeps_it_not_who_was_asked_first(world, other):
    other.play("Hello", Completion("", "stop", ScriptedModel.USAGE, conversation="c-9"))
    acme = a_deployment(ScriptedModel(UpstreamFailed()))
    plan = Plan("route", (Choice(acme), Choice(a_deployment(other, "other/small"))))
    world.models.resolve = lambda _model: plan

    Turns(world, streamed=False).take()

    assert world.session().conversation == "other:c-9"

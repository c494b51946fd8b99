from dataclasses import replace

import pytest

from application.chat import ChatOrder
from application.recovery import abandoned
from domain.completion import Completion, ModelCard
from domain.context import Window
from domain.errors import ClientGone, DatabaseUnavailable, NotFound
from domain.ledger import Kind as Row
from domain.limits import Bound, Budget, Kind, Limits, Unit
from domain.limits import Window as Span
from domain.provider_errors import UpstreamReset
from domain.session import SessionConfig, Strategy, Summary
from tests.builders import NOW, a_deployment, a_history, a_principal
from tests.fakes import ScriptedModel
from tests.world import World

TEXTS = [f"message {number}" for number in range(1, 11)]


@pytest.fixture
def world():
    return a_world(ScriptedModel("A summary.").then("Fine."))


def a_world(model: ScriptedModel, *more: object, history: int = 4) -> World:
    world = World(model, *more)
    for message in a_history(*TEXTS):
        world.begin.rows.messages[message.id] = message
    config = SessionConfig(history=history, context=Strategy.SUMMARY)
    world.configure(message_count=len(TEXTS), config=config)
    return world


def send(world: World, question: str = "And now?", request_id: str = "req_1"):
    return world.chat.send(a_principal(), ChatOrder("sess_1", question), world.call(request_id))


def test_a_model_summarises_what_does_not_fit_and_the_turn_is_sent_the_summary(world: World):
    answer = send(world)

    first, second = world.model.prompts
    assert TEXTS[0] in first.messages[1]["content"]
    assert TEXTS[7] in first.messages[1]["content"]
    assert TEXTS[8] not in first.messages[1]["content"]
    assert second.messages[0]["content"].endswith("A summary.")
    assert [message["content"] for message in second.messages[1:]] == [*TEXTS[8:], "And now?"]
    assert (answer.context.summarized_messages, answer.context.dropped_messages) == (8, 0)


def test_the_summary_is_in_the_ledger_as_a_call_of_its_own(world: World):
    send(world)

    finals = [row for row in world.begin.rows.ledger.values() if row.kind is Row.FINAL]
    assert [row.session_id for row in finals] == ["sess_1", "sess_1"]
    assert len({row.request_id for row in finals}) == 2
    assert world.texts()[-2:] == [("user", "And now?", "complete"), ("assistant", "Fine.", "complete")]


def test_the_summary_of_a_worker_that_died_over_it_is_still_one_of_its_session(world: World):
    send(world)

    opened = world.journal.opened[0]
    assert opened.turn is None
    assert {entry.session_id for entry in abandoned(opened, (), NOW, lambda *_: 0).entries} == {"sess_1"}


def test_the_next_turn_needs_no_new_summary(world: World):
    send(world)
    send(world, "And then?", "req_2")

    assert len(world.model.prompts) == 3


def test_a_later_summary_goes_on_from_the_one_before(world: World):
    send(world)
    for number in range(2, 5):
        send(world, f"Question {number}", f"req_{number}")

    (again,) = (text for prompt in world.model.prompts if "came before: A" in (text := prompt.messages[1]["content"]))
    assert "message 2\n" not in again
    assert "message 9\n" in again


def test_another_model_may_make_the_summaries():
    small = ScriptedModel("Small summary.")
    world = a_world(ScriptedModel("Fine."), a_deployment(small, "acme/small"))
    summaries = replace(world.summaries, model="acme/small")
    world.chat = replace(world.chat, summaries=summaries)

    send(world)

    assert (len(small.prompts), len(world.model.prompts)) == (1, 1)
    assert small.prompts[0].options == {"max_tokens": 2_000}, "it may be one that thinks"


def test_a_model_without_an_output_limit_is_asked_without_one():
    world = a_world(ScriptedModel("A summary.").then("Fine."))
    world.models._deployments["acme/large"] = a_deployment(world.model, options=["temperature"])

    send(world)

    assert world.model.prompts[0].options == {}


def test_a_model_that_is_known_not_to_think_needs_less_room():
    world = a_world(ScriptedModel("A summary.").then("Fine."))
    card = ModelCard("large", capabilities=("chat", "stream", "tools"))
    world.models._deployments["acme/large"] = replace(a_deployment(world.model), card=card)

    send(world)

    assert world.model.prompts[0].options == {"max_tokens": 400}


def test_what_the_model_cannot_read_at_once_is_lost_to_the_summary_and_told(world: World):
    long = [f"{number} " + "word " * 60 for number in range(10)]
    for message in a_history(*long):
        world.begin.rows.messages[message.id] = message
    card = ModelCard("small", context_window=1_000, capabilities=("chat", "tools"))
    small = ScriptedModel("Some of it.")
    world.models._deployments["acme/small"] = replace(a_deployment(small, "acme/small"), card=card)
    world.chat = replace(world.chat, summaries=replace(world.summaries, model="acme/small"))
    world.script("Fine.")

    context = send(world).context

    (prompt,) = small.prompts
    lines = prompt.messages[1]["content"].split("\n\n")
    assert [line.split()[1] for line in lines] == ["3", "4", "5", "6", "7"]
    assert (context.summarized_messages, context.dropped_messages) == (5, 3)


def test_a_model_that_can_read_nothing_of_it_is_not_asked(world: World):
    card = ModelCard("tiny", context_window=300)
    tiny = ScriptedModel("Never.")
    world.models._deployments["acme/tiny"] = replace(a_deployment(tiny, "acme/tiny"), card=card)
    world.chat = replace(world.chat, summaries=replace(world.summaries, model="acme/tiny"))
    world.script("Fine.")

    assert send(world).context.dropped_messages == 6
    assert tiny.prompts == []


@pytest.mark.parametrize("said", ["", " \n "])
def test_a_summary_that_says_nothing_stands_for_nothing(said: str):
    world = a_world(ScriptedModel(said, Completion("", "length", ScriptedModel.USAGE)).then("Fine."))

    context = send(world).context

    assert (context.summarized_messages, context.dropped_messages, world.begin.rows.summaries) == (0, 6, {})


def test_a_summary_that_goes_on_and_on_is_cut():
    world = a_world(ScriptedModel("word " * 10_000).then("Fine."))

    send(world)

    assert len(world.begin.rows.summaries["sess_1"].text) == 4_000


def test_a_session_that_changes_its_mind_late_is_told_how_much_is_lost():
    """What is summarised is what was read."""
    world = a_world(ScriptedModel("A summary.").then("Fine."))
    for message in a_history(*(f"message {number}" for number in range(300))):
        world.begin.rows.messages[message.id] = message
    world.configure(message_count=300)

    context = send(world).context

    assert (context.summarized_messages, context.dropped_messages) == (198, 100)


def test_a_session_that_wants_many_messages_gets_them_all_before_any_is_summarised():
    world = a_world(ScriptedModel("Fine."), history=300)
    for message in a_history(*(f"message {number}" for number in range(300))):
        world.begin.rows.messages[message.id] = message
    world.configure(message_count=300)

    answer = send(world)

    assert (answer.context.dropped_messages, len(world.model.prompts[0].messages)) == (0, 301)


def test_of_two_that_are_made_at_once_the_one_that_covers_more_stays(world: World):
    later = Summary("sess_1", 9, 9, "Later.", NOW)
    world.script(lambda: world.begin.rows.summaries.update(sess_1=later), "A summary.")

    send(world)

    assert world.begin.rows.summaries["sess_1"] == later


def test_a_session_that_was_deleted_meanwhile_leaves_no_summary(world: World):
    world.script(lambda: world.sessions.delete(a_principal(), "sess_1"), "A summary.")

    with pytest.raises(NotFound):
        send(world)

    assert world.begin.rows.summaries == {}


def test_a_store_that_is_away_when_the_summary_is_made_costs_the_summary_only(world: World):
    world.script(lambda: world.begin.__dict__.update(down=DatabaseUnavailable()), "A summary.")

    with pytest.raises(DatabaseUnavailable):
        send(world)

    assert world.begin.rows.summaries == {}


def test_a_limit_on_the_caller_is_one_on_the_summary_and_the_turn_tells_what_it_dropped():
    world = a_world(ScriptedModel("Fine."))
    world.configure(config=SessionConfig(history=1, context=Strategy.SUMMARY, max_tokens=1))
    limited = a_principal(bounds=(Bound(Kind.KEY, "key_1", Limits(budgets=(Budget(Unit.MONEY, Span.DAY, 1_000),))),))

    answer = world.chat.send(limited, ChatOrder("sess_1", "And now?"), world.call())

    assert (answer.content, answer.context.dropped_messages, len(world.model.prompts)) == ("Fine.", 10, 1)


def test_a_summary_that_somebody_else_has_made_meanwhile_is_not_made_again(world: World):
    for name in ("req_1", "req_2"):
        window = Window(None)
        world.summaries.renew(a_principal(), world.session(), "And now?", window, world.call(name))

    assert len(world.model.prompts) == 1


def test_a_turn_does_not_wait_for_ever_for_its_summary(world: World):
    send(world)

    assert [cancellation.remaining() for cancellation in world.model.cancellations] == [60, 600]


def test_a_client_that_left_while_a_summary_was_heard_to_its_end_gets_no_turn(world: World):
    """The provider bills all of the summary anyway, so it is kept."""
    world.models._deployments["acme/large"] = replace(a_deployment(world.model), drains=True)
    call = world.call()
    world.script(lambda: call.cancellation.cancel(ClientGone()), "A summary.")

    with pytest.raises(ClientGone):
        world.chat.send(a_principal(), ChatOrder("sess_1", "And now?"), call)

    assert world.final().usage.source == "provider"
    assert world.begin.rows.summaries["sess_1"].text == "A summary."
    assert len(world.model.prompts) == 1


def test_without_a_summary_the_turn_goes_on_and_tells_what_it_left_behind():
    world = a_world(ScriptedModel(UpstreamReset()).then("Fine."))

    answer = send(world)

    assert (answer.content, answer.context.summarized_messages) == ("Fine.", 0)
    assert answer.context.dropped_messages == 6


def test_nothing_goes_on_without_its_client():
    world = a_world(ScriptedModel("A summary.").then("Fine."))
    call = world.call()
    world.script(lambda: call.cancellation.cancel(ClientGone()), "A summary.")

    with pytest.raises(ClientGone):
        world.chat.send(a_principal(), ChatOrder("sess_1", "And now?"), call)

    assert world.session().active_request_id is None
    assert len(world.model.prompts) == 1


def test_no_transaction_is_open_while_a_summary_is_made(world: World):
    send(world)  # the model itself asserts it

    assert world.begin.open == 0


def test_other_sessions_are_not_summarised():
    world = a_world(ScriptedModel("Fine."))
    world.configure(config=SessionConfig(history=4))

    answer = send(world)

    assert (answer.context.dropped_messages, len(world.model.prompts)) == (6, 1)


def test_a_deleted_session_leaves_no_summary(world: World):
    send(world)
    world.sessions.delete(a_principal(), "sess_1")

    assert world.begin.rows.summaries == {}

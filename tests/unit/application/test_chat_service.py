from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from application.chat import ChatAnswer, ChatOrder
from application.stream import Stream
from domain.completion import Completion
from domain.errors import (
    AccountingUnavailable,
    ClientGone,
    ConversationBusy,
    DatabaseUnavailable,
    Forbidden,
    InvalidRequest,
    ModelNotAllowed,
    NotFound,
    StoppedByUser,
    UnknownModel,
)
from domain.ledger import State
from domain.provider_errors import UpstreamFailed, UpstreamReset
from domain.session import SessionConfig
from domain.user import Role, Scope
from tests.builders import NOW, a_deployment, a_history, a_principal
from tests.fakes import ScriptedModel
from tests.world import World


def send(world: World, message: str = "Hello", request_id: str = "req_1", **order) -> ChatAnswer:
    principal = order.pop("principal", a_principal())
    return world.chat.send(principal, ChatOrder("sess_1", message, **order), world.call(request_id))


def stream(world: World, message: str = "Hello", request_id: str = "req_1") -> Stream[ChatAnswer]:
    call = world.call(request_id, streamed=True)
    return world.chat.stream(a_principal(), ChatOrder("sess_1", message), call)


# ── a turn ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_turn_stores_question_and_answer_together(world: World):
    answer = send(world)

    assert (answer.content, answer.finish_reason, answer.model) == ("Hello", "stop", "acme/large")
    assert (answer.request_id, answer.session_id) == ("req_1", "sess_1")
    assert world.texts() == [("user", "Hello", "complete"), ("assistant", "Hello", "complete")]
    assert world.begin.rows.messages[answer.id].request_id == "req_1"
    assert world.session().message_count == 2


def test_a_turn_bills_the_caller_and_names_the_session(world: World):
    answer = send(world)

    final = world.final()
    assert (final.session_id, final.user_id, final.key_id) == ("sess_1", "usr_1", "key_1")
    assert (answer.usage, answer.cost) == (final.usage, final.cost)
    assert world.journal.opened[0].turn.question == "Hello"


def test_the_streamed_turn_is_the_same_turn(world: World):
    running = stream(world)

    *deltas, answer = running
    running.close()

    assert "".join(delta.text for part in deltas for delta in part) == answer.content == "Hello"
    assert running.answer_id == answer.id
    assert world.texts()[-1] == ("assistant", "Hello", "complete")


def test_the_second_turn_sends_the_first_along(world: World):
    send(world, "One")
    send(world, "Two", "req_2")

    assert [message["content"] for message in world.model.prompts[1].messages] == ["One", "Hello", "Two"]
    assert world.session().message_count == 4


def test_a_turn_uses_the_settings_of_the_session_that_the_provider_documents(world: World):
    world.configure(config=SessionConfig(temperature=0.5, max_tokens=50, system_prompt="Be brief."))
    world.models._deployments["acme/large"] = a_deployment(world.model, options=["temperature"])

    send(world)

    (prompt,) = world.model.prompts
    assert (prompt.model, dict(prompt.options), prompt.request_id) == ("large", {"temperature": 0.5}, "req_1")
    assert prompt.messages[0] == {"role": "system", "content": "Be brief."}


def test_another_model_may_answer_one_turn():
    other = ScriptedModel("I am small")
    world = World(None, a_deployment(other, "acme/small"))

    answer = send(world, model="acme/small")

    assert (answer.model, answer.content) == ("acme/small", "I am small")
    assert world.session().model == "large"
    assert world.journal.opened[0].model_requested == "acme/small"


def test_what_had_to_stay_behind_is_told(world: World):
    world.begin.rows.messages |= {message.id: message for message in a_history("a" * 30_000, "b", "c", "d")}
    world.configure(message_count=4)

    answer = send(world)

    assert answer.context.dropped_messages == 2, "the long question, and its answer with it"
    assert [message["content"] for message in world.model.prompts[0].messages] == ["c", "d", "Hello"]


def test_a_message_that_cannot_fit_stores_nothing_and_frees_the_session(world: World):
    with pytest.raises(InvalidRequest):
        send(world, "a" * 40_000)

    assert (world.texts(), world.session().active_request_id, world.model.prompts) == ([], None, [])


def test_a_turn_whose_lock_could_not_be_committed_is_settled_as_failed_and_never_dialled(world: World):
    @contextmanager
    def begin():
        with world.begin() as work:
            yield work
            raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        replace(world.chat, begin=begin).send(a_principal(), ChatOrder("sess_1", "Hello"), world.call())

    (record,) = world.journal.settled
    assert (record.entries[-1].state, record.entries[-1].error_code) == (State.FAILED, "db_unavailable")
    assert (world.model.prompts, world.session().active_request_id) == ([], None)


# ── titles ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_session_without_a_title_gets_one_from_its_first_message(world: World):
    send(world, "What is\na monad?")
    send(world, "And a functor?", "req_2")

    assert world.session().title == "What is a monad?"


def test_a_title_that_was_given_stays(world: World):
    world.configure(title="Mine")

    send(world)

    assert world.session().title == "Mine"
    assert world.journal.opened[0].turn.title is None


# ── one at a time ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_second_send_is_refused_while_the_first_is_answered(world: World):
    running = stream(world, "One")

    with pytest.raises(ConversationBusy) as busy:
        send(world, "Two", "req_2")

    assert busy.value.retry_after == 1
    assert (len(world.model.prompts), len(world.journal.opened)) == (1, 1)
    list(running)
    assert [text for _, text, _ in world.texts()] == ["One", "Hello"]


@pytest.mark.parametrize(
    "error", [UpstreamFailed(), UpstreamReset(), ClientGone(), StoppedByUser(), RuntimeError("a defect")]
)
@pytest.mark.parametrize("heard", [[], ["Hel"]], ids=["silent", "heard"])
def test_the_lock_is_free_after_every_bad_end(world: World, heard: list[str], error: Exception):
    world.script(*heard, error)

    with pytest.raises(type(error)):
        list(stream(world))

    assert world.session().active_request_id is None
    world.script("Hello")
    assert send(world, "Again", "req_2").content == "Hello"


def test_a_turn_that_could_not_be_journalled_frees_the_session(world: World):
    world.journal.refuse = AccountingUnavailable()

    for attempt in (send, stream):
        with pytest.raises(AccountingUnavailable):
            attempt(world)

    assert world.session().active_request_id is None
    assert (world.model.prompts, world.texts()) == ([], [])


def test_a_journal_and_a_database_that_fail_together_leave_the_first_reason(world: World):
    world.journal.refuse = AccountingUnavailable()
    first_open = world.journal.open

    def fail(record):
        world.begin.down = DatabaseUnavailable()
        first_open(record)

    world.journal.open = fail

    with pytest.raises(AccountingUnavailable):
        send(world)


def test_a_lock_that_nobody_can_hold_any_more_is_taken_over(world: World):
    world.configure(active_request_id="req_dead")
    world.begin.rows.locked_at["sess_1"] = NOW - timedelta(seconds=world.chat.turn_seconds + 1)

    assert send(world).content == "Hello"


def test_a_lock_that_is_young_enough_is_respected(world: World):
    world.configure(active_request_id="req_alive")
    world.begin.rows.locked_at["sess_1"] = NOW - timedelta(seconds=world.chat.turn_seconds - 1)

    with pytest.raises(ConversationBusy):
        send(world)


# ── cut answers ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_cut_answer_is_kept_and_marked(world: World):
    world.script("Hel", UpstreamReset())

    with pytest.raises(UpstreamReset):
        list(stream(world))

    assert world.texts() == [("user", "Hello", "complete"), ("assistant", "Hel", "incomplete")]


@pytest.mark.parametrize(
    ("error", "reason"), [(UpstreamReset(), "error"), (ClientGone(), "cancelled"), (StoppedByUser(), "stopped")]
)
def test_a_cut_answer_says_who_cut_it(world: World, error: Exception, reason: str):
    world.script("Hel", error)

    with pytest.raises(type(error)):
        list(stream(world))

    (answer,) = (message for message in world.begin.rows.messages.values() if message.role == "assistant")
    assert answer.finish_reason == reason


def test_an_answer_of_which_nothing_arrived_leaves_no_orphan(world: World):
    world.script(UpstreamReset())

    with pytest.raises(UpstreamReset):
        send(world)

    assert (world.texts(), world.session().message_count, world.session().title) == ([], 0, "")


def test_progress_carries_the_text_so_that_a_killed_worker_loses_little(world: World):
    tick = lambda: world.clock.advance(0.6)  # noqa: E731 - an act in a script
    world.script(tick, "One ", tick, "two ", "three ", tick, "four")

    list(stream(world))

    assert [report.text for report in world.journal.progressed] == ["One ", "two ", "three four"]


def test_a_client_that_left_does_not_wait_for_the_database(world: World):
    waits = []
    receipt = world.journal.settle

    def settle(record):
        found = receipt(record)
        return type("Receipt", (), {"wait_applied": lambda _, seconds: waits.append(seconds) or found.applied})()

    world.journal.settle = settle
    stream(world).close()
    assert waits == []
    send(world, "Again", "req_2")
    assert waits == [2.0]


def test_an_answer_is_given_although_the_database_is_down(world: World):
    world.script("Hello", lambda: setattr(world.begin, "down", DatabaseUnavailable()))

    assert send(world).content == "Hello"
    assert len(world.journal.settled) == 1


# ── who and what ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_foreign_session_does_not_exist(world: World):
    with pytest.raises(NotFound) as unknown:
        send(world, principal=a_principal(user_id="usr_2"))

    assert type(unknown.value) is NotFound
    assert (world.model.prompts, world.session().active_request_id) == ([], None)


def test_a_foreign_session_that_is_busy_does_not_exist_either(world: World):
    running = stream(world)

    with pytest.raises(NotFound):
        send(world, request_id="req_2", principal=a_principal(user_id="usr_2"))
    running.close()


@pytest.mark.parametrize(
    "principal", [a_principal(role=Role.VIEWER), a_principal(scopes=frozenset({Scope.USAGE_READ}))]
)
def test_a_key_without_the_right_to_chat_cannot(world: World, principal):
    with pytest.raises(Forbidden):
        send(world, principal=principal)


@pytest.mark.parametrize("model", [None, "acme/large"])
def test_a_model_outside_the_key_is_refused(world: World, model: str | None):
    with pytest.raises(ModelNotAllowed):
        send(world, model=model, principal=a_principal(models=("acme/small",)))

    assert world.session().active_request_id is None


def test_a_model_that_is_gone_is_unknown(world: World):
    world.configure(model="retired")

    with pytest.raises(UnknownModel):
        send(world)


# ── stop ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stopped_turn_ends_here_and_keeps_its_text(world: World):
    call = world.call(streamed=True)
    world.in_flight.enter("req_1", call.cancellation)
    parts = iter(world.chat.stream(a_principal(), ChatOrder("sess_1", "Hello"), call))
    next(parts)

    world.chat.stop(a_principal(), "req_1")

    with pytest.raises(StoppedByUser):
        next(parts)
    assert world.signals.published == []
    assert world.texts()[-1] == ("assistant", "Hel", "incomplete")


def test_a_turn_of_another_worker_is_stopped_through_the_signals(world: World):
    running = stream(world)

    world.chat.stop(a_principal(), "req_1")

    assert world.signals.published == ["req_1"]
    running.close()


@pytest.mark.parametrize(("user", "request_id"), [("usr_2", "req_1"), ("usr_1", "req_2")], ids=["foreign", "unknown"])
def test_what_is_not_the_callers_or_not_running_cannot_be_stopped(world: World, user: str, request_id: str):
    running = stream(world)

    with pytest.raises(NotFound):
        world.chat.stop(a_principal(user_id=user), request_id)
    running.close()


def test_a_turn_that_has_ended_cannot_be_stopped(world: World):
    send(world)

    with pytest.raises(NotFound):
        world.chat.stop(a_principal(), "req_1")


def test_a_whole_answer_with_reasoning_and_no_text_is_told_as_it_is(world: World):
    world.script(Completion("", "length", ScriptedModel.USAGE))

    answer = send(world)

    assert (answer.content, answer.finish_reason) == ("", "length")
    assert world.session().active_request_id is None

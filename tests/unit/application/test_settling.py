"""Whatever ends a generation, it is settled exactly once, with the right numbers."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from application.cancellation import Attempt
from application.completions import CompletionOrder
from application.facts import TurnSettled
from application.model_ports import Choice, Plan
from application.records import Settled
from application.stream import Stream
from domain.completion import Completion, Delta, ModelCard
from domain.errors import AccountingUnavailable, ClientGone, ServerShuttingDown, StoppedByUser
from domain.ledger import Kind, State
from domain.provider_errors import (
    ContentFiltered,
    ContextLengthExceeded,
    ProviderError,
    UpstreamRejected,
    UpstreamReset,
    UpstreamTotalTimeout,
    UpstreamTruncated,
)
from domain.tokens import METHOD
from domain.usage import Source, Usage
from tests.builders import a_deployment, a_principal
from tests.fakes import ScriptedModel, a_delta
from tests.world import World

MESSAGES = [{"role": "user", "content": "Hello"}]
PROMPT_TOKENS = 6
COUNTED = Usage(input=100, cached_input=20, output=7, reasoning=3, source=Source.PROVIDER)


def complete(world: World, model: str = "acme/large"):
    return world.completions.complete(a_principal(), CompletionOrder((model,), MESSAGES), world.call())


def stream(world: World, model: str = "acme/large", **call) -> Stream:
    call = world.call(streamed=True, **call)
    return world.completions.stream(a_principal(), CompletionOrder((model,), MESSAGES), call)


def drain(running: Stream) -> list:
    try:
        return list(running)
    finally:
        running.close()


def settled(world: World) -> Settled:
    """The one record there is; its rows are at most one attempt, and one final that says the same."""
    (record,) = world.journal.settled
    *attempts, final = record.entries
    assert (final.kind, final.attempt) == (Kind.FINAL, 0)
    assert [(it.kind, it.attempt) for it in attempts] in ([], [(Kind.ATTEMPT, 1)])
    assert all((it.usage, it.state, it.cost) == (final.usage, final.state, final.cost) for it in attempts)
    assert [it.charged for it in (*attempts, final)][-2:] in ([None, final.cost], [final.cost])
    assert len(world.record.of(TurnSettled)) == 1
    return record


# ── good endings ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_costs_what_the_provider_counted():
    world = World(ScriptedModel("Hello", Completion("", "stop", COUNTED)))

    answer = complete(world)

    final = settled(world).entries[-1]
    assert (final.usage, final.state, final.cost) == (COUNTED, State.COMPLETED, 100 + 20 + 2 * 10)
    assert (final.estimate_method, final.error_code, final.price_version) == (None, None, "v1")
    assert (answer.usage, answer.cost, answer.completion.text) == (COUNTED, 140, "Hello")


def test_a_stream_costs_what_the_same_answer_costs_in_one_piece():
    waiting = World(ScriptedModel("Hel", "lo", Completion("", "stop", COUNTED)))
    streaming = World(ScriptedModel("Hel", "lo", Completion("", "stop", COUNTED)))

    whole = complete(waiting)
    *_, closing = drain(stream(streaming))

    assert (whole.usage, whole.cost) == (closing.usage, closing.cost)
    assert settled(waiting).entries[-1].usage == settled(streaming).entries[-1].usage


@pytest.mark.parametrize("run", [complete, lambda world: drain(stream(world))], ids=["whole", "stream"])
def test_missing_usage_is_estimated_and_says_so(run: Callable[[World], object]):
    world = World(ScriptedModel("abcd" * 25, Completion("", "stop", None)))

    run(world)

    final = settled(world).entries[-1]
    assert final.usage == Usage(input=PROMPT_TOKENS, output=26, source=Source.ESTIMATED)
    assert (final.state, final.estimate_method, final.cost) == (State.COMPLETED, METHOD, PROMPT_TOKENS + 52)


def test_an_answer_in_two_pieces_tells_the_count_that_is_charged():
    cut = a_deployment(ScriptedModel("Once", UpstreamReset()), "acme/large")
    able = a_deployment(ScriptedModel(" upon", Completion("", "stop", COUNTED)), "acme/able")
    able = replace(able, card=ModelCard("able", capabilities=("chat", "stream", "prefill")))
    world = World(None, cut, able)
    world.models.named["careful"] = Plan("careful", (Choice(cut), Choice(able, 1)), continues=True)

    *_, answer = drain(stream(world, model="careful"))

    (record,) = world.journal.settled
    final = record.entries[-1]
    assert [entry.kind for entry in record.entries] == [Kind.ATTEMPT, Kind.ATTEMPT, Kind.FINAL]
    assert (answer.usage, answer.cost) == (final.usage, final.charged)
    assert answer.usage.prompt_tokens == PROMPT_TOKENS


@pytest.mark.parametrize("run", [complete, lambda world: drain(stream(world))], ids=["whole", "stream"])
def test_an_empty_answer_that_nobody_counted_costs_nothing(run: Callable[[World], object]):
    world = World(ScriptedModel(Completion("", "stop", None)))

    run(world)

    final = settled(world).entries[-1]
    assert (final.usage, final.state, final.cost) == (Usage(), State.COMPLETED, 0)


@pytest.mark.parametrize("run", [complete, lambda world: drain(stream(world))], ids=["whole", "stream"])
def test_an_explicit_zero_stays_zero(run: Callable[[World], object]):
    world = World(ScriptedModel("Hello", Completion("", "stop", Usage(source=Source.PROVIDER))))

    run(world)

    final = settled(world).entries[-1]
    assert (final.usage.total_tokens, final.usage.source, final.cost) == (0, Source.PROVIDER, 0)


def test_an_unknown_price_is_no_price_and_never_zero():
    world = World(None, a_deployment(ScriptedModel("Hi"), "acme/new"))

    answer = complete(world, "acme/new")

    final = settled(world).entries[-1]
    assert (answer.cost, final.cost, final.charged) == (None, None, None)
    assert world.record.of(TurnSettled)[0].cost is None


def test_hidden_output_is_estimated_as_well():
    call = {"index": 0, "function": {"arguments": '{"city": "Rome"}'}}
    hidden = [
        Delta([], reasoning="a" * 40),
        Delta([{"index": 0, "delta": {"tool_calls": [call, {"index": 0}, None]}}]),
        Delta([{"index": 1, "delta": {"content": "b" * 40}}, {"index": 1, "delta": None}]),
    ]
    world = World(ScriptedModel(*hidden, Completion("", "tool_calls", None)))

    drain(stream(world))

    assert settled(world).entries[-1].usage.output == (40 + 16 + 40) // 4 + 1


@pytest.mark.parametrize(
    "said",
    [
        {"tool_calls": [{"index": 0, "type": "custom", "custom": {"input": "a" * 40}}]},
        {"function_call": {"arguments": "a" * 40}},
        {"audio": {"transcript": "a" * 40}},
    ],
    ids=str,
)
def test_whatever_form_an_answer_has_its_client_does_not_get_it_for_nothing(said: dict):
    world = World(ScriptedModel(Delta([{"index": 0, "delta": said}]), "never read"))
    running = stream(world)

    next(iter(running))
    running.close()

    final = settled(world).entries[-1]
    assert (final.state, final.usage.output, final.charged) == (State.PARTIAL, 11, PROMPT_TOKENS + 2 * 11)


def test_all_that_is_said_at_once_is_estimated():
    called = {"content": "a" * 40, "tool_calls": [{"index": 0, "function": {"arguments": "b" * 40}}]}
    thoughts = [{"index": at, "delta": {"reasoning_content": "c" * 40}} for at in range(2)]
    spoken = [Delta([{"index": 0, "delta": called}], text="a" * 40), Delta(thoughts, reasoning="c" * 40)]
    world = World(ScriptedModel(*spoken, Completion("", "stop", None)))

    drain(stream(world))

    assert settled(world).entries[-1].usage.output == 4 * 40 // 4 + 1


@pytest.mark.parametrize("call", [{"function": {"name": "now", "arguments": ""}}, {"custom": {"name": "now"}}], ids=str)
def test_a_call_of_a_tool_without_arguments_is_no_empty_answer(call: dict):
    delta = Delta([{"index": 0, "delta": {"tool_calls": [{"index": 0, **call}]}}])
    world = World(ScriptedModel(delta, Completion("", "tool_calls", None)))

    drain(stream(world))

    assert settled(world).entries[-1].usage == Usage(input=PROMPT_TOKENS, output=1, source=Source.ESTIMATED)


def test_time_is_measured_from_the_open_to_the_end():
    world = World()
    world.script(lambda: world.clock.advance(0.25), "Hel", lambda: world.clock.advance(0.5), "lo")

    *_, answer = drain(stream(world))

    final = settled(world).entries[-1]
    assert (final.first_token_ms, final.duration_ms, answer.upstream_ms) == (250, 750, 750)
    fact = world.record.of(TurnSettled)[0]
    assert (fact.first_token_seconds, fact.seconds, fact.outcome, fact.streamed) == (0.25, 0.75, "ok", True)


def test_retries_are_rows_of_their_own_and_cost_nothing():
    world = World()
    call = world.call()
    call.cancellation.attempts = [Attempt("acme", "acme/large", 0.0, 0.0, "upstream_reset") for _ in range(2)]

    answer = world.completions.complete(a_principal(), CompletionOrder(("acme/large",), MESSAGES), call)

    (record,) = world.journal.settled
    rows = [(row.kind, row.attempt, row.state, row.cost, row.charged) for row in record.entries]
    assert rows == [
        (Kind.ATTEMPT, 1, State.FAILED, 0, None),
        (Kind.ATTEMPT, 2, State.FAILED, 0, None),
        (Kind.ATTEMPT, 3, State.COMPLETED, 18, None),
        (Kind.FINAL, 0, State.COMPLETED, 18, 18),
    ]
    assert answer.attempts == 3


def test_a_refusal_before_any_dial_is_no_attempt():
    world = World(ScriptedModel(UpstreamReset()))
    world.model.dials = False

    with pytest.raises(UpstreamReset):
        complete(world)

    (final,) = world.journal.settled[0].entries
    assert (final.attempt, final.model_used, final.state, final.cost) == (0, "acme/large", State.FAILED, 0)


# ── bad endings ──────────────────────────────────────────────────────────────────────────────────────────────────

BEFORE = [UpstreamReset(), ContextLengthExceeded(), ClientGone(), StoppedByUser(), ServerShuttingDown()]


@pytest.mark.parametrize("error", BEFORE, ids=lambda error: error.code)
@pytest.mark.parametrize("run", [complete, stream], ids=["whole", "stream"])
def test_nothing_heard_costs_nothing(run: Callable[[World], object], error: Exception):
    world = World(ScriptedModel(error))

    with pytest.raises(type(error)):
        run(world)

    record = settled(world)
    final = record.entries[-1]
    assert (final.state, final.usage, final.cost, final.charged) == (State.FAILED, Usage(), 0, 0)
    assert (final.error_code, record.complete) == (error.code, False)


@pytest.mark.parametrize("call", [complete, lambda world: drain(stream(world))], ids=["whole", "streamed"])
def test_an_error_of_the_provider_names_the_provider(call: Callable[[World], object]):
    with pytest.raises(UpstreamReset) as caught:
        call(World(ScriptedModel(UpstreamReset())))

    assert caught.value.provider == "acme"


@pytest.mark.parametrize("error", [UpstreamReset(), ClientGone(), StoppedByUser()], ids=lambda error: error.code)
def test_what_was_heard_before_the_cut_is_billed(error: Exception):
    world = World(ScriptedModel("abcd" * 10, error))

    running = stream(world)
    with pytest.raises(type(error)):
        drain(running)

    record = settled(world)
    final = record.entries[-1]
    assert (final.state, final.error_code, record.complete) == (State.PARTIAL, error.code, False)
    assert final.usage == Usage(input=PROMPT_TOKENS, output=11, source=Source.ESTIMATED)
    assert final.cost == final.charged == PROMPT_TOKENS + 22


def test_a_client_that_leaves_in_the_middle_pays_for_what_arrived():
    world = World(ScriptedModel("abcd", "efgh"))
    running = stream(world)

    next(iter(running))
    running.close()

    final = settled(world).entries[-1]
    assert (final.state, final.error_code, final.usage.output) == (State.PARTIAL, "client_gone", 2)
    assert world.model.closed == 1


def test_a_client_that_leaves_before_the_first_read_leaves_nothing_open():
    world = World(ScriptedModel("abcd", "efgh"))

    stream(world).close()

    final = settled(world).entries[-1]
    assert final.error_code == "client_gone"
    assert world.model.closed == 1


def test_what_arrived_at_the_gate_is_billed_although_nobody_read_it():
    world = World(ScriptedModel("abcd" * 10, "more"))

    stream(world).close()

    final = settled(world).entries[-1]
    assert (final.state, final.usage.output) == (State.PARTIAL, 11)


def test_a_stream_that_was_dropped_and_not_closed_is_settled_when_it_is_collected():
    world = World(ScriptedModel("abcd", "efgh"))
    running = iter(stream(world))
    next(running)

    running.close()

    assert settled(world).entries[-1].state is State.PARTIAL


@pytest.mark.parametrize("reads", [0, 1, 2, 3])
def test_closing_twice_settles_once(reads: int):
    world = World(ScriptedModel("abcd", "efgh"))
    running = stream(world)
    parts = iter(running)
    for _ in range(reads):
        next(parts)

    running.close()
    running.close()

    assert settled(world).complete is (reads == 3)


def test_a_cancelled_wait_ends_with_the_reason_of_the_canceller():
    world = World(ScriptedModel("abcd", "efgh"))
    call = world.call(streamed=True)
    running = world.completions.stream(a_principal(), CompletionOrder(("acme/large",), MESSAGES), call)

    parts = iter(running)
    next(parts)
    call.cancellation.cancel(StoppedByUser())
    with pytest.raises(StoppedByUser):
        next(parts)

    assert settled(world).finish_reason == "stopped"


def test_an_answer_that_takes_too_long_is_cut_by_the_clock():
    world = World()
    world.script("abcd", lambda: world.clock.advance(601), "efgh")

    with pytest.raises(UpstreamTotalTimeout):
        drain(stream(world))

    assert settled(world).entries[-1].error_code == "upstream_total_timeout"


def test_a_crash_of_ours_is_settled_before_it_goes_on():
    world = World(ScriptedModel("abcd", RuntimeError("a defect")))

    with pytest.raises(RuntimeError):
        drain(stream(world))

    assert settled(world).entries[-1].state is State.PARTIAL


class Eager(ScriptedModel):
    """Fails when it is called instead of when it is read."""

    def stream(self, prompt, cancellation):
        raise UpstreamReset


class Silent(ScriptedModel):
    """Ends without a closing."""

    def stream(self, prompt, cancellation):
        return iter([[a_delta("abcd")]])


class Mute(ScriptedModel):
    """Ends before anything."""

    def stream(self, prompt, cancellation):
        return iter([])


def test_a_model_that_fails_at_once_is_settled_too():
    world = World(Eager())

    with pytest.raises(UpstreamReset):
        stream(world)

    assert settled(world).entries[-1].error_code == "upstream_reset"


@pytest.mark.parametrize(("model", "state"), [(Silent(), State.PARTIAL), (Mute(), State.FAILED)], ids=["late", "early"])
def test_an_end_without_a_closing_is_a_truncated_answer(model: ScriptedModel, state: State):
    world = World(model)

    with pytest.raises(UpstreamTruncated):
        drain(stream(world))

    assert settled(world).entries[-1].state is state


# ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("run", [complete, stream], ids=["whole", "stream"])
def test_what_cannot_be_recorded_is_not_dialled(run: Callable[[World], object]):
    world = World()
    world.journal.refuse = AccountingUnavailable()

    with pytest.raises(AccountingUnavailable):
        run(world)

    assert world.model.prompts == []
    assert world.record.facts == []


@pytest.mark.parametrize("run", [complete, lambda world: drain(stream(world))], ids=["whole", "stream"])
def test_an_answer_that_cannot_be_settled_is_not_handed_out(run: Callable[[World], object]):
    world = World()
    refuse = lambda: setattr(world.journal, "refuse", AccountingUnavailable())  # noqa: E731 - an act in a script
    world.script("Hello", refuse)

    with pytest.raises(AccountingUnavailable):
        run(world)

    assert len(world.journal.opened) == 1
    assert world.journal.settled == []


def test_the_open_record_says_everything_that_a_reaper_needs():
    world = World()

    complete(world)

    (opened,) = world.journal.opened
    assert (opened.request_id, opened.user_id, opened.key_id) == ("req_1", "usr_1", "key_1")
    assert (opened.model_requested, opened.model, opened.provider) == ("acme/large", "acme/large", "acme")
    assert (opened.prompt_tokens, opened.price_version, opened.streamed) == (PROMPT_TOKENS, "v1", False)
    assert opened.turn is None


def test_progress_is_reported_at_most_every_half_second():
    world = World()
    times = []
    tick = lambda: world.clock.advance(0.2)  # noqa: E731 - an act in a script
    parts = [part for _ in range(10) for part in (tick, "abcd")]
    world.script(*parts)
    world.journal.on_progress = lambda: times.append(world.clock.monotonic())

    drain(stream(world))

    reports = world.journal.progressed
    assert [report.output_tokens for report in reports] == [4, 7, 10]
    assert all(later - earlier >= 0.5 for earlier, later in pairwise([1_000.0, *times]))
    assert {report.text for report in reports} == {""}, "the text of a stateless answer is nobody's business"


def test_a_fast_stream_reports_no_progress_at_all():
    world = World(ScriptedModel(*["abcd"] * 100))

    drain(stream(world))

    assert world.journal.progressed == []


# ── defects on the way to the settlement ─────────────────────────────────────────────────────────────────────────


class OddAnswer(ScriptedModel):
    """Whole answers have what the provider wrote into its choices beside the text."""

    def __init__(self, *choices: object) -> None:
        super().__init__("abcd", Completion("", "stop", None))
        self.choices = choices

    def complete(self, prompt, cancellation):
        answer = super().complete(prompt, cancellation)
        answer.choices += self.choices
        return answer


@pytest.mark.parametrize(
    "message",
    [
        "text",
        None,
        {"tool_calls": "none"},
        {"tool_calls": {"id": 1}},
        {"tool_calls": ["call"]},
        {"tool_calls": [{"function": "f"}]},
    ],
    ids=str,
)
def test_an_answer_of_an_odd_shape_is_settled_like_any_other(message: object):
    world = World(OddAnswer({"index": 1, "message": message}))

    complete(world)

    assert settled(world).entries[-1].usage == Usage(input=PROMPT_TOKENS, output=2, source=Source.ESTIMATED)


def test_a_defect_after_the_answer_still_settles_the_call():
    world = World(OddAnswer(None))

    with pytest.raises(AttributeError):
        complete(world)

    final = settled(world).entries[-1]
    assert (final.state, final.error_code) == (State.FAILED, "internal_error")


def test_an_answer_without_a_session_is_not_kept():
    world = World(ScriptedModel("a secret"))

    complete(world)

    assert settled(world).answer == ""


# ── what the provider had counted when the stream was cut ────────────────────────────────────────────────────────


def cut_after_counting(usage: Usage) -> Settled:
    def count() -> None:
        world.model.cancellations[0].counted = usage

    world = World(ScriptedModel("abcd" * 10, count, UpstreamReset()))
    with pytest.raises(UpstreamReset):
        drain(stream(world))
    return settled(world)


def test_a_cut_stream_costs_what_the_provider_had_counted():
    final = cut_after_counting(COUNTED).entries[-1]

    assert (final.usage, final.state, final.estimate_method) == (COUNTED, State.PARTIAL, None)


def test_a_count_that_denies_the_output_is_not_believed():
    final = cut_after_counting(Usage(source=Source.PROVIDER)).entries[-1]

    assert final.usage == Usage(input=PROMPT_TOKENS, output=11, source=Source.ESTIMATED)


@pytest.mark.parametrize(
    ("error", "usage", "charged"),
    [(ContentFiltered(), Usage(input=100, source=Source.PROVIDER), 100), (UpstreamRejected(), Usage(), 0)],
    ids=["blocked", "rejected"],
)
def test_a_prompt_that_was_counted_and_blocked_is_paid_and_one_that_was_refused_is_not(
    error: ProviderError, usage: Usage, charged: int
):
    def count() -> None:
        world.model.cancellations[0].counted = Usage(input=100, source=Source.PROVIDER)

    world = World(ScriptedModel(count, error))
    with pytest.raises(type(error)):
        drain(stream(world))

    final = settled(world).entries[-1]
    assert (final.usage, final.charged) == (usage, charged)

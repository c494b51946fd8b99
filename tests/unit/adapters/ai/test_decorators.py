from collections.abc import Callable

import gevent
import pytest

from adapters.ai.decorators import Observed, Retrying, pause
from adapters.ai.echo import EchoModel
from adapters.ai.retries import RetryBudget
from application.cancellation import Cancellation
from application.facts import ModelCalled
from domain import errors, provider_errors
from domain.completion import Completion, Prompt
from tests.fakes import FrozenClock, RecordingRecorder, ScriptedModel

PROMPT = Prompt("large", [{"role": "user", "content": "hi"}])
RETRYABLE = [
    provider_errors.UpstreamUnreachable,
    provider_errors.UpstreamReset,
    provider_errors.UpstreamConnectTimeout,
    provider_errors.UpstreamRateLimited,
    provider_errors.UpstreamOverloaded,
    provider_errors.UpstreamFailed,
    provider_errors.UpstreamBadJson,
]
FINAL = [
    provider_errors.UpstreamRejected,
    provider_errors.ContextLengthExceeded,
    provider_errors.ContentFiltered,
    provider_errors.UpstreamAuth,
    provider_errors.UpstreamTimeout,
    provider_errors.UpstreamTls,
    provider_errors.UpstreamRedirect,
    errors.ClientGone,
]


class Waits:
    """Remembers how long it was asked to wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float, cancellation: Cancellation) -> None:
        self.seconds.append(seconds)


def a_cancellation(seconds: float = 60, clock: FrozenClock | None = None) -> Cancellation:
    return Cancellation(seconds, (clock or FrozenClock()).monotonic)


def ask(model: Retrying | Observed, *, streamed: bool, cancellation: Cancellation | None = None) -> str:
    cancellation = cancellation or a_cancellation()
    if not streamed:
        return model.complete(PROMPT, cancellation).text
    *parts, last = model.stream(PROMPT, cancellation)
    assert isinstance(last, Completion)
    return "".join(delta.text for part in parts for delta in part)


def retrying(inner: ScriptedModel, wait: Callable[[float, Cancellation], None] | None = None) -> Retrying:
    return Retrying(inner, RetryBudget(), wait or Waits())


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("error", RETRYABLE)
def test_a_failure_that_may_pass_is_tried_once_more(error, streamed):
    model = ScriptedModel(error()).then("pong")

    assert ask(retrying(model), streamed=streamed) == "pong"
    assert len(model.prompts) == 2


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("error", FINAL)
def test_a_failure_that_will_not_pass_is_not_tried_again(error, streamed):
    model = ScriptedModel(error()).then("pong")

    with pytest.raises(error):
        ask(retrying(model), streamed=streamed)
    assert len(model.prompts) == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_the_second_failure_is_the_answer(streamed):
    model = ScriptedModel(provider_errors.UpstreamReset()).then(provider_errors.UpstreamFailed()).then("pong")

    with pytest.raises(provider_errors.UpstreamFailed):
        ask(retrying(model), streamed=streamed)
    assert len(model.prompts) == 2


def test_nothing_is_tried_again_once_something_was_heard():
    model = ScriptedModel("po", provider_errors.UpstreamReset()).then("pong")
    parts = retrying(model).stream(PROMPT, a_cancellation())

    assert next(parts)[0].text == "po"
    with pytest.raises(provider_errors.UpstreamReset):
        next(parts)
    assert len(model.prompts) == 1


def test_a_heartbeat_is_not_something_heard():
    model = ScriptedModel([], provider_errors.UpstreamReset()).then("pong")

    assert ask(retrying(model), streamed=True) == "pong"


@pytest.mark.parametrize(("asked", "tries"), [(1, 2), (2, 2), (3, 1), (120, 1)])
def test_a_short_retry_after_is_waited_out_and_a_long_one_ends_it(asked, tries):
    model = ScriptedModel(provider_errors.UpstreamRateLimited(retry_after=asked))
    waits = Waits()

    with pytest.raises(provider_errors.UpstreamRateLimited):
        ask(retrying(model, waits), streamed=False)
    assert len(model.prompts) == tries
    assert waits.seconds == [asked] * (tries - 1)


def test_the_pause_is_short_and_not_always_the_same():
    waits = Waits()
    for _ in range(20):
        ask(retrying(ScriptedModel(provider_errors.UpstreamReset()).then("pong"), waits), streamed=False)

    assert all(0.1 <= seconds <= 0.3 for seconds in waits.seconds)
    assert len(set(waits.seconds)) > 1


def test_there_is_no_second_try_beyond_the_deadline():
    model = ScriptedModel(provider_errors.UpstreamRateLimited(retry_after=2))

    with pytest.raises(provider_errors.UpstreamRateLimited):
        ask(retrying(model), streamed=False, cancellation=a_cancellation(seconds=1.5))
    assert len(model.prompts) == 1


def test_a_provider_that_is_down_gets_little_more_load():
    model = ScriptedModel(provider_errors.UpstreamOverloaded())
    chat = Retrying(model, RetryBudget(), pause)

    def one() -> None:
        with pytest.raises(provider_errors.UpstreamOverloaded):
            chat.complete(PROMPT, a_cancellation())

    gevent.joinall([gevent.spawn(one) for _ in range(50)], raise_error=True)

    assert len(model.prompts) <= 62


def test_a_pause_ends_with_the_cancellation():
    cancellation = Cancellation(60, FrozenClock().monotonic)
    gevent.spawn_later(0.01, cancellation.cancel, errors.ClientGone())

    with gevent.Timeout(2), pytest.raises(errors.ClientGone):
        pause(30, cancellation)


@pytest.mark.parametrize("streamed", [False, True])
def test_every_attempt_is_recorded(streamed):
    recorder, clock, cancellation = RecordingRecorder(), FrozenClock(), a_cancellation()
    model = ScriptedModel(provider_errors.UpstreamReset()).then(
        lambda: clock.advance(2), "po", lambda: clock.advance(1), "ng"
    )
    observed = Observed(model, "acme", recorder, clock.monotonic)

    assert ask(Retrying(observed, RetryBudget(), Waits()), streamed=streamed, cancellation=cancellation) == "pong"
    assert recorder.facts == [
        ModelCalled("acme", "acme/large", "upstream_reset", 0, None),
        ModelCalled("acme", "acme/large", "ok", 3, 2 if streamed else None),
    ]


@pytest.mark.parametrize("streamed", [False, True])
def test_every_attempt_is_counted_on_the_cancellation(streamed):
    cancellation = a_cancellation()
    observed = Observed(EchoModel(), "acme", RecordingRecorder(), FrozenClock().monotonic)
    ask(observed, streamed=streamed, cancellation=cancellation)
    ask(observed, streamed=streamed, cancellation=cancellation)

    assert cancellation.attempts == 2


def test_a_stream_that_its_reader_leaves_is_recorded_with_the_reason():
    recorder, cancellation = RecordingRecorder(), a_cancellation()
    model = ScriptedModel("po", "ng")
    parts = Observed(model, "acme", recorder, FrozenClock().monotonic).stream(PROMPT, cancellation)
    next(parts)
    cancellation.cancel(errors.StoppedByUser())
    parts.close()

    assert [fact.outcome for fact in recorder.of(ModelCalled)] == ["stopped"]
    assert model.closed == 1


def test_a_stream_that_is_closed_after_its_end_was_a_good_one():
    recorder = RecordingRecorder()
    parts = Observed(ScriptedModel("pong"), "acme", recorder, FrozenClock().monotonic).stream(PROMPT, a_cancellation())
    while not isinstance(next(parts), Completion):
        pass
    parts.close()

    assert [fact.outcome for fact in recorder.of(ModelCalled)] == ["ok"]


def test_closing_a_retried_stream_closes_the_one_inside():
    model = ScriptedModel("po", "ng")
    parts = retrying(model).stream(PROMPT, a_cancellation())
    next(parts)
    parts.close()

    assert model.closed == 1

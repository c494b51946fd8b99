from contextlib import suppress
from time import monotonic

import gevent
import pytest

from adapters.ai.decorators import Observed, pause
from application.cancellation import Cancellation
from application.facts import ModelCalled
from domain import errors, provider_errors
from domain.completion import Completion, Prompt
from tests.fakes import FrozenClock, RecordingRecorder, ScriptedModel

PROMPT = Prompt("large", [{"role": "user", "content": "hi"}])


class Scene:
    def __init__(self) -> None:
        self.clock, self.record = FrozenClock(), RecordingRecorder()
        self.cancellation = Cancellation(60, self.clock.monotonic)
        self.observed = Observed("acme", self.record, self.clock.monotonic)

    def ask(self, model: ScriptedModel, *, streamed: bool) -> str:
        model.dials = False
        if not streamed:
            ask = lambda: model.complete(PROMPT, self.cancellation)  # noqa: E731 - as its callers write it
            return self.observed.whole("large", ask, self.cancellation).text
        *parts, last = self.stream(model)
        assert isinstance(last, Completion)
        return "".join(delta.text for part in parts for delta in part)

    def stream(self, model: ScriptedModel):
        model.dials = False
        return self.observed.stream("large", model.stream(PROMPT, self.cancellation), self.cancellation)

    def outcomes(self) -> list[str]:
        return [fact.outcome for fact in self.record.of(ModelCalled)]


both = pytest.mark.parametrize("streamed", [False, True])


@both
def test_every_attempt_is_recorded(streamed):
    scene = Scene()
    model = ScriptedModel(provider_errors.UpstreamReset()).then(
        lambda: scene.clock.advance(2), "po", lambda: scene.clock.advance(1), "ng"
    )

    with pytest.raises(provider_errors.UpstreamReset):
        scene.ask(model, streamed=streamed)
    assert scene.ask(model, streamed=streamed) == "pong"
    assert scene.record.facts == [
        ModelCalled("acme", "acme/large", "upstream_reset", 0, None),
        ModelCalled("acme", "acme/large", "ok", 3, 2 if streamed else None),
    ]


@both
def test_every_attempt_is_noted_on_the_cancellation_with_its_times_and_its_end(streamed):
    scene = Scene()
    model = ScriptedModel(provider_errors.UpstreamReset()).then(lambda: scene.clock.advance(2), "pong")
    with pytest.raises(provider_errors.UpstreamReset):
        scene.ask(model, streamed=streamed)
    scene.ask(model, streamed=streamed)

    first, second = scene.cancellation.attempts
    assert (first.provider, first.model, first.code) == ("acme", "acme/large", "upstream_reset")
    assert (second.started, second.ended, second.code) == (1_000, 1_002, "")


def test_an_attempt_is_noted_before_it_ends():
    scene = Scene()
    parts = scene.stream(ScriptedModel("po", "ng"))
    next(parts)

    assert [attempt.ended for attempt in scene.cancellation.attempts] == [None]


@pytest.mark.parametrize(
    ("reason", "outcome"), [(errors.StoppedByUser(), "stopped"), (None, "cancelled")], ids=["stopped", "left"]
)
def test_a_stream_that_its_reader_leaves_is_recorded_with_the_reason(reason, outcome):
    scene, model = Scene(), ScriptedModel("po", "ng")
    parts = scene.stream(model)
    next(parts)
    if reason is not None:
        scene.cancellation.cancel(reason)
    parts.close()

    assert scene.outcomes() == [outcome]
    assert model.closed == 1


def test_a_stream_that_is_closed_after_its_end_was_a_good_one():
    scene = Scene()
    parts = scene.stream(ScriptedModel("pong"))
    while not isinstance(next(parts), Completion):
        pass
    parts.close()

    assert scene.outcomes() == ["ok"]


@both
def test_a_defect_of_our_own_is_called_that(streamed):
    scene = Scene()
    with pytest.raises(ZeroDivisionError):
        scene.ask(ScriptedModel(ZeroDivisionError()), streamed=streamed)

    assert scene.outcomes() == ["internal_error"]


def test_a_pause_ends_with_the_cancellation():
    cancellation = Cancellation(60, FrozenClock().monotonic)
    gevent.spawn_later(0.01, cancellation.cancel, errors.ClientGone())

    with gevent.Timeout(2), pytest.raises(errors.ClientGone):
        pause(30, cancellation)


def test_a_pause_ends_with_the_time_that_a_call_has():
    with gevent.Timeout(2), suppress(provider_errors.UpstreamTotalTimeout):  # a timer may be a little early
        pause(30, Cancellation(0.05, monotonic))

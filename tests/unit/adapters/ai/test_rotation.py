"""The one retry layer."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gevent
import pytest

from adapters.ai.breakers import Breaking
from adapters.ai.credentials import Credential, Credentials
from adapters.ai.decorators import Observed
from adapters.ai.retries import RetryBudget
from adapters.ai.rotation import RotatingChat, RotatingEmbedder, RotatingImages, Rotation
from application.cancellation import Cancellation
from domain import errors, provider_errors
from domain.completion import Completion, Prompt
from domain.embedding import EmbeddingPrompt, Embeddings
from domain.errors import CircuitOpen
from domain.image import ImagePrompt, Images
from domain.provider_errors import UpstreamAuth, UpstreamFailed, UpstreamOverloaded, UpstreamRateLimited, UpstreamReset
from domain.usage import Usage
from tests.fakes import FrozenClock, RecordingRecorder, ScriptedModel

PROMPT = Prompt("large", [{"role": "user", "content": "hi"}])
RETRYABLE = [
    provider_errors.UpstreamUnreachable,
    provider_errors.UpstreamReset,
    provider_errors.UpstreamConnectTimeout,
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
both = pytest.mark.parametrize("streamed", [False, True])


class Scene:
    """A provider with one client for each script, each on a credential of its own."""

    def __init__(
        self,
        *models: ScriptedModel,
        extra: int = 1,
        budget: RetryBudget | None = None,
        weights: tuple[int, ...] = (),
    ) -> None:
        self.clock, self.record = FrozenClock(), RecordingRecorder()
        self.models = models
        self.waits: list[float] = []
        for model in models:
            model.dials = False
        given = [Credential(f"sk-{number}", weight) for number, weight in enumerate(weights or (1,) * len(models))]
        self.credentials = Credentials("acme", given, Breaking(), self.clock.monotonic, self.record)
        observed = Observed("acme", self.record, self.clock.monotonic)
        self.rotation = Rotation(self.credentials, observed, budget or RetryBudget(), extra, self._wait)
        self.chat = RotatingChat(self.rotation, models)
        self.cancellation = self.a_cancellation()

    def a_cancellation(self, seconds: float = 60) -> Cancellation:
        return Cancellation(seconds, self.clock.monotonic)

    def ask(self, *, streamed: bool = False, cancellation: Cancellation | None = None) -> str:
        cancellation = cancellation or self.cancellation
        if not streamed:
            return self.chat.complete(PROMPT, cancellation).text
        *parts, last = self.chat.stream(PROMPT, cancellation)
        assert isinstance(last, Completion)
        return "".join(delta.text for part in parts for delta in part)

    def asked(self) -> list[int]:
        return [len(model.prompts) for model in self.models]

    def _wait(self, seconds: float, cancellation: Cancellation) -> None:
        self.waits.append(seconds)
        self.clock.advance(seconds)


def refused(scene: Scene, kind: type[errors.ParleyError], *, streamed: bool = False) -> errors.ParleyError:
    with pytest.raises(kind) as caught:
        scene.ask(streamed=streamed)
    return caught.value


@both
def test_prompts_of_the_same_affinity_go_with_the_same_credential(streamed):
    scene = Scene(*(ScriptedModel("pong") for _ in range(3)))
    prompt = replace(PROMPT, affinity="sess_1")
    for _ in range(6):
        if streamed:
            list(scene.chat.stream(prompt, scene.cancellation))
        else:
            scene.chat.complete(prompt, scene.cancellation)

    assert sorted(scene.asked()) == [0, 0, 6]


# ── failures of the provider ─────────────────────────────────────────────────────────────────────────────────────


@both
@pytest.mark.parametrize("error", RETRYABLE)
def test_a_failure_that_may_pass_is_tried_once_more(error, streamed):
    scene = Scene(ScriptedModel(error()).then("pong"))

    assert scene.ask(streamed=streamed) == "pong"
    assert scene.asked() == [2]


@both
@pytest.mark.parametrize("error", FINAL)
def test_a_failure_that_will_not_pass_is_not_tried_again(error, streamed):
    scene = Scene(ScriptedModel(error()).then("pong"))

    refused(scene, error, streamed=streamed)
    assert scene.asked() == [1]


@both
def test_the_second_failure_is_the_answer(streamed):
    scene = Scene(ScriptedModel(UpstreamReset()).then(UpstreamFailed()).then("pong"))

    refused(scene, UpstreamFailed, streamed=streamed)
    assert scene.asked() == [2]


def test_without_further_tries_there_are_none():
    scene = Scene(ScriptedModel(UpstreamReset()).then("pong"), extra=0)

    refused(scene, UpstreamReset)
    assert scene.asked() == [1]


@both
def test_the_second_try_takes_another_credential_where_there_is_one(streamed):
    scene = Scene(ScriptedModel(UpstreamFailed()), ScriptedModel("pong"), weights=(9, 1))

    assert scene.ask(streamed=streamed) == "pong"
    assert scene.asked() == [1, 1]


def test_nothing_is_tried_again_once_something_was_heard():
    scene = Scene(ScriptedModel("po", UpstreamReset()).then("pong"))
    parts = scene.chat.stream(PROMPT, scene.cancellation)

    assert next(parts)[0].text == "po"
    with pytest.raises(UpstreamReset):
        next(parts)
    assert scene.asked() == [1]


def test_a_heartbeat_is_not_something_heard():
    assert Scene(ScriptedModel([], UpstreamReset()).then("pong")).ask(streamed=True) == "pong"


def test_silence_is_never_asked_for_twice_not_even_with_another_credential():
    scene = Scene(ScriptedModel(provider_errors.UpstreamTimeout()), ScriptedModel("pong"))

    refused(scene, provider_errors.UpstreamTimeout)
    assert scene.asked() == [1, 0]


def test_what_is_paid_for_in_part_is_not_asked_for_again():
    scene = Scene(ScriptedModel(UpstreamReset()).then("pong"))
    scene.cancellation.counted = Usage(input=100)

    refused(scene, UpstreamReset)
    assert scene.asked() == [1]


def test_nothing_is_asked_again_for_a_client_who_has_left():
    scene = Scene(ScriptedModel(UpstreamReset()).then("pong"))
    scene.cancellation.drains = True
    scene.cancellation.cancel(errors.ClientGone())

    refused(scene, UpstreamReset)
    assert scene.asked() == [1]


def test_the_pause_is_short_and_not_always_the_same():
    scene = Scene(ScriptedModel())
    for _ in range(20):
        scene.models[0].play(UpstreamReset())
        scene.models[0].then("pong")
        scene.ask()

    assert all(0.1 <= seconds <= 0.3 for seconds in scene.waits)
    assert len(set(scene.waits)) > 1


def test_there_is_no_second_try_beyond_the_deadline():
    scene = Scene(ScriptedModel(UpstreamOverloaded(retry_after=2)))

    with pytest.raises(UpstreamOverloaded):
        scene.ask(cancellation=scene.a_cancellation(seconds=1.5))
    assert scene.asked() == [1]


# ── Retry-After ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [UpstreamRateLimited, UpstreamOverloaded])
@pytest.mark.parametrize(("asked", "tries"), [(1, 2), (2, 2), (3, 1), (120, 1)])
def test_a_short_retry_after_is_waited_out_once_and_a_long_one_ends_it(error, asked, tries):
    scene = Scene(ScriptedModel(error(retry_after=asked)))

    refused(scene, error)
    assert scene.asked() == [tries]
    assert [round(seconds, 1) for seconds in scene.waits] == [asked] * (tries - 1)


@pytest.mark.parametrize("error", [UpstreamRateLimited, UpstreamOverloaded])
def test_where_another_deployment_can_take_over_nobody_waits(error):
    scene = Scene(ScriptedModel(error(retry_after=1)))
    scene.cancellation.patient = False

    refused(scene, error)
    assert (scene.asked(), scene.waits) == ([1], [])


def test_a_limited_credential_makes_way_for_the_next_without_waiting():
    scene = Scene(ScriptedModel(UpstreamRateLimited(retry_after=1)), ScriptedModel("pong"), extra=0)

    assert scene.ask() == "pong"
    assert (scene.asked(), scene.waits) == ([1, 1], [])


def test_a_limit_does_not_use_up_the_try_after_a_failure():
    models = ScriptedModel(UpstreamRateLimited(retry_after=9)), ScriptedModel(UpstreamReset()).then("pong")
    scene = Scene(*models)

    assert scene.ask() == "pong"
    assert scene.asked() == [1, 2]


def test_while_all_are_limited_nobody_is_called_and_the_shortest_wait_is_told():
    scene = Scene(*(ScriptedModel(UpstreamRateLimited(retry_after=seconds)) for seconds in (90, 40)))
    refused(scene, UpstreamRateLimited)
    before, attempts = scene.asked(), len(scene.cancellation.attempts)

    assert refused(scene, UpstreamRateLimited).retry_after == 40
    assert scene.asked() == before
    assert len(scene.cancellation.attempts) == attempts


# ── credentials that are refused ─────────────────────────────────────────────────────────────────────────────────


@both
def test_a_refused_credential_makes_way_for_the_next_and_is_not_asked_again(streamed):
    scene = Scene(ScriptedModel(UpstreamAuth()), ScriptedModel("pong"), extra=0)

    assert [scene.ask(streamed=streamed) for _ in range(4)] == ["pong"] * 4
    assert scene.asked() == [1, 4]


def test_when_all_are_refused_it_is_told_without_a_call():
    scene = Scene(ScriptedModel(UpstreamAuth()), ScriptedModel(UpstreamAuth()))
    refused(scene, UpstreamAuth)
    assert scene.asked() == [1, 1]

    refused(scene, UpstreamAuth)
    assert scene.asked() == [1, 1]


def test_when_the_others_are_only_limited_that_is_told():
    scene = Scene(ScriptedModel(UpstreamAuth()), ScriptedModel(UpstreamRateLimited(retry_after=30)))

    assert refused(scene, UpstreamRateLimited).retry_after == 30


# ── the breaker ──────────────────────────────────────────────────────────────────────────────────────────────────


@both
def test_after_five_failures_nobody_is_called_until_the_rest_is_over(streamed):
    scene = Scene(ScriptedModel(UpstreamFailed()), extra=0)
    for _ in range(5):
        refused(scene, UpstreamFailed)
    attempts = len(scene.cancellation.attempts)

    assert refused(scene, CircuitOpen, streamed=streamed).retry_after == 10
    assert len(scene.cancellation.attempts) == attempts

    scene.clock.advance(10)
    scene.models[0].play("pong")
    assert scene.ask(streamed=streamed) == "pong"


def test_a_try_that_opens_the_breaker_is_not_followed_by_another():
    scene = Scene(ScriptedModel(UpstreamFailed()))
    for _ in range(2):
        refused(scene, UpstreamFailed)

    refused(scene, UpstreamFailed)
    assert scene.asked() == [5]
    assert len(scene.waits) == 2


def test_a_stream_that_its_reader_leaves_after_its_end_went_well():
    scene = Scene(ScriptedModel(UpstreamFailed()), extra=0)
    for _ in range(4):
        refused(scene, UpstreamFailed)
    scene.models[0].play("pong")
    parts = scene.chat.stream(PROMPT, scene.cancellation)
    while not isinstance(next(parts), Completion):
        pass
    parts.close()
    scene.models[0].play(UpstreamFailed())
    refused(scene, UpstreamFailed)

    assert scene.credentials.wait("large") == 0, "the good end began the count anew"


def test_a_client_that_leaves_gives_the_probe_back():
    scene = Scene(ScriptedModel(UpstreamFailed()), extra=0)
    for _ in range(5):
        refused(scene, UpstreamFailed)
    scene.clock.advance(10)
    scene.models[0].play([], "pong")
    parts = scene.chat.stream(PROMPT, scene.cancellation)
    assert next(parts) == []
    parts.close()

    assert scene.credentials.wait("large") == 0


# ── the budget ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_further_call_spends_from_the_budget_and_none_is_made_beyond_it():
    scene = Scene(*(ScriptedModel(UpstreamAuth()) for _ in range(9)), ScriptedModel("pong"), budget=RetryBudget(0.2, 3))

    refused(scene, UpstreamAuth)
    assert sum(scene.asked()) == 4


@both
def test_a_call_gives_back_what_it_spent(streamed):
    scene = Scene(ScriptedModel(), budget=RetryBudget(0.0, 1))
    for _ in range(5):
        scene.models[0].play(UpstreamReset())
        scene.models[0].then("pong")
        assert scene.ask(streamed=streamed) == "pong"


def test_a_provider_that_is_down_gets_little_more_load():
    scene = Scene(ScriptedModel(UpstreamOverloaded()))
    chat = RotatingChat(Rotation(scene.credentials, scene.rotation.observed, RetryBudget()), scene.models)

    def one() -> None:
        with pytest.raises((UpstreamOverloaded, CircuitOpen)):
            chat.complete(PROMPT, scene.a_cancellation())

    gevent.joinall([gevent.spawn(one) for _ in range(50)], raise_error=True)

    assert sum(scene.asked()) <= 62


# ── what else goes through it ────────────────────────────────────────────────────────────────────────────────────


def test_closing_a_stream_closes_the_one_inside():
    scene = Scene(ScriptedModel("po", "ng"))
    parts = scene.chat.stream(PROMPT, scene.cancellation)
    next(parts)
    parts.close()

    assert scene.models[0].closed == 1


@both
def test_each_call_is_an_attempt_and_the_time_until_it_answers_is_kept(streamed):
    scene = Scene(ScriptedModel())
    scene.models[0].play(UpstreamReset())
    scene.models[0].then(lambda: scene.clock.advance(2), "pong")
    scene.ask(streamed=streamed)

    assert [attempt.code for attempt in scene.cancellation.attempts] == ["upstream_reset", ""]
    assert scene.credentials.latency("large") == 2


class Once:
    """Fails the first time, then gives what it is for."""

    def __init__(self, gives: Any) -> None:
        self._gives = gives
        self._errors: Iterator[Exception] = iter([UpstreamReset()])

    def _answer(self, *_: Any) -> Any:
        error = next(self._errors, None)
        if error is not None:
            raise error
        return self._gives

    embed = make = _answer


def test_embeddings_and_images_are_tried_and_noted_like_chat():
    scene = Scene(ScriptedModel())
    progress: Callable[[float], object] = [].append
    vectors, images = Embeddings([b"1234"]), Images([])

    embedder = RotatingEmbedder(scene.rotation, [Once(vectors)])
    maker = RotatingImages(scene.rotation, [Once(images)])

    assert embedder.embed(EmbeddingPrompt("vector", ["hi"]), scene.cancellation) is vectors
    assert maker.make(ImagePrompt("brush", "a fox"), scene.cancellation, progress) is images
    assert [(attempt.model, attempt.code) for attempt in scene.cancellation.attempts] == [
        ("acme/vector", "upstream_reset"),
        ("acme/vector", ""),
        ("acme/brush", "upstream_reset"),
        ("acme/brush", ""),
    ]

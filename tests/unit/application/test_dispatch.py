"""A call goes from deployment to deployment until one answers."""

from dataclasses import replace
from typing import Any

import pytest

from application.cancellation import Cancellation
from application.dispatch import Dispatch
from application.model_ports import Choice, Deployment, Plan
from domain.completion import Completion, ModelCard, Prompt
from domain.errors import CircuitOpen, ClientGone, ParleyError, UnsupportedParameter
from domain.provider_errors import (
    ContentFiltered,
    ContextLengthExceeded,
    MaxOutputExceeded,
    UpstreamAuth,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamTotalTimeout,
)
from domain.usage import Usage
from tests.builders import a_deployment, a_prompt
from tests.fakes import FrozenClock, ScriptedModel

PASSED_ON = [
    *(UpstreamReset, UpstreamTimeout, UpstreamFailed, UpstreamOverloaded, UpstreamRateLimited, UpstreamAuth),
    *(MaxOutputExceeded, CircuitOpen, UpstreamTotalTimeout),
]


class FixedHealth:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wait(self) -> float:
        return self._seconds

    def latency(self) -> float | None:
        return None


class Scene:
    """Deployments `a/x`, `b/x` … in the order of trying, each with a model that plays a script of its own."""

    def __init__(self, *scripts: Any, window: int | None = 8_192, **fields: Any) -> None:
        self.models = {f"{name}/x": ScriptedModel(*script) for name, script in zip("abcdef", scripts, strict=False)}
        self.at = {
            id_: replace(a_deployment(model, id_), card=ModelCard("x", context_window=window))
            for id_, model in self.models.items()
        }
        self.fields = fields
        self.hints: frozenset[str] = frozenset()
        self.clock = FrozenClock()
        self.cancellation = Cancellation(600, self.clock.monotonic)

    def change(self, id_: str, **fields: Any) -> "Scene":
        self.at[id_] = replace(self.at[id_], **fields)
        return self

    def plan(self, *only: str) -> Plan:
        named = only or tuple(id_ for id_ in self.at if not self._is_instead(id_))
        instead = {error: self._choices(ids) for error, ids in self.fields.get("instead", {}).items()}
        return Plan("careful", self._choices(named), instead)

    def ask(self, prompt: Prompt | None = None, *, streamed: bool = False, tokens: int = 0) -> str:
        dispatch = Dispatch(self.plan(), tokens, self.hints)
        prompt = prompt or a_prompt(model="anything")
        if not streamed:
            return dispatch.complete(prompt, self.cancellation).text
        *parts, last = dispatch.stream(prompt, self.cancellation)
        assert isinstance(last, Completion)
        return "".join(delta.text for part in parts for delta in part)

    def asked(self) -> list[str]:
        return [id_ for id_, model in self.models.items() for _ in model.prompts]

    def _choices(self, ids: tuple[str, ...]) -> tuple[Choice, ...]:
        return tuple(Choice(self.at[id_], tier) for tier, id_ in enumerate(ids))

    def _is_instead(self, id_: str) -> bool:
        return any(id_ in ids for ids in self.fields.get("instead", {}).values())


both = pytest.mark.parametrize("streamed", [False, True])


@both
@pytest.mark.parametrize("error", PASSED_ON)
def test_after_a_failure_the_next_one_is_asked(error, streamed):
    scene = Scene((error(),), ("pong",), ("never",))

    assert scene.ask(streamed=streamed) == "pong"
    assert scene.asked() == ["a/x", "b/x"]


@both
@pytest.mark.parametrize("error", [UpstreamRejected, ContentFiltered, UnsupportedParameter, ClientGone])
def test_what_another_one_would_not_do_better_is_final(error, streamed):
    scene = Scene((error(),), ("pong",))

    with pytest.raises(error):
        scene.ask(streamed=streamed)
    assert scene.asked() == ["a/x"]


@both
def test_the_limit_of_one_that_failed_does_not_cut_the_next(streamed):
    scene = Scene((lambda: scene.cancellation.limit(30), lambda: scene.clock.advance(40), "late"), ("pong",))

    assert scene.ask(streamed=streamed) == "pong"
    assert scene.cancellation.remaining() == 560


@both
def test_when_the_time_of_the_request_is_over_nobody_else_is_asked(streamed):
    scene = Scene((lambda: scene.clock.advance(601), "late"), ("pong",))

    with pytest.raises(UpstreamTotalTimeout):
        scene.ask(streamed=streamed)
    assert scene.asked() == ["a/x"]


@both
def test_each_is_asked_by_its_own_name_with_what_it_documents(streamed):
    scene = Scene((UpstreamReset(),), ("pong",))
    scene.change("a/x", name="large", options=frozenset({"stop", "thinking"}))
    scene.change("b/x", name="huge", options=frozenset({"seed", "reasoning_effort"}))

    scene.ask(a_prompt(stop="x", seed=7, reasoning_effort="low"), streamed=streamed)

    (first,), (second,) = scene.models["a/x"].prompts, scene.models["b/x"].prompts
    assert (first.model, first.options) == (
        "large",
        {"stop": "x", "thinking": {"type": "enabled", "budget_tokens": 1024}},
    )
    assert (second.model, second.options) == ("huge", {"seed": 7, "reasoning_effort": "low"})


@pytest.mark.parametrize(
    ("most", "asked", "told"), [(16_384, 32_000, 16_384), (16_384, 100, 100), (None, 32_000, 32_000)]
)
def test_a_limit_that_is_a_hint_is_no_more_than_the_model_can_write(most, asked, told):
    scene = Scene(("pong",))
    scene.change("a/x", card=ModelCard("x", max_output=most), options=frozenset({"max_tokens"}))
    scene.hints = frozenset({"max_tokens"})

    scene.ask(a_prompt(max_tokens=asked))

    assert scene.models["a/x"].prompts[0].options == {"max_tokens": told}


def test_a_limit_that_is_no_hint_is_sent_as_it_is_and_none_is_made_up():
    scene = Scene(("pong", "pong"))
    scene.change("a/x", card=ModelCard("x", max_output=10), options=frozenset({"max_tokens"}))
    scene.ask(a_prompt(max_tokens=99))
    scene.hints = frozenset({"max_tokens"})
    scene.ask(a_prompt())

    assert [prompt.options for prompt in scene.models["a/x"].prompts] == [{"max_tokens": 99}, {}]


def test_a_conversation_is_told_only_to_the_provider_that_keeps_it():
    scene = Scene((UpstreamReset(),), ("pong",))
    scene.ask(replace(a_prompt(), conversation="a:conv-1"))

    assert scene.models["a/x"].prompts[0].conversation == "conv-1"
    assert scene.models["b/x"].prompts[0].conversation == ""


@both
def test_when_all_fail_the_error_that_passes_is_told(streamed):
    scene = Scene((UpstreamAuth(),), (UpstreamTimeout(),), (UpstreamOverloaded(),), (UpstreamReset(),))

    with pytest.raises(UpstreamOverloaded) as caught:
        scene.ask(streamed=streamed)
    assert caught.value.provider == "c"


def test_when_none_passes_the_first_is_told():
    with pytest.raises(UpstreamTimeout) as caught:
        Scene((UpstreamTimeout(),), (UpstreamAuth(),)).ask()
    assert caught.value.provider == "a"


def test_when_all_are_limited_or_open_the_shortest_wait_is_told():
    limited = [(UpstreamRateLimited(retry_after=seconds),) for seconds in (116, 3)]
    scene = Scene(limited[0], (CircuitOpen(retry_after=30),), limited[1])

    with pytest.raises(UpstreamRateLimited) as caught:
        scene.ask()
    assert (caught.value.retry_after, caught.value.provider) == (3, "c")


def test_when_all_are_open_the_shortest_wait_is_told():
    scene = Scene((CircuitOpen(retry_after=9),), (CircuitOpen(retry_after=2),), (CircuitOpen(retry_after=30),))

    with pytest.raises(CircuitOpen) as caught:
        scene.ask()
    assert (caught.value.retry_after, caught.value.provider) == (2, "b")


def test_nothing_is_tried_again_once_something_was_heard():
    scene = Scene(("po", UpstreamReset()), ("pong",))
    parts = Dispatch(scene.plan()).stream(a_prompt(), scene.cancellation)

    assert next(parts)[0].text == "po"
    with pytest.raises(UpstreamReset):
        next(parts)
    assert scene.asked() == ["a/x"]


def test_heartbeats_pass_through_and_are_nothing_heard():
    scene = Scene(([], UpstreamReset()), ([], "pong"))
    parts = list(Dispatch(scene.plan()).stream(a_prompt(), scene.cancellation))

    assert [part if isinstance(part, Completion) else len(part) for part in parts[:-1]] == [0, 0, 1]


def test_closing_the_stream_closes_the_one_inside():
    scene = Scene(("po", "ng"))
    parts = Dispatch(scene.plan()).stream(a_prompt(), scene.cancellation)
    next(parts)
    parts.close()

    assert scene.models["a/x"].closed == 1


def test_who_failed_is_closed_before_the_next_one_is_asked():
    scene = Scene((UpstreamReset(),), ("pong",))
    scene.ask(streamed=True)

    assert scene.models["a/x"].closed == 1


# ── after errors with an answer of their own ─────────────────────────────────────────────────────────────────────


def test_a_prompt_that_is_too_long_is_sent_only_to_a_larger_window():
    scene = Scene((ContextLengthExceeded(),), ("same",), ("unknown",), ("pong",))
    scene.change("c/x", card=ModelCard("x")).change("d/x", card=ModelCard("x", context_window=100_000))

    assert scene.ask() == "pong"
    assert scene.asked() == ["a/x", "d/x"]


def test_where_the_window_is_not_known_the_prompt_itself_is_the_measure():
    scene = Scene((ContextLengthExceeded(),), ("small",), ("pong",), window=None)
    scene.change("b/x", card=ModelCard("x", context_window=4_000)).change(
        "c/x", card=ModelCard("x", context_window=6_000)
    )

    assert scene.ask(tokens=5_000) == "pong"
    assert scene.asked() == ["a/x", "c/x"]


@both
def test_a_prompt_that_is_too_long_is_never_sent_again_in_the_same_size(streamed):
    scene = Scene((ContextLengthExceeded(),), ("same",))

    with pytest.raises(ContextLengthExceeded):
        scene.ask(streamed=streamed)
    assert scene.asked() == ["a/x"]


@both
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ContextLengthExceeded, "context_length"),
        (ContentFiltered, "content_filter"),
        (UpstreamRateLimited, "rate_limit"),
    ],
)
def test_what_is_configured_for_an_error_is_tried_in_place_of_the_rest(error, kind, streamed):
    scene = Scene((error(),), ("rest",), ("pong",), instead={kind: ("c/x",)})

    assert scene.ask(streamed=streamed) == "pong"
    assert scene.asked() == ["a/x", "c/x"]


def test_nobody_is_asked_twice_whatever_is_configured():
    scene = Scene((ContentFiltered(),), (ContentFiltered(),), instead={"content_filter": ("b/x",)})

    with pytest.raises(ContentFiltered) as caught:
        scene.ask()
    assert scene.asked() == ["a/x", "b/x"]
    assert caught.value.provider == "b"


def test_who_is_in_two_lists_is_skipped_the_second_time():
    scene = Scene((UpstreamReset(),), (UpstreamRateLimited(),), ("pong",), instead={"rate_limit": ("c/x",)})
    plan = replace(scene.plan(), instead={"rate_limit": tuple(Choice(scene.at[id_]) for id_ in ("a/x", "c/x"))})

    assert Dispatch(plan).complete(a_prompt(), scene.cancellation).text == "pong"
    assert scene.asked() == ["a/x", "b/x", "c/x"]


def test_an_answer_to_an_error_that_is_nobody_ends_it():
    scene = Scene((ContextLengthExceeded(),), ("larger",))
    scene.change("b/x", card=ModelCard("x", context_window=100_000))

    with pytest.raises(ContextLengthExceeded):
        Dispatch(replace(scene.plan(), instead={"context_length": ()})).complete(a_prompt(), scene.cancellation)


# ── patience ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Patience:
    """Asks each deployment whether it was told to be patient."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def __call__(self, deployment: Deployment, cancellation: Cancellation) -> str:
        self.told.append(cancellation.patient)
        raise UpstreamRateLimited


def patience(scene: Scene) -> list[bool]:
    ask = Patience()
    with pytest.raises(ParleyError):
        Dispatch(scene.plan()).whole(ask, scene.cancellation)
    return ask.told


def test_only_who_has_nobody_behind_them_is_patient_with_its_provider():
    assert patience(Scene((), ())) == [False, True]


def test_who_cannot_be_called_now_is_nobody():
    scene = Scene((), ())

    assert patience(scene.change("b/x", health=FixedHealth(3.0))) == [True, True]


def test_who_takes_over_when_requests_are_limited_is_somebody():
    assert patience(Scene((), (), instead={"rate_limit": ("b/x",)})) == [False, True]


def test_for_a_client_that_has_left_nobody_else_is_called():
    scene = Scene((lambda: scene.cancellation.cancel(ClientGone()), UpstreamReset()), ("pong",))
    scene.change("a/x", drains=True)

    with pytest.raises(ClientGone):
        scene.ask()
    assert scene.asked() == ["a/x"]


def a_counted(*errors: ParleyError, **fields: Any) -> Scene:
    """The first deployment counts the prompt before it fails; so does the second, where there are two errors."""
    scene: Scene

    def count() -> None:
        scene.cancellation.counted = Usage(input=9)

    scene = Scene(*((count, error) for error in errors), ("pong",), **fields)
    return scene


@both
def test_a_prompt_that_was_counted_and_blocked_is_given_to_whoever_takes_such(streamed):
    scene = a_counted(ContentFiltered(), instead={"content_filter": ("b/x",)})

    assert scene.ask(streamed=streamed) == "pong"
    assert scene.cancellation.counted is None, "who answers is billed for itself"


@both
def test_the_count_of_a_blocked_prompt_stays_for_the_bill_when_nobody_takes_it(streamed):
    scene = a_counted(ContentFiltered())

    with pytest.raises(ContentFiltered):
        scene.ask(streamed=streamed)
    assert scene.cancellation.counted == Usage(input=9)


def test_what_is_owed_in_part_is_not_asked_for_again():
    scene = a_counted(UpstreamReset())

    with pytest.raises(UpstreamReset):
        scene.ask()
    assert scene.asked() == ["a/x"]

"""An answer that was cut, and that another deployment goes on with."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from application.cancellation import Cancellation
from application.continuation import Continuation
from application.dispatch import Dispatch
from application.model_ports import Choice, Plan
from domain import tokens
from domain.completion import Completion, Delta, ModelCard, Prompt
from domain.errors import CircuitOpen, ClientGone
from domain.provider_errors import (
    ContentFiltered,
    MaxOutputExceeded,
    ProviderError,
    UpstreamFailed,
    UpstreamIdleTimeout,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamReset,
    UpstreamTotalTimeout,
    UpstreamTruncated,
)
from domain.usage import Source, Usage
from tests.builders import a_deployment, a_prompt, a_usage
from tests.fakes import FrozenClock, ScriptedModel, a_delta

ROLE = Delta([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
ABLE = ModelCard("x", capabilities=("chat", "stream", "prefill"))
CUTS = [UpstreamReset, UpstreamTruncated, UpstreamIdleTimeout, UpstreamFailed, UpstreamOverloaded, UpstreamMalformed]
PROMPT_TOKENS = 12


def a_choice(delta: dict[str, Any], **fields: Any) -> Delta:
    return Delta([{"index": 0, "delta": delta, "finish_reason": None, **fields}], delta.get("content") or "")


class Scene:
    """`a/x` is cut; `b/x`, `c/x` … can go on unless `able` says otherwise."""

    def __init__(self, *scripts: Any, able: str = "bcdef", continues: bool = True) -> None:
        self.models = [ScriptedModel(*script) for script in scripts]
        self.clock = FrozenClock()
        self.cancellation = Cancellation(600, self.clock.monotonic)
        choices = []
        for name, model in zip("abcdef", self.models, strict=False):
            deployment = a_deployment(_Noting(name, model), f"{name}/x")
            choices.append(Choice(replace(deployment, card=ABLE) if name in able else deployment))
        self.plan = Plan("careful", tuple(choices), continues=continues)
        self.parts: list[list[Delta] | Completion] = []

    def stream(self, prompt: Prompt | None = None) -> Iterator[list[Delta] | Completion]:
        return Dispatch(self.plan, PROMPT_TOKENS).stream(prompt or a_prompt(), self.cancellation)

    def read(self, prompt: Prompt | None = None) -> str:
        """All visible text up to the end, however it ends."""
        for part in self.stream(prompt):
            self.parts.append(part)
        return self.text()

    def text(self) -> str:
        return "".join(delta.text for part in self.parts if isinstance(part, list) for delta in part)

    def choices(self) -> list[dict[str, Any]]:
        deltas = [delta for part in self.parts if isinstance(part, list) for delta in part]
        return [choice for delta in deltas for choice in delta.choices]

    def bills(self) -> list[tuple[str, Usage | None]]:
        return [(attempt.provider, attempt.usage) for attempt in self.cancellation.attempts]


class _Noting:
    """A model whose attempts have the name of its provider."""

    def __init__(self, provider: str, model: ScriptedModel) -> None:
        self._provider, self._model = provider, model

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        return self._model.complete(prompt, cancellation)

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        parts, known = self._model.stream(prompt, cancellation), len(cancellation.attempts)
        try:
            for part in parts:
                self._name(cancellation, known)
                yield part
        except ProviderError:
            self._name(cancellation, known)
            raise
        finally:
            parts.close()  # type: ignore[attr-defined]

    def _name(self, cancellation: Cancellation, known: int) -> None:
        for attempt in cancellation.attempts[known:]:
            attempt.provider = self._provider


def estimated(prompt: int, text: str) -> Usage:
    return tokens.estimated(prompt, tokens.estimate_text(text))


@pytest.mark.parametrize("error", CUTS)
def test_another_one_goes_on_where_the_answer_was_cut(error):
    scene = Scene((ROLE, "Once upon ", "a time", error()), (ROLE, " there was", " a fox."))

    assert scene.read() == "Once upon a time there was a fox."
    assert isinstance(scene.parts[-1], Completion)
    assert scene.models[1].prompts[0].messages == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Once upon a time"},
    ]


def test_the_answer_has_one_beginning():
    scene = Scene((ROLE, "Once", UpstreamReset()), (ROLE, a_choice({"role": "assistant", "content": " upon"})))
    scene.read()

    assert [choice["delta"] for choice in scene.choices()] == [
        {"role": "assistant", "content": ""},
        {"content": "Once"},
        {"content": " upon"},
    ]


def test_the_end_of_the_last_piece_is_kept():
    end = a_choice({"role": "assistant"}, finish_reason="stop")
    scene = Scene((ROLE, "Once", UpstreamReset()), (ROLE, " upon", end))
    scene.read()

    assert scene.choices()[-1] == {"index": 0, "delta": {}, "finish_reason": "stop"}


def test_an_answer_that_the_caller_had_begun_stays_one_message():
    begun = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Well, "}]
    scene = Scene(("once", UpstreamReset()), (" upon",))
    scene.read(Prompt("x", begun))

    assert scene.models[1].prompts[0].messages == [begun[0], {"role": "assistant", "content": "Well, once"}]


def test_what_was_said_already_counts_against_the_longest_answer():
    scene = Scene(("word " * 8, UpstreamReset()), ("more",))
    scene.read(a_prompt(max_tokens=20))

    spent = tokens.estimate_text("word " * 8)
    assert scene.models[1].prompts[0].options == {"max_tokens": 20 - spent}


def test_before_a_word_was_said_the_next_one_is_asked_the_question_itself():
    scene = Scene((ROLE, UpstreamReset()), ("pong",))

    assert scene.read() == "pong"
    assert scene.models[1].prompts[0].messages == [{"role": "user", "content": "Hello"}]


def test_before_anything_was_heard_everybody_may_answer():
    scene = Scene(([], UpstreamReset()), ("pong",), able="")

    assert scene.read() == "pong"
    assert scene.bills()[0] == ("a", None)


# ── who may not ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_the_operators_word_a_cut_is_a_cut():
    scene = Scene(("Once", UpstreamReset()), (" upon",), continues=False)

    with pytest.raises(UpstreamReset):
        scene.read()
    assert scene.models[1].prompts == []


def test_only_who_can_go_on_with_a_text_is_asked_to():
    scene = Scene(("Once", UpstreamReset()), ("Hello!",), (" upon",), able="c")

    assert scene.read() == "Once upon"
    assert scene.models[1].prompts == []


@pytest.mark.parametrize("error", [UpstreamTotalTimeout, MaxOutputExceeded, ContentFiltered])
def test_an_end_that_is_no_cut_is_the_end(error):
    scene = Scene(("Once", error()), (" upon",))

    with pytest.raises(error):
        scene.read()
    assert scene.models[1].prompts == []


@pytest.mark.parametrize(
    "delta",
    [
        a_choice({"tool_calls": [{"index": 0}]}),
        a_choice({"reasoning_details": [{"type": "thinking"}]}),
        a_choice({"content": "x"}, logprobs={"content": []} | {"refusal": []}),
        a_choice({"content": "x"}, finish_reason="stop"),
        Delta([{"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": None}], "", "hm"),
        Delta([{"index": 1, "delta": {"content": "x"}, "finish_reason": None}]),
    ],
)
def test_nothing_but_plain_text_is_gone_on_with(delta):
    scene = Scene(("Once", delta, UpstreamReset()), (" upon",))

    with pytest.raises(UpstreamReset):
        scene.read()
    assert scene.models[1].prompts == []


def test_when_nobody_can_go_on_the_cut_is_told():
    scene = Scene(("Once", UpstreamReset()), (UpstreamOverloaded(),), (CircuitOpen(retry_after=2),))

    with pytest.raises(UpstreamReset) as caught:
        scene.read()
    assert caught.value.provider == "a"
    assert scene.text() == "Once"


def test_when_the_time_is_over_nobody_else_is_asked():
    scene = Scene(("Once", UpstreamReset()), (lambda: scene.clock.advance(601), " late"), (" upon",))

    with pytest.raises(UpstreamReset):
        scene.read()
    assert scene.models[2].prompts == []


# ── the bill ─────────────────────────────────────────────────────────────────────────────────────────────────────


def counting(scene_usage: Usage, cancellation: list[Cancellation]) -> Any:
    """A step of a script: the provider has counted."""

    def count() -> None:
        cancellation[0].counted = scene_usage

    return count


def test_who_was_cut_is_billed_for_its_piece_as_it_counted():
    holder: list[Cancellation] = []
    scene = Scene(("Once", counting(a_usage(input=10, output=4), holder), UpstreamReset()), (" upon",))
    holder.append(scene.cancellation)
    scene.read()

    assert scene.bills() == [("a", a_usage(input=10, output=4)), ("b", None)]


@pytest.mark.parametrize("counted", [None, Usage(source=Source.PROVIDER)])
def test_without_a_count_its_piece_is_estimated(counted):
    holder: list[Cancellation] = []
    scene = Scene(("Once upon", counting(counted, holder), UpstreamReset()), (" a time",))
    holder.append(scene.cancellation)
    scene.read()

    assert scene.bills()[0] == ("a", estimated(PROMPT_TOKENS, "Once upon"))


def test_who_goes_on_without_a_count_is_estimated_for_its_own_piece():
    silent = Completion("", "stop", None)
    scene = Scene(("Once upon ", UpstreamReset()), ("a time there was", silent))
    scene.read()

    assert isinstance(scene.parts[-1], Completion)
    so_far = tokens.estimate_text("Once upon ")
    assert scene.parts[-1].usage == estimated(PROMPT_TOKENS + so_far, "a time there was")


def test_an_answer_of_one_piece_is_counted_by_whoever_counts_anyway():
    scene = Scene(("Once upon", Completion("", "stop", None)))
    scene.read()

    assert isinstance(scene.parts[-1], Completion)
    assert scene.parts[-1].usage is None
    assert scene.cancellation.counted is None


def test_three_may_make_one_answer_and_each_cut_is_billed_once():
    scene = Scene(("Once ", UpstreamReset()), ("upon ", UpstreamTruncated()), ("a time",))

    assert scene.read() == "Once upon a time"
    assert [usage.output if usage else None for _, usage in scene.bills()] == [2, 2, None]
    assert scene.models[2].prompts[0].messages[-1] == {"role": "assistant", "content": "Once upon "}


def test_who_could_not_go_on_has_no_part_in_the_answer():
    scene = Scene(("Once", UpstreamReset()), (UpstreamOverloaded(),), able="b")
    with pytest.raises(UpstreamReset):
        scene.read()

    assert scene.bills() == [("b", None), ("a", None)], "the last attempt is the one that is billed"
    assert scene.cancellation.counted == estimated(PROMPT_TOKENS, "Once")


def test_an_answer_that_is_cut_again_is_billed_by_pieces():
    scene = Scene(("Once upon ", UpstreamReset()), ("a time", UpstreamReset()))
    with pytest.raises(UpstreamReset):
        scene.read()

    so_far = tokens.estimate_text("Once upon ")
    assert scene.bills() == [("a", estimated(PROMPT_TOKENS, "Once upon ")), ("b", None)]
    assert scene.cancellation.counted == estimated(PROMPT_TOKENS + so_far, "a time")


def test_a_client_that_leaves_in_the_second_piece_is_not_billed_the_first_one_twice():
    scene = Scene(("Once upon ", UpstreamReset()), ("a time", "never read"))
    stream = scene.stream()
    assert [next(stream)[0].text, next(stream)[0].text] == ["Once upon ", "a time"]  # type: ignore[index]
    stream.close()  # type: ignore[attr-defined]

    so_far = tokens.estimate_text("Once upon ")
    assert scene.cancellation.counted == estimated(PROMPT_TOKENS + so_far, "a time")


def test_a_client_that_leaves_while_somebody_is_asked_to_go_on_pays_for_what_it_got():
    scene = Scene(("Once", UpstreamReset()), ([], [], "never read"))
    stream = scene.stream()
    assert next(stream) != []
    assert next(stream) == []
    scene.cancellation.cancel(ClientGone())
    with pytest.raises(ClientGone):
        next(stream)

    assert scene.bills() == [("b", None), ("a", None)]
    assert scene.cancellation.counted == estimated(PROMPT_TOKENS, "Once")


def test_a_cut_that_no_attempt_stands_for_is_not_gone_on_with():
    answer = Continuation(a_prompt(), PROMPT_TOKENS, Cancellation(600, FrozenClock().monotonic))
    answer.add([a_delta("Once")])

    assert not answer.break_off(UpstreamReset())

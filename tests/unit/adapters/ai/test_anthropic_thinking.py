import pytest

from adapters.ai.anthropic_thinking import BUDGETED, thinking_of
from domain.completion import ModelCard
from domain.errors import UnsupportedParameter

OLD = ModelCard("claude-haiku-4-5", 200_000, 64_000, ("chat", BUDGETED))
NEW = ModelCard("claude-opus-5-5", 1_000_000, 128_000)
ENABLED = {"type": "enabled", "budget_tokens": 2_048}


def asked(card: ModelCard = NEW, limit: int = 64_000, **options: object) -> dict:
    return thinking_of(options, card, limit)


def refused(card: ModelCard = NEW, limit: int = 64_000, **options: object) -> str | None:
    with pytest.raises(UnsupportedParameter) as caught:
        asked(card, limit, **options)
    return caught.value.param


@pytest.mark.parametrize(
    ("effort", "budget"),
    [("minimal", 1_024), ("low", 1_024), ("medium", 8_192), ("high", 24_576), ("xhigh", 32_768), ("max", 32_768)],
)
def test_effort_is_a_budget_for_models_that_have_budgets(effort, budget):
    assert asked(OLD, reasoning_effort=effort) == {"thinking": {"type": "enabled", "budget_tokens": budget}}


@pytest.mark.parametrize(
    ("effort", "word"),
    [("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "xhigh"), ("max", "max")],
)
def test_effort_is_effort_for_later_models(effort, word):
    assert asked(reasoning_effort=effort) == {
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": word},
    }


@pytest.mark.parametrize("card", [OLD, NEW])
def test_no_effort_is_no_thinking(card):
    assert asked(card, reasoning_effort="none") == {"thinking": {"type": "disabled"}}
    assert asked(card) == {}


def test_a_budget_stays_below_the_output_limit():
    assert asked(OLD, 4_096, reasoning_effort="high")["thinking"]["budget_tokens"] == 4_095
    assert refused(OLD, 1_024, reasoning_effort="low") == "reasoning_effort"


def test_thinking_goes_out_as_it_is_and_effort_beside_it():
    assert asked(OLD, thinking=ENABLED) == {"thinking": ENABLED}
    assert asked(thinking={"type": "disabled"}, reasoning_effort="low") == {
        "thinking": {"type": "disabled"},
        "output_config": {"effort": "low"},
    }
    assert asked(thinking=ENABLED, reasoning_effort="none") == {"thinking": ENABLED}


@pytest.mark.parametrize("options", [{"thinking": {"type": "odd"}}, {"reasoning_effort": "huge"}])
def test_what_it_does_not_know_is_refused_by_name(options):
    assert refused(**options) in options


@pytest.mark.parametrize(
    "asking", [{"thinking": ENABLED}, {"thinking": {"type": "adaptive"}}, {"reasoning_effort": "low"}]
)
@pytest.mark.parametrize("sampling", [{"temperature": 0.5}, {"top_k": 5}, {"top_p": 0.9}])
def test_sampling_cannot_be_changed_while_it_thinks(asking, sampling):
    assert refused(**asking, **sampling) in sampling


@pytest.mark.parametrize("thinking", ["hard", 5, ["enabled"], True])
def test_a_wish_to_think_that_is_no_object_is_refused_by_name(thinking):
    assert refused(thinking=thinking) == "thinking"


def test_sampling_that_changes_nothing_is_fine_and_so_is_any_without_thinking():
    asked(thinking=ENABLED, temperature=1, top_p=0.95)
    asked(thinking={"type": "disabled"}, temperature=0.1, top_k=1, top_p=0.1)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_no_tool_can_be_forced_while_it_thinks_within_a_budget(choice):
    assert refused(OLD, reasoning_effort="low", tool_choice=choice) == "tool_choice"
    asked(NEW, reasoning_effort="low", tool_choice=choice)
    asked(OLD, reasoning_effort="low", tool_choice="none")

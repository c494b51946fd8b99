import pytest

from adapters.ai.gemini_thinking import BUDGETED, thinking_of
from domain.completion import ModelCard
from domain.errors import UnsupportedParameter

OLD = ModelCard("gemini-2.5-flash", 1_048_576, 65_536, ("chat", BUDGETED))
NEW = ModelCard("gemini-3.8-flash", 1_048_576, 65_536)


def asked(card: ModelCard = NEW, **options: object) -> dict:
    return thinking_of(options, card)


@pytest.mark.parametrize(
    ("effort", "budget"), [("none", 0), ("minimal", 1_024), ("low", 1_024), ("medium", 8_192), ("high", 24_576)]
)
def test_effort_is_a_budget_for_models_that_have_budgets(effort, budget):
    assert asked(OLD, reasoning_effort=effort) == {"includeThoughts": budget > 0, "thinkingBudget": budget}


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh"])
def test_effort_is_a_level_for_later_models(effort):
    assert asked(reasoning_effort=effort) == {"includeThoughts": True, "thinkingLevel": effort.upper()}


@pytest.mark.parametrize(
    ("thinking", "budget"),
    [({"type": "enabled", "budget_tokens": 2_048}, 2_048), ({"type": "disabled"}, 0), ({"type": "adaptive"}, -1)],
)
@pytest.mark.parametrize("card", [OLD, NEW])
def test_thinking_is_a_budget(card, thinking, budget):
    assert asked(card, thinking=thinking) == {"includeThoughts": budget != 0, "thinkingBudget": budget}


@pytest.mark.parametrize("effort", [{}, {"reasoning_effort": "high"}])
def test_thinking_that_is_to_be_omitted_is_not_told(effort):
    shown = asked(thinking={"type": "adaptive", "display": "summarized"}, **effort)
    hidden = asked(thinking={"type": "adaptive", "display": "omitted"}, **effort)

    assert hidden == {**shown, "includeThoughts": False}
    assert shown["includeThoughts"] is True


@pytest.mark.parametrize("thinking", ["hard", 5, ["enabled"], True])
def test_a_wish_to_think_that_is_no_object_is_refused_by_name(thinking):
    with pytest.raises(UnsupportedParameter) as refused:
        asked(thinking=thinking)
    assert refused.value.param == "thinking"


def test_level_and_budget_never_go_together():
    assert asked(thinking={"type": "disabled"}, reasoning_effort="high") == {
        "includeThoughts": False,
        "thinkingBudget": 0,
    }
    assert asked(thinking={"type": "adaptive"}, reasoning_effort="high") == {
        "includeThoughts": True,
        "thinkingLevel": "HIGH",
    }


def test_nothing_asked_is_nothing_said():
    assert asked() == {}


@pytest.mark.parametrize(
    ("card", "options"),
    [
        (NEW, {"reasoning_effort": "none"}),
        (NEW, {"reasoning_effort": "max"}),
        (OLD, {"reasoning_effort": "xhigh"}),
        (NEW, {"thinking": {"type": "odd"}}),
        (NEW, {"thinking": {"type": "enabled"}}),
    ],
)
def test_what_it_does_not_know_is_refused_by_name(card, options):
    with pytest.raises(UnsupportedParameter) as caught:
        asked(card, **options)

    assert caught.value.param in options

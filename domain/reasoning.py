"""How much a model shall think before it answers: one wish that providers have two names for.

`reasoning_effort` is OpenAI's word, `thinking` Anthropic's. It is a wish: where a provider has neither, it is left out.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from domain.completion import output_limit

EFFORT = "reasoning_effort"
THINKING = "thinking"
NAMES = frozenset({EFFORT, THINKING})

LEAST_BUDGET = 1_024
"""Tokens; Anthropic takes no smaller one."""

_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
"""Tokens, as in Gemini's own translation: https://ai.google.dev/gemini-api/docs/openai."""


def adapted(options: Mapping[str, Any], documented: AbstractSet[str], *, thinks: bool = True) -> Mapping[str, Any]:
    """`options` with the wish in the words that are `documented`, or without it.

    `thinks` is False for a model that is known not to reason: it gets no such wish, and would refuse one.
    """
    named = options.keys() & NAMES
    if not thinks:
        documented = documented - NAMES
    if not named or named <= documented:
        return options
    kept = {name: value for name, value in options.items() if name not in NAMES or name in documented}
    if not kept.keys() & NAMES:
        kept.update(_translated(options, documented))
    return kept


def _translated(options: Mapping[str, Any], documented: AbstractSet[str]) -> dict[str, Any]:
    if EFFORT in documented:
        effort = _effort(options[THINKING])
        return {} if effort is None else {EFFORT: effort}
    if THINKING in documented:
        thinking = _thinking(options[EFFORT], output_limit(options))
        return {} if thinking is None else {THINKING: thinking}
    return {}


def _effort(thinking: Any) -> str | None:
    """The smallest effort whose budget is enough. No word is right everywhere for "not at all", nor for "as needed"."""
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return None
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int):
        return "medium"
    return next((effort for effort in ("low", "medium") if budget <= _BUDGETS[effort]), "high")


def _thinking(effort: Any, most: Any) -> dict[str, Any] | None:
    """The budget is part of what may be answered, so it stays below that."""
    if effort == "none":
        return {"type": "disabled"}
    budget = _BUDGETS.get(effort) if isinstance(effort, str) else None
    if budget is not None and isinstance(most, int):
        budget = min(budget, most - 1)
    return None if budget is None or budget < LEAST_BUDGET else {"type": "enabled", "budget_tokens": budget}

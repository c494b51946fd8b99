"""How much Gemini is to think.

https://ai.google.dev/gemini-api/docs/thinking
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from adapters.ai.conversation import unsupported
from domain.completion import JsonObject, ModelCard

BUDGETED = "thinking_budget"
"""The capability of models that think within a number of tokens; later ones have levels."""

_BUDGETS = {"none": 0, "minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576}
_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH"}
_AUTOMATIC = -1
_KNOWN = "this provider knows enabled with budget_tokens, adaptive and disabled."

Value = TypeVar("Value")


def thinking_of(options: Mapping[str, Any], card: ModelCard) -> JsonObject:
    """The `thinkingConfig` that `thinking` or else `reasoning_effort` becomes; empty when neither was given.

    `thinking` is a budget: disabled → 0, adaptive → as the model likes, or what was given. The effort is, as in
    Google's own mapping of OpenAI's dialect, for models that think within a budget: none → 0; minimal, low → 1,024;
    medium → 8,192; high → 24,576; for later models: the level of that name, and none is refused. Whoever asks for
    reasoning gets a summary of it in the answer, unless `thinking` says that it is omitted.
    """
    thinking, effort = options.get("thinking"), options.get("reasoning_effort")
    if thinking is not None and not isinstance(thinking, dict):
        raise unsupported("thinking", _KNOWN)
    config = _config(thinking, effort, card)
    hidden = thinking is not None and thinking.get("display") == "omitted"
    return {**config, "includeThoughts": False} if config and hidden else config


def _config(thinking: Mapping[str, Any] | None, effort: str | None, card: ModelCard) -> JsonObject:
    if thinking is not None and not (thinking.get("type") == "adaptive" and effort is not None):
        return _within(_budget_of(thinking))
    if effort is None:
        return {}
    if BUDGETED in card.capabilities:
        return _within(_chosen(_BUDGETS, effort))
    return {"includeThoughts": True, "thinkingLevel": _chosen(_LEVELS, effort)}


def _within(budget: int) -> JsonObject:
    return {"includeThoughts": budget != 0, "thinkingBudget": budget}


def _budget_of(thinking: Mapping[str, Any]) -> int:
    kind, budget = thinking.get("type"), thinking.get("budget_tokens")
    if kind == "enabled" and type(budget) is int:
        return budget
    if kind not in ("adaptive", "disabled"):
        raise unsupported("thinking", _KNOWN)
    return _AUTOMATIC if kind == "adaptive" else 0


def _chosen(efforts: Mapping[str, Value], effort: str) -> Value:
    if effort not in efforts:
        raise unsupported("reasoning_effort", f"this model knows {', '.join(efforts)}.")
    return efforts[effort]

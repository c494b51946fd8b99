"""How much Claude is to think.

https://platform.claude.com/docs/en/build-with-claude/thinking
"""

from collections.abc import Mapping
from typing import Any

from adapters.ai.conversation import unsupported
from domain.completion import JsonObject, ModelCard

BUDGETED = "thinking_budget"
"""The capability of models that think within a number of tokens; later ones think as hard as they are asked to."""
LEAST_BUDGET = 1_024

_BUDGETS = {
    "minimal": LEAST_BUDGET,
    "low": LEAST_BUDGET,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 32_768,
}
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_KINDS = frozenset({"adaptive", "disabled", "enabled"})
_FORCED = "this provider takes auto and none while it thinks within a budget."
_LEAST_TOP_P = 0.95


def thinking_of(options: Mapping[str, Any], card: ModelCard, limit: int) -> JsonObject:
    """The members of a body that `thinking` and `reasoning_effort` become; `limit` is the most the answer may have.

    `thinking` goes out as it is, and the effort beside it as `output_config.effort`. The effort alone is, for models
    that think within a budget: none → off; minimal, low → 1,024 tokens; medium → 8,192; high → 24,576; xhigh, max →
    32,768, but always less than the output limit. For later models: none → off; else adaptive thinking with that
    effort, minimal being low, and a summary of the reasoning in the answer.

    Raises UnsupportedParameter for what is documented not to go together with thinking.
    """
    body = _asked(options, card, limit)
    kind = body.get("thinking", {}).get("type", "disabled")
    if kind != "disabled":
        _check_sampling(options)
    if kind == "enabled" and options.get("tool_choice", "auto") not in ("auto", "none"):
        raise unsupported("tool_choice", _FORCED)
    return body


def _asked(options: Mapping[str, Any], card: ModelCard, limit: int) -> JsonObject:
    thinking, effort = options.get("thinking"), options.get("reasoning_effort")
    if thinking is not None and (not isinstance(thinking, dict) or thinking.get("type") not in _KINDS):
        raise unsupported("thinking", "this provider knows enabled, adaptive and disabled.")
    if effort is None:
        return {} if thinking is None else {"thinking": thinking}
    if effort == "none":
        return {"thinking": thinking or {"type": "disabled"}}
    if effort not in _EFFORTS:
        raise unsupported("reasoning_effort", f"this provider knows none, {', '.join(_EFFORTS)}.")
    if thinking is None and BUDGETED in card.capabilities:
        return {"thinking": {"type": "enabled", "budget_tokens": _budget(effort, limit)}}
    adaptive = {"type": "adaptive", "display": "summarized"}
    return {"thinking": thinking or adaptive, "output_config": {"effort": _EFFORTS[effort]}}


def _budget(effort: str, limit: int) -> int:
    if limit <= LEAST_BUDGET:
        raise unsupported("reasoning_effort", f"needs an output limit of more than {LEAST_BUDGET:,} with this model.")
    return min(_BUDGETS[effort], limit - 1)


def _check_sampling(options: Mapping[str, Any]) -> None:
    if options.get("temperature", 1) != 1:
        raise unsupported("temperature", "cannot be changed while this provider's model thinks.")
    if "top_k" in options:
        raise unsupported("top_k", "cannot be changed while this provider's model thinks.")
    if options.get("top_p", 1) < _LEAST_TOP_P:
        raise unsupported("top_p", "is at least 0.95 while this provider's model thinks.")

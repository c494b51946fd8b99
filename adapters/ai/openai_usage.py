"""Token counts of OpenAI's wire into disjoint classes."""

from typing import Any

from domain.usage import Source, Usage

_MOST = 1_000_000_000


def usage_of(raw: Any) -> Usage | None:
    """None unless both totals are plausible integers; an explicit 0 is a number like any other.

    Cached tokens are part of the prompt, reasoning tokens part of the completion. Some servers count reasoning on top
    of the completion, which shows in their total.
    """
    if not isinstance(raw, dict):
        return None
    prompt, completion = _count(raw.get("prompt_tokens")), _count(raw.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    cached = min(prompt, _cached(raw))
    written = min(prompt - cached, _written(raw))
    reasoning = _count(_detail(raw, "completion_tokens_details", "reasoning_tokens")) or 0
    on_top = reasoning > completion or (reasoning and raw.get("total_tokens") == prompt + completion + reasoning)
    output = completion if on_top else completion - reasoning
    return Usage(prompt - cached - written, cached, written, output, reasoning, Source.PROVIDER)


def prompt_usage_of(raw: Any) -> Usage | None:
    """Of what has a prompt and no completion."""
    prompt = _count(raw.get("prompt_tokens")) if isinstance(raw, dict) else None
    return None if prompt is None else Usage(input=prompt, source=Source.PROVIDER)


def _cached(raw: dict[str, Any]) -> int:
    """OpenAI's place for it, then DeepSeek's, then Moonshot's."""
    for value in (
        _detail(raw, "prompt_tokens_details", "cached_tokens"),
        raw.get("prompt_cache_hit_tokens"),
        raw.get("cached_tokens"),
    ):
        count = _count(value)
        if count is not None:
            return count
    return 0


def _written(raw: dict[str, Any]) -> int:
    """OpenRouter's name for it, then Qwen's."""
    names = ("cache_write_tokens", "cache_creation_input_tokens")
    counts = (_count(_detail(raw, "prompt_tokens_details", name)) for name in names)
    return next((count for count in counts if count is not None), 0)


def _detail(raw: dict[str, Any], group: str, name: str) -> Any:
    details = raw.get(group)
    return details.get(name) if isinstance(details, dict) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST else None

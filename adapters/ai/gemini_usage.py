"""Token counts of Gemini's wire into disjoint classes."""

from collections.abc import Mapping
from typing import Any

from adapters.ai.fields import count_of
from domain.usage import Source, Usage

_OUTPUT = "candidatesTokenCount"
"""Not there as long as there is no output."""


def usage_of(raw: Mapping[str, Any]) -> Usage | None:
    """None unless the prompt was counted plausibly; an explicit 0 is a number like any other.

    Tokens from the cache are part of the prompt. Thoughts are counted beside the candidates, and what tools that run
    at Google read beside the prompt.
    """
    prompt, output = count_of(raw, "promptTokenCount"), count_of({_OUTPUT: 0, **raw}, _OUTPUT)
    if prompt is None or output is None:
        return None
    cached = min(prompt, count_of(raw, "cachedContentTokenCount") or 0)
    read = count_of(raw, "toolUsePromptTokenCount") or 0
    return Usage(prompt - cached + read, cached, 0, output, count_of(raw, "thoughtsTokenCount") or 0, Source.PROVIDER)

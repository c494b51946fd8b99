"""Token counts of Anthropic's wire: disjoint already, but that thinking is part of the output."""

from collections.abc import Mapping
from typing import Any

from adapters.ai.fields import count_of
from domain.completion import JsonObject
from domain.members import object_of
from domain.usage import Source, Usage

_COUNTS = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
    "output_tokens_details",
)


def usage_of(raw: Mapping[str, Any]) -> Usage | None:
    """None unless input and output are plausible; an explicit 0 is a number like any other.

    `input_tokens` are without those that were read from the cache or written to it. Writes that last an hour cost more
    than those that last five minutes; both are one class here.
    """
    fresh, output = count_of(raw, "input_tokens"), count_of(raw, "output_tokens")
    if fresh is None or output is None:
        return None
    read = count_of(raw, "cache_read_input_tokens") or 0
    written = count_of(raw, "cache_creation_input_tokens") or 0
    thought = min(output, count_of(object_of(raw, "output_tokens_details"), "thinking_tokens") or 0)
    return Usage(fresh, read, written, output - thought, thought, Source.PROVIDER)


def counts_of(raw: Mapping[str, Any]) -> JsonObject:
    """What is told of them here: an event of a stream repeats only some."""
    return {name: raw[name] for name in _COUNTS if raw.get(name) is not None}

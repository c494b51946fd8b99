"""Texts as vectors, in OpenAI's vocabulary."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from domain.usage import Usage

Input = str | Sequence[int]
"""A text, or its tokens where the caller has counted them already."""


@dataclass(frozen=True, slots=True)
class EmbeddingPrompt:
    """`model` is the provider's own name of the model; `dimensions` asks for shorter ones, where it can make them."""

    model: str
    inputs: Sequence[Input]
    dimensions: int | None = None
    user: str | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """`vectors` are little-endian 32-bit floats, one `bytes` per input: compact, and what base64 is made of."""

    vectors: Sequence[bytes]
    usage: Usage | None = None
    model: str = ""


def as_messages(inputs: Sequence[Input]) -> list[dict[str, Any]]:
    """One message as long as all inputs together, for `tokens.estimate_messages`: counted tokens count as many.

    Its parts are no neighbours of each other: nobody reads one input together with the next.
    """
    return [{"role": "user", "content": [{"type": "input", "text": _readable(text)} for text in inputs]}]


def from_messages(messages: Sequence[Mapping[str, Any]], inputs: Sequence[Input]) -> list[Input]:
    """`inputs`, with the texts that `messages` made of them have now."""
    (message,) = messages
    pairs = zip(message["content"], inputs, strict=True)
    return [part["text"] if isinstance(text, str) else text for part, text in pairs]


def packed(numbers: Sequence[float]) -> bytes:
    """Numbers as a vector. Raises ValueError for what is no number, or none that 32 bits hold."""
    try:
        return struct.pack(f"<{len(numbers)}f", *numbers)
    except (struct.error, OverflowError) as error:
        raise ValueError("not a 32-bit number") from error


def unpacked(vector: bytes) -> tuple[float, ...]:
    """The numbers of a vector. Raises ValueError when it ends amid one, or when one is not finite."""
    if len(vector) % 4:
        raise ValueError("ends amid a number")
    numbers = struct.unpack(f"<{len(vector) // 4}f", vector)
    if not isfinite(sum(numbers)):  # that of finite 32-bit numbers is finite
        raise ValueError("not finite")
    return numbers


def _readable(text: Input) -> str:
    return text if isinstance(text, str) else " " * (4 * len(text) - 1)

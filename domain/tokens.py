"""An estimate of token counts, for the moments when no provider counted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from domain.usage import Source, Usage

Count = Callable[[str], int]
"""The tokens of a text."""

METHOD = "chars/4"
_PER_MESSAGE = 4
_USUAL = frozenset({"role", "content"})
"""Of a message, besides which there are calls of tools, refusals, reasoning."""
_READ = ("tools", "functions", "response_format", "prediction")
"""Options that a model reads, so that they are paid for like messages."""
_PER_IMAGE = 765
_NARROW_PER_TOKEN = 4
_WIDE = "\u2e80"
"""From here on a character is about one token: CJK, kana, hangul."""


def estimate_text(text: str) -> int:
    """About one token per four Latin characters and one per CJK character; 0 only for empty text."""
    meter = TokenMeter()
    meter.add(text)
    return meter.tokens


def estimate_messages(messages: Iterable[Mapping[str, Any]], count: Count = estimate_text) -> int:
    """Tokens of a prompt in OpenAI's message shape, its per-message overhead included."""
    return sum(_message(message, count) for message in messages)


def estimate_prompt(messages: Iterable[Mapping[str, Any]], beside: object = None, count: Count = estimate_text) -> int:
    """Tokens of messages, and of what else the model reads: definitions of tools, schemas."""
    return estimate_messages(messages, count) + (count(repr(beside)) if beside else 0)


def estimate_call(
    messages: Iterable[Mapping[str, Any]], options: Mapping[str, Any], count: Count = estimate_text
) -> int:
    """Tokens of all that a model reads of a chat completion; an estimate however exact `count` is."""
    return estimate_prompt(messages, [options[name] for name in _READ if name in options], count)


class TokenMeter:
    """Counts the tokens of text that arrives in pieces, without keeping the text."""

    __slots__ = ("_narrow", "_wide")

    def __init__(self) -> None:
        self._narrow = 0
        self._wide = 0

    def add(self, text: str) -> None:
        if text.isascii():
            self._narrow += len(text)
        else:
            wide = sum(1 for char in text if char >= _WIDE)
            self._wide += wide
            self._narrow += len(text) - wide

    @property
    def tokens(self) -> int:
        return 0 if not self._narrow + self._wide else self._wide + self._narrow // _NARROW_PER_TOKEN + 1


def estimated(prompt_tokens: int, output_tokens: int) -> Usage:
    return Usage(input=prompt_tokens, output=output_tokens, source=Source.ESTIMATED)


def owed_so_far(counted: Usage | None, prompt_tokens: int, output_tokens: int) -> Usage:
    """Of an answer that was cut: what was `counted` of it, and the two estimates for what was not.

    Some providers count the prompt at once and the output at the end, and some fill in zeros until then: what was sent
    and what was heard is not 0.
    """
    if counted is None or not counted.total_tokens:
        return estimated(prompt_tokens, output_tokens)
    return counted if counted.completion_tokens else replace(counted, output=output_tokens, source=Source.ESTIMATED)


def _message(message: Mapping[str, Any], count: Count) -> int:
    beside = [value for name, value in message.items() if value and name not in _USUAL]
    return _PER_MESSAGE + _content(message.get("content"), count) + (count(repr(beside)) if beside else 0)


def _content(content: object, count: Count) -> int:
    if isinstance(content, str):
        return count(content)
    if not isinstance(content, list):
        return 0
    return sum(_part(part, count) for part in content if isinstance(part, Mapping))


def _part(part: Mapping[str, Any], count: Count) -> int:
    text = part.get("text")
    return count(text) if isinstance(text, str) else _PER_IMAGE

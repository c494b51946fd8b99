"""Tokens as OpenAI's models count them, by their own vocabularies; every other model by the estimate."""

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from domain.tokens import METHOD, estimate_text

_PACKAGE = "rs_bpe"
"""Brings the vocabularies with it, about 65 MB in memory each; installed by the extra `tokens`."""

_FAMILIES = (
    (re.compile(r"(gpt-4o|gpt-4\.1|gpt-5|chatgpt-4o|o[134])\b"), "o200k_base"),
    (re.compile(r"(gpt-4|gpt-3\.5)"), "cl100k_base"),
)
"""https://github.com/openai/tiktoken/blob/main/tiktoken/model.py."""


class TokenCounts:
    """Implements `TokenCounter`. A vocabulary is loaded when it is needed for the first time."""

    def __init__(self) -> None:
        self._exact = find_spec(_PACKAGE) is not None

    def count(self, model: str, text: str) -> int:
        name = self.method(model)
        return estimate_text(text) if name == METHOD else _counter(name)(text)

    def method(self, model: str) -> str:
        provider, _, name = model.partition("/")
        if not self._exact or provider != "openai":
            return METHOD
        return next((vocabulary for family, vocabulary in _FAMILIES if family.match(name)), METHOD)


@cache
def _counter(name: str) -> Callable[[str], int]:
    # `openai` is a member of the extension, which no import finds by its path.
    tokenizer = getattr(import_module(f"{_PACKAGE}.bpe").openai, name)()
    count: Callable[[str], int] = tokenizer.count
    return count

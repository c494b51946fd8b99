"""Matchers for guardrails: regular expressions in linear time, known kinds of personal data, lists of words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

import gevent

from domain.guardrail import Span

Find = Callable[[str], Sequence[Span]]

GROUP = "parley.guardrails"
"""Entry points of packages that bring matchers: callables that take a text and return (start, end) pairs."""

HOOK_SECONDS = 2.0

_DIGITS = r"\d(?:[ -]?\d)"

PERSONAL: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "card": (rf"\b{_DIGITS}{{12,18}}\b", "stdnum.luhn"),
        "cn_id": (r"\b\d{17}[\dXx]\b", "stdnum.cn.ric"),
        "email": (r"(?i)\b[a-z0-9][a-z0-9._%+-]{0,63}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,8}\.[a-z]{2,24}\b", ""),
        "iban": (r"(?i)\b[a-z]{2}\d{2}(?: ?[a-z0-9]){11,30}\b", "stdnum.iban"),
        "ip": (r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b", ""),
        "phone": (r"(?:\+\d{1,3}[ .-]?)(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}\b|\b1[3-9]\d{9}\b", ""),
        "us_ssn": (r"\b\d{3}-\d{2}-\d{4}\b", "stdnum.us.ssn"),
    }
)
"""Kinds of personal data: how they look, and the module that checks their check digits, where they have any.

These modules take 10 MB, so they are loaded where a kind is used.
"""


def expressions(patterns: Iterable[str]) -> Find:
    """Raises ValueError for what is no regular expression of RE2 (https://github.com/google/re2/wiki/Syntax)."""
    return partial(_all, [(_compiled(pattern), None) for pattern in patterns])


def words(listed: Iterable[str]) -> Find:
    """Whole words or phrases, in any case; between the words of a phrase may be any white space.

    Raises ValueError for one without a letter.
    """
    return expressions(map(_phrase, listed))


def personal(kinds: Iterable[str]) -> Find:
    """`kinds` are of PERSONAL. Raises ValueError for another."""
    chosen = []
    for kind in kinds:
        if kind not in PERSONAL:
            raise ValueError(f"there is no kind of personal data {kind}; known are {', '.join(PERSONAL)}")
        pattern, module = PERSONAL[kind]
        chosen.append((_compiled(pattern), import_module(module).validate if module else None))
    return partial(_all, chosen)


def hook(name: str) -> Find:
    """The matcher that an installed package brings under this name. Raises ValueError when none does.

    It may ask somebody over the network, and fails when that takes longer than `HOOK_SECONDS`. What it computes itself
    is not interrupted: it has to be as quick as the other matchers, because everybody waits for it.
    """
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise ValueError(f"no installed package has a guardrail {name}")
    try:
        find = next(iter(found)).load()
    except Exception as error:
        raise ValueError(f"the guardrail {name} cannot be loaded: {type(error).__name__}: {error}") from error
    return partial(_hooked, find)


def together(finders: Sequence[Find]) -> Find:
    return lambda text: [span for find in finders for span in find(text)]


def _hooked(find: Callable[[str], Iterable[tuple[int, int]]], text: str) -> list[Span]:
    """Raises ValueError for what is no part of the text, and TimeoutError."""
    with gevent.Timeout(HOOK_SECONDS, TimeoutError):
        spans = [Span(start, end) for start, end in find(text)]
    for span in spans:
        if not 0 <= span.start < span.end <= len(text):
            raise ValueError(f"{span} is not a part of a text of {len(text)} characters")
    return spans


_Check = Callable[[str], object] | None


def _all(patterns: Sequence[tuple[Any, _Check]], text: str) -> list[Span]:
    return [
        Span(match.start(), match.end())
        for pattern, check in patterns
        for match in pattern.finditer(text)
        if match.end() > match.start() and (check is None or _valid(match.group(), check))
    ]


def _valid(text: str, check: Callable[[str], object]) -> bool:
    try:
        check(text.replace(" ", "").replace("-", ""))
    except ValueError:
        return False
    return True


def _phrase(phrase: str) -> str:
    """RE2 knows the borders of ASCII words only; where a phrase begins or ends otherwise, none are asked for."""
    if not phrase.strip():
        raise ValueError("a word has at least one letter")
    text = r"\s+".join(_re2().escape(word) for word in phrase.split())
    before, after = (r"\b" if _is_word(letter) else "" for letter in (phrase.strip()[:1], phrase.strip()[-1:]))
    return f"(?i){before}{text}{after}"


def _is_word(letter: str) -> bool:
    return letter.isascii() and letter.isalnum()


def _compiled(pattern: str) -> Any:
    engine = _re2()
    options = engine.Options()
    options.log_errors = False
    try:
        return engine.compile(pattern, options)
    except engine.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"{pattern!r} is not a regular expression of RE2: {reason}") from None


def _re2() -> Any:
    """Loaded with the first guardrail: most installations have none, and each worker keeps 2 MB of it."""
    return import_module("re2")

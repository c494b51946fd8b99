"""Runs the operator's rules over every prompt and every answer, whichever route they come by."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from application.facts import GuardrailFailed, GuardrailHit
from application.ports import Record
from domain import escapes, texts
from domain.completion import Completion, JsonObject
from domain.errors import GuardrailBlocked
from domain.guardrail import Action, Side, Span, masked, merged

WINDOW = 256
"""Characters of a stream that wait until it is certain that no match begins in them. A longer match may get out."""

_MOST_WINDOWS = 8
"""A match that goes on for longer is not waited for: what is there of it is taken out."""


class Matcher(Protocol):
    """Finds what a rule is about. Takes time that is linear in the text; whatever it raises is a failed rule."""

    def __call__(self, text: str, /) -> Sequence[Span]: ...


@dataclass(frozen=True, slots=True)
class Rule:
    """`closed` says what happens when its matcher fails: the call is blocked, or else goes on unchecked."""

    name: str
    find: Matcher
    action: Action
    sides: frozenset[Side]
    closed: bool = True


class Released(NamedTuple):
    """What may go out of a text, and how many of its characters that stands for."""

    text: str
    length: int


Found = Sequence[tuple[Rule, Span]]


class Guardrails:
    """Raises GuardrailBlocked; without rules for a side nothing is copied or looked at."""

    def __init__(self, rules: Sequence[Rule], record: Record, window: int = WINDOW) -> None:
        self._record = record
        self.window = window
        self.use(rules)

    def use(self, rules: Sequence[Rule]) -> None:
        """From now on; a stream that has begun ends with the rules that are in force then."""
        self._input = tuple(rule for rule in rules if Side.INPUT in rule.sides)
        self._output = tuple(rule for rule in rules if Side.OUTPUT in rule.sides)

    @property
    def watches_prompts(self) -> bool:
        return bool(self._input)

    @property
    def watches_answers(self) -> bool:
        return bool(self._output)

    def prompt(self, messages: Sequence[JsonObject]) -> list[JsonObject]:
        """The messages as they may be sent. All that a model reads in them is looked at; images are not."""
        seamless = (texts.seamless(message, self._is_spanned) for message in messages)
        return [texts.message(message, self._check_input) for message in seamless]

    def options(self, options: JsonObject) -> JsonObject:
        """The same for what is sent beside the messages: tools, schemas, predictions, metadata."""
        return {name: texts.rewritten(value, self._check_input) for name, value in options.items()}

    def unreadable(self, reason: str) -> None:
        """A prompt that cannot be looked at is one that no rule could be applied to."""
        for rule in self._input:
            self._fail(rule, reason)

    def answer(self, completion: Completion) -> Completion:
        """A whole answer as it may be shown: the same object unless something was taken out."""
        if not self._output:
            return completion
        choices = [self._choice(choice) for choice in completion.choices]
        if all(new is old for new, old in zip(choices, completion.choices, strict=True)):
            return completion
        return replace(completion, choices=choices, text=_text_of(choices[0]))

    def beside(self, text: str) -> str:
        """A text that comes with something else than chat, as it may be shown."""
        return self._check_output(text)

    def rest(self, delta: JsonObject) -> JsonObject:
        """What comes at once in a stream: names of tools, whatever else a provider sends."""
        return texts.message(delta, self._check_output)

    def released(self, before: str, waiting: str, *, final: bool, escaped: bool = False) -> Released:
        """How much of the text `waiting` may go out now, and how it reads then; `before` is out already.

        What touches the end of a text that may go on is no match yet: the next letter can make another word of it.
        `escaped` is JSON, which is looked at as the texts in it read.
        """
        text, places = (escapes.unescaped if escaped else escapes.plain)(before + waiting)
        gone, end = len(before), len(text)
        start = bisect_left(places, gone)
        found = [it for it in self._found(text, self._output) if it[1].end > start]
        safe = end if final else self._safe(found, start, end)
        out = [it for it in found if it[1].start < safe]
        self._block(out if final else [*out, *(it for it in found if it[1].end < end)], Side.OUTPUT)
        length = places[max([safe, *(span.end for _, span in out)])] - gone
        ours = [(rule, Span(max(places[span.start], gone) - gone, places[span.end] - gone)) for rule, span in out]
        return Released(self._applied(waiting[:length], ours, Side.OUTPUT), length)

    def _safe(self, found: Found, start: int, end: int) -> int:
        safe = max(start, end - self.window)
        for span in merged([span for _, span in found]):
            if span.start < safe < span.end and end - span.start <= _MOST_WINDOWS * self.window:
                return max(start, span.start)
        return safe

    def _choice(self, choice: JsonObject) -> JsonObject:
        """The probabilities of its tokens would tell what was taken out."""
        message = choice.get("message")
        if not isinstance(message, dict):
            return choice
        shown = texts.message(message, self._check_output)
        if shown is message:
            return choice
        return {name: value for name, value in choice.items() if name != "logprobs"} | {"message": shown}

    def _is_spanned(self, parts: Sequence[str]) -> bool:
        """Whether a match begins in one part and ends in another."""
        seams = list(accumulate(map(len, parts)))
        ends = ((bisect_right(seams, span.start), span.end) for _, span in self._found("".join(parts), self._input))
        return any(seams[at] < end for at, end in ends)

    def _check_input(self, text: str) -> str:
        return self._checked(text, self._input, Side.INPUT)

    def _check_output(self, text: str) -> str:
        return self._checked(text, self._output, Side.OUTPUT)

    def _checked(self, text: str, rules: Sequence[Rule], side: Side) -> str:
        found = self._found(text, rules)
        self._block(found, side)
        return self._applied(text, found, side)

    def _found(self, text: str, rules: Sequence[Rule]) -> list[tuple[Rule, Span]]:
        return [(rule, span) for rule in rules for span in self._matches(rule, text)]

    def _block(self, found: Found, side: Side) -> None:
        for rule, _ in found:
            if rule.action is Action.BLOCK:
                self._record(GuardrailHit(rule.name, rule.action, side))
                raise _blocked(rule)

    def _applied(self, text: str, found: Found, side: Side) -> str:
        """Each match is told of once: when its text goes out."""
        for rule, _ in found:
            self._record(GuardrailHit(rule.name, rule.action, side))
        spans = [span for rule, span in found if rule.action is Action.MASK]
        return masked(text, spans) if spans else text

    def _matches(self, rule: Rule, text: str) -> Sequence[Span]:
        if not text:
            return ()
        try:
            return rule.find(text)
        except Exception as error:  # noqa: BLE001 - code of others: whatever it raises is a rule that failed
            self._fail(rule, type(error).__name__, error)
            return ()

    def _fail(self, rule: Rule, reason: str, error: Exception | None = None) -> None:
        self._record(GuardrailFailed(rule.name, reason, blocked=rule.closed))
        if rule.closed:
            raise _blocked(rule) from error


def _text_of(choice: JsonObject) -> str:
    message: Any = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    return text if isinstance(text, str) else ""


def _blocked(rule: Rule) -> GuardrailBlocked:
    return GuardrailBlocked(f"The guardrail {rule.name} of this installation does not allow this content.")

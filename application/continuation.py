"""An answer that was cut, and that others go on with: one text for the client, each piece billed by its provider."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from application.cancellation import Attempt, Cancellation
from domain import tokens
from domain.completion import OUTPUT_LIMITS, Completion, Delta, JsonObject, Prompt
from domain.errors import ParleyError
from domain.provider_errors import (
    UpstreamFailed,
    UpstreamIdleTimeout,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamReset,
    UpstreamTruncated,
)
from domain.usage import Usage

_CUTS = (
    UpstreamFailed,
    UpstreamIdleTimeout,
    UpstreamMalformed,
    UpstreamOverloaded,
    UpstreamReset,
    UpstreamTruncated,
)
_PLAIN = frozenset({"role", "content"})


@dataclass(frozen=True, slots=True)
class _Cut:
    """The attempt that broke off, and what its provider bills for its piece of the answer."""

    attempt: Attempt
    usage: Usage


class Continuation:
    """Keeps the text of the answer so far; `prompt_tokens` is the estimate of what was asked.

    The last attempt on the cancellation is always the one whose piece is the end of what the client has.
    """

    def __init__(self, prompt: Prompt, prompt_tokens: int, cancellation: Cancellation) -> None:
        self._prompt = prompt
        self._prompt_tokens = prompt_tokens
        self._cancellation = cancellation
        self._pieces: list[str] = []
        self._plain = True
        self._piece = tokens.TokenMeter()
        self._sent_before = 0
        self._cut: _Cut | None = None
        self._taken_over = False

    @property
    def prompt(self) -> Prompt:
        """What the next one is asked: the question, and the answer as far as the client has it."""
        text = "".join(self._pieces)
        if not text:
            return self._prompt
        options = _shortened(self._prompt.options, tokens.estimate_text(text))
        return replace(self._prompt, messages=_begun(self._prompt.messages, text), options=options)

    def add(self, deltas: list[Delta]) -> list[Delta]:
        """What of them the client gets: an answer has one beginning."""
        if self._cut is not None:
            self._take_over(self._cut)
        for delta in deltas:
            self._plain = self._plain and _is_plain(delta)
            self._pieces.append(delta.text)
            self._piece.add(delta.text)
        return list(filter(_says_something, map(_without_role, deltas))) if self._taken_over else deltas

    def close(self, completion: Completion) -> Completion:
        """The end of the last piece. A count that its provider owes is estimated for this piece alone."""
        if self._taken_over and completion.usage is None:
            completion.usage = self._owed()
        return completion

    def break_off(self, error: ParleyError) -> bool:
        """The piece that was being heard was cut. Whether another deployment may go on."""
        attempts = self._cancellation.attempts
        if not self._plain or not isinstance(error, _CUTS) or not attempts:
            return False
        self._cut = _Cut(attempts[-1], self._counted())
        return True

    def leave(self) -> None:
        """There is nothing more to come, for whichever reason. Who could not go on has no part in the answer."""
        attempts = self._cancellation.attempts
        if self._cut is not None:
            attempts.remove(self._cut.attempt)
            attempts.append(self._cut.attempt)
            self._cancellation.counted = self._cut.usage
        elif self._taken_over:
            self._cancellation.counted = self._counted()

    def _take_over(self, cut: _Cut) -> None:
        cut.attempt.usage = cut.usage
        self._cut, self._taken_over = None, True
        self._sent_before += self._piece.tokens
        self._piece = tokens.TokenMeter()

    def _counted(self) -> Usage:
        counted, self._cancellation.counted = self._cancellation.counted, None
        return self._owed(counted)

    def _owed(self, counted: Usage | None = None) -> Usage:
        return tokens.owed_so_far(counted, self._prompt_tokens + self._sent_before, self._piece.tokens)


def _is_plain(delta: Delta) -> bool:
    """Nothing but text of the first choice, which has not ended: anything else cannot be begun for somebody."""
    return not delta.reasoning and all(map(_is_plain_choice, delta.choices))


def _is_plain_choice(choice: JsonObject) -> bool:
    if choice.get("index") or choice.get("logprobs") or choice.get("finish_reason"):
        return False
    return not any(value for name, value in choice.get("delta", {}).items() if name not in _PLAIN)


def _without_role(delta: Delta) -> Delta:
    return replace(delta, choices=[_anonymous(choice) for choice in delta.choices])


def _anonymous(choice: JsonObject) -> JsonObject:
    delta = choice.get("delta")
    if not isinstance(delta, dict) or "role" not in delta:
        return choice
    return {**choice, "delta": {name: value for name, value in delta.items() if name != "role"}}


def _says_something(delta: Delta) -> bool:
    return any(choice.get("finish_reason") or any(choice.get("delta", {}).values()) for choice in delta.choices)


def _begun(messages: Any, text: str) -> list[Mapping[str, Any]]:
    """An answer that the caller had begun already is one with what followed."""
    *before, last = messages
    if last.get("role") == "assistant" and isinstance(last.get("content"), str):
        return [*before, {**last, "content": last["content"] + text}]
    return [*messages, {"role": "assistant", "content": text}]


def _shortened(options: Mapping[str, Any], spent: int) -> Mapping[str, Any]:
    """What is left of the longest answer that was asked for."""
    limits = {name: max(1, options[name] - spent) for name in OUTPUT_LIMITS if isinstance(options.get(name), int)}
    return {**options, **limits} if limits else options

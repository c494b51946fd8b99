"""Guardrails for a stream: the end of every text waits until no match can begin in it."""

from collections.abc import Iterator, Sequence
from typing import Any

from application.guardrails import Guardrails
from domain.completion import Delta, JsonObject

_TEXTS = ("reasoning_content", "reasoning", "content", "refusal")
"""In the order in which they are read when several come at once."""

Channel = str | int
"""A text of a choice: its name, or the position of the call of a tool whose arguments it is."""


class Screen:
    """Of one choice one text waits at a time: it is finished for the moment as soon as another one begins.

    What has gone out of a text is remembered as far as a match may reach back into it.
    """

    def __init__(self, guardrails: Guardrails) -> None:
        self.changed = False
        """Whether something was taken out."""
        self._guardrails = guardrails
        self._waiting: dict[int, tuple[Channel, str]] = {}
        self._gone: dict[tuple[int, Channel], str] = {}
        self._ids: dict[tuple[int, int], str] = {}
        self._roles: dict[int, JsonObject] = {}
        """Who speaks is told with the first thing that is said: an answer that is forbidden has not begun."""

    def feed(self, deltas: Sequence[Delta]) -> list[Delta]:
        """The deltas that may be shown now. A choice that has finished holds nothing back."""
        return [shown for delta in deltas for shown in self._delta(delta)]

    def flush(self) -> list[Delta]:
        """What still waits when a stream ends without a finish reason for it."""
        return [late for index in list(self._waiting) for late in self._finished(index)]

    def _delta(self, delta: Delta) -> Iterator[Delta]:
        choices = []
        for choice in delta.choices:
            index, inner = choice.get("index", 0), _fields(choice, "delta")
            if self._is_over(index, inner):
                yield from self._finished(index)
            made = self._choice(choice, index, inner)
            if made is not None:
                choices.append(made)
        if choices:
            yield _made(choices)

    def _is_over(self, index: int, inner: JsonObject) -> bool:
        """Whether another text of the choice begins, or what was thought is signed."""
        if index not in self._waiting:
            return False
        channel, _ = self._waiting[index]
        named = {name for name in _TEXTS if _text(inner, name)}
        calls = [self._is_new(index, at, call) or at != channel for at, call in _calls(inner)]
        signed = bool(inner.get("reasoning_details")) and channel not in named
        return signed or any(calls) or any(name != channel for name in named)

    def _is_new(self, index: int, position: int, call: JsonObject) -> bool:
        """Some providers say the id of a call again and again, others give all calls the same position."""
        said = _text(call, "id")
        if not said:
            return False
        known, self._ids[index, position] = self._ids.get((index, position), said), said
        return known != said

    def _choice(self, choice: JsonObject, index: int, inner: JsonObject) -> JsonObject | None:
        """None while there is nothing to show of it. Probabilities would tell the tokens that are held back."""
        finished, calls = choice.get("finish_reason") is not None, list(_calls(inner))
        made = self._checked({name: value for name, value in inner.items() if not _is_told_apart(name, value)})
        named = [name for name in _TEXTS if _text(inner, name)]
        for at, name in enumerate(named, 1):
            final = finished or at < len(named) or bool(calls) or "reasoning_details" in made
            _place(made, name, self._out(index, name, inner[name], final=final))
        for at, (position, call) in enumerate(calls, 1):
            self._call(made, index, position, call, final=finished or at < len(calls))
        if finished and index in self._waiting:
            channel, _ = self._waiting[index]
            _place(made, channel, self._out(index, channel, "", final=True))
        if not finished and not made.keys() - {"role"}:
            self._roles.update({index: made} if made else {})
            return None
        shown = {**choice, "delta": {**self._roles.pop(index, {}), **made}}
        return {**shown, "logprobs": None} if choice.get("logprobs") else shown

    def _call(self, made: JsonObject, index: int, position: int, call: JsonObject, *, final: bool) -> None:
        """A fragment of a call of a tool: its name is said at once. One that only goes on may have to wait."""
        function = _fields(call, "function")
        rest = self._checked({name: value for name, value in function.items() if name != "arguments"})
        arguments = _text(function, "arguments")
        out = self._out(index, position, arguments, final=final) if arguments else ""
        if out or rest or call.keys() - {"index", "function"}:
            shown = {**self._checked({name: value for name, value in call.items() if name != "function"})}
            shown["function"] = {**rest, "arguments": out}
            made.setdefault("tool_calls", []).append(shown)

    def _checked(self, rest: JsonObject) -> JsonObject:
        """What is said at once, in one piece."""
        made = self._guardrails.rest(rest) if rest else rest
        self.changed = self.changed or made is not rest
        return made

    def _finished(self, index: int) -> Iterator[Delta]:
        """What waits of a choice."""
        channel, _ = self._waiting[index]
        out = self._out(index, channel, "", final=True)
        made = self._roles.pop(index, {})
        _place(made, channel, out)
        yield _made([{"index": index, "delta": made, "finish_reason": None}])

    def _out(self, index: int, channel: Channel, text: str, *, final: bool) -> str:
        """What may go out of that text now."""
        _, waited = self._waiting.pop(index, (channel, ""))
        waiting, gone = waited + text, self._gone.get((index, channel), "")
        released = self._guardrails.released(gone, waiting, final=final)
        out, left = waiting[: released.length], waiting[released.length :]
        self._gone[index, channel] = (gone + out)[-self._guardrails.window :]
        if left:
            self._waiting[index] = (channel, left)
        self.changed = self.changed or released.text != out
        return released.text


def _made(choices: list[JsonObject]) -> Delta:
    first: JsonObject = next((choice["delta"] for choice in choices if choice.get("index", 0) == 0), {})
    reasoning = first.get("reasoning_content") or first.get("reasoning")
    return Delta(choices, first.get("content") or "", reasoning or "")


def _calls(delta: JsonObject) -> Iterator[tuple[int, JsonObject]]:
    """Calls of tools with the position that the stream has for them."""
    calls = delta.get("tool_calls")
    for at, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            position = call.get("index")
            yield position if isinstance(position, int) else at, call


def _fields(value: JsonObject, name: str) -> JsonObject:
    fields = value.get(name)
    return fields if isinstance(fields, dict) else {}


def _text(fields: JsonObject, name: str) -> str:
    text = fields.get(name)
    return text if isinstance(text, str) else ""


def _is_told_apart(name: str, value: Any) -> bool:
    return name == "tool_calls" or (name in _TEXTS and (value is None or isinstance(value, str)))


def _place(delta: JsonObject, channel: Channel, text: str) -> None:
    """Put `text` into that channel of a delta in which it has no other."""
    if isinstance(channel, int):
        delta.setdefault("tool_calls", []).append({"index": channel, "function": {"arguments": text}})
    elif text:
        delta[channel] = text

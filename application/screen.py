"""Guardrails for a stream: the end of every text waits until no match can begin in it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from application.guardrails import Guardrails
from application.thoughts import Thoughts, unproven
from domain.completion import Delta, JsonObject
from domain.members import object_of, objects_of, text_of

_REASONING = frozenset({"reasoning_content", "reasoning"})
_INNER = {"audio": "transcript", "function_call": "arguments"}
"""Texts that are a member of something else."""
_TEXTS = ("reasoning_content", "reasoning", "content", "refusal", *_INNER)
"""In the order in which they are read when several come at once."""
_DETAILS = "reasoning_details"
_WRITTEN = {"function": "arguments", "custom": "input"}
"""What a model writes for a tool, by the kind of its call."""

Channel = str | int
"""A text of a choice: its name, or the position of the call of a tool that it is written for."""


class Screen:
    """Of one choice one text waits at a time: it is finished for the moment as soon as another one begins.

    What has gone out of a text is remembered as far as a match may reach back into it. Reasoning that is told in
    pieces of its own, beside the text of it, waits until it is over.
    """

    def __init__(self, guardrails: Guardrails) -> None:
        self.changed = False
        """Whether something was taken out."""
        self._guardrails = guardrails
        self._waiting: dict[int, tuple[Channel, str]] = {}
        self._gone: dict[tuple[int, Channel], str] = {}
        self._ids: dict[tuple[int, int], str] = {}
        self._kinds: dict[tuple[int, Channel], str] = {}
        self._roles: dict[int, JsonObject] = {}
        """Who speaks is told with the first thing that is said: an answer that is forbidden has not begun."""
        self._thoughts: defaultdict[int, Thoughts] = defaultdict(Thoughts)
        self._rethought: set[int] = set()
        """The choices of whose reasoning something was taken out that is not signed yet."""

    def feed(self, deltas: Sequence[Delta]) -> list[Delta]:
        """The deltas that may be shown now. A choice that has finished holds nothing back."""
        return [shown for delta in deltas for shown in self._delta(delta)]

    def flush(self) -> list[Delta]:
        """What still waits when a stream ends without a finish reason for it."""
        late = [it for index in list(self._waiting) for it in self._finished(index)]
        return late + [_only(index, self._thought(index)) for index, thoughts in self._thoughts.items() if thoughts]

    def _delta(self, delta: Delta) -> Iterator[Delta]:
        choices = []
        for choice in delta.choices:
            index, inner = choice.get("index", 0), object_of(choice, "delta")
            if self._thoughts[index].take(inner.get(_DETAILS)):
                inner = _without(inner, _DETAILS)
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
        named = _named(inner)
        calls = [self._is_new(index, at, call) or at != channel for at, call in _calls(inner)]
        signed = bool(inner.get(_DETAILS)) and channel not in named
        return signed or any(calls) or any(name != channel for name in named)

    def _is_new(self, index: int, position: int, call: JsonObject) -> bool:
        """Some providers say the id of a call again and again, others give all calls the same position."""
        said = text_of(call, "id")
        if not said:
            return False
        known, self._ids[index, position] = self._ids.get((index, position), said), said
        return known != said

    def _choice(self, choice: JsonObject, index: int, inner: JsonObject) -> JsonObject | None:
        """None while there is nothing to show of it. Probabilities would tell the tokens that are held back."""
        finished, calls, named = choice.get("finish_reason") is not None, list(_calls(inner)), _named(inner)
        made = self._checked(_rest(inner))
        signed = _DETAILS in made
        for at, name in enumerate(named, 1):
            final = finished or at < len(named) or bool(calls) or (signed and name in _REASONING)
            self._place(made, index, name, self._out(index, name, _said(inner, name), final=final))
        if signed and index in self._rethought:
            self._rethought.remove(index)
            made[_DETAILS] = unproven(objects_of(made, _DETAILS))
        if self._thoughts[index] and (finished or calls or not _REASONING.issuperset(named)):
            made |= self._thought(index)
        for at, (position, call) in enumerate(calls, 1):
            self._call(made, index, position, call, final=finished or at < len(calls))
        if finished and index in self._waiting:
            channel, _ = self._waiting[index]
            self._place(made, index, channel, self._out(index, channel, "", final=True))
        if not finished and not made.keys() - {"role"}:
            self._roles.update({index: made} if made else {})
            return None
        shown = {**choice, "delta": {**self._roles.pop(index, {}), **made}}
        return {**shown, "logprobs": None} if choice.get("logprobs") else shown

    def _call(self, made: JsonObject, index: int, position: int, call: JsonObject, *, final: bool) -> None:
        """A fragment of a call of a tool: its name is said at once. One that only goes on may have to wait."""
        kind = self._kinds[index, position] = "custom" if "custom" in call else "function"
        called, written = object_of(call, kind), _WRITTEN[kind]
        rest = self._checked(_without(called, written))
        text = text_of(called, written)
        out = self._out(index, position, text, final=final) if text else ""
        if out or rest or call.keys() - {"index", kind}:
            shown = {**self._checked(_without(call, kind)), kind: {**rest, written: out}}
            made.setdefault("tool_calls", []).append(shown)

    def _checked(self, rest: JsonObject) -> JsonObject:
        """What is said at once, in one piece."""
        made = self._guardrails.rest(rest) if rest else rest
        self.changed = self.changed or made is not rest
        return made

    def _thought(self, index: int) -> JsonObject:
        return self._checked({_DETAILS: self._thoughts[index].end()})

    def _finished(self, index: int) -> Iterator[Delta]:
        """What waits of a choice."""
        channel, _ = self._waiting[index]
        out = self._out(index, channel, "", final=True)
        made = self._roles.pop(index, {})
        self._place(made, index, channel, out)
        yield _only(index, made)

    def _out(self, index: int, channel: Channel, text: str, *, final: bool) -> str:
        """What may go out of that text now."""
        _, waited = self._waiting.pop(index, (channel, ""))
        waiting, gone = waited + text, self._gone.get((index, channel), "")
        escaped = channel == "function_call" or self._kinds.get((index, channel)) == "function"
        released = self._guardrails.released(gone, waiting, final=final, escaped=escaped)
        out, left = waiting[: released.length], waiting[released.length :]
        self._gone[index, channel] = (gone + out)[-self._guardrails.window :]
        if left:
            self._waiting[index] = (channel, left)
        if released.text != out:
            self.changed = True
            self._rethought.update({index} if channel in _REASONING else ())
        return released.text

    def _place(self, delta: JsonObject, index: int, channel: Channel, text: str) -> None:
        """Put `text` into that channel of a delta in which it has no other."""
        if isinstance(channel, int):
            kind = self._kinds[index, channel]
            delta.setdefault("tool_calls", []).append({"index": channel, kind: {_WRITTEN[kind]: text}})
        elif text and channel in _INNER:
            delta[channel] = {**object_of(delta, channel), _INNER[channel]: text}
        elif text:
            delta[channel] = text


def _only(index: int, delta: JsonObject) -> Delta:
    return _made([{"index": index, "delta": delta, "finish_reason": None}])


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


def _named(delta: JsonObject) -> list[str]:
    return [name for name in _TEXTS if _said(delta, name)]


def _said(delta: JsonObject, name: str) -> str:
    inner = _INNER.get(name)
    return text_of(object_of(delta, name), inner) if inner else text_of(delta, name)


def _rest(delta: JsonObject) -> JsonObject:
    """What is none of the texts that are told apart."""
    rest: JsonObject = {}
    for name, value in delta.items():
        if name in _INNER and isinstance(value, dict):
            beside = _without(value, _INNER[name])
            rest.update({name: {**beside, _INNER[name]: ""}} if any(beside.values()) else {})
        elif name != "tool_calls" and not (name in _TEXTS and (value is None or isinstance(value, str))):
            rest[name] = value
    return rest


def _without(holder: JsonObject, left_out: str) -> JsonObject:
    return {name: value for name, value in holder.items() if name != left_out}

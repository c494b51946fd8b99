"""Answers that were given before, for requests that are exactly the same. Off unless the operator turns it on."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from application.facts import CacheAsked
from application.model_ports import Plan
from application.ports import Cache, Record
from domain.completion import Completion, Delta, JsonObject
from domain.user import Principal

LARGEST = 256 * 1024
"""Characters of an answer that is kept, written as JSON."""
_WHOLE = frozenset({"stop", "tool_calls"})


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """`model` is the `provider/model` that gave it. A stream is kept as the choices of its deltas."""

    model: str
    completion: Completion
    deltas: tuple[list[JsonObject], ...] = ()

    def stream(self) -> Iterator[list[Delta] | Completion]:
        if self.deltas:
            yield [_delta(choices) for choices in self.deltas]
        yield self.completion


@dataclass(frozen=True, slots=True)
class AnswerCache:
    """Keys name the tenant and hash everything that shapes an answer, so nobody ever gets what others asked for.

    `seconds` is how long an answer is kept; 0 keeps none.
    """

    cache: Cache
    record: Record
    seconds: int = 0

    def key(self, principal: Principal, plan: Plan, asked: Any, *, streamed: bool) -> str | None:
        """`asked` is all that shapes the answer, as JSON could say it. None while the cache is off."""
        if not self.seconds:
            return None
        tenant = f"team:{principal.team_id}" if principal.team_id else f"user:{principal.user_id}"
        models = [plan.name, *sorted(deployment.id for deployment in plan.deployments)]
        shape = json.dumps([models, asked, streamed], sort_keys=True)
        return f"v1:{tenant}:answer:{hashlib.sha256(shape.encode()).hexdigest()}"

    def find(self, key: str) -> CachedAnswer | None:
        """What is stored and cannot be read is a miss like any other."""
        stored = self.cache.get(key)
        found = None if stored is None else _read(stored)
        self.record(CacheAsked(hit=found is not None))
        return found

    def keep(self, key: str, model: str, completion: Completion, deltas: "Recording | None" = None) -> None:
        """Only what is whole, and not too long. `model` is the `provider/model` that gave it."""
        finishes = [choice.get("finish_reason") for choice in completion.choices]
        if not _WHOLE.issuperset([completion.finish, *finishes]) or (deltas is not None and not deltas.whole):
            return
        head = json.dumps({"model": model, "completion": _written(completion)}, separators=(",", ":"))
        text = f'{head[:-1]},"deltas":[{",".join(deltas.written if deltas else ())}]}}'
        if len(text) <= LARGEST:
            self.cache.set(key, text.encode(), self.seconds)


class Recording:
    """The deltas of a stream, written as they will be kept: bounded, so that a long stream is as lean as any."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self._room = LARGEST
        self._cut = False

    @property
    def whole(self) -> bool:
        """False for what was too long, or ended in some other way than of itself."""
        return self._room >= 0 and not self._cut

    def add(self, deltas: Iterable[Delta]) -> None:
        for delta in deltas:
            if self._room < 0:
                return
            finishes = [choice.get("finish_reason") for choice in delta.choices]
            self._cut = self._cut or not _WHOLE.issuperset(filter(None, finishes))
            text = json.dumps(delta.choices, separators=(",", ":"))
            self._room -= len(text)
            self.written.append(text)
        if self._room < 0:
            self.written.clear()


def _written(completion: Completion) -> JsonObject:
    """Without what it cost, and the provider's own id of a conversation that goes on."""
    kept = {name: getattr(completion, name) for name in ("text", "finish", "model", "choices")}
    return {**kept, "extra": dict(completion.extra)}


def _read(stored: bytes) -> CachedAnswer | None:
    try:
        found = json.loads(stored)
        completion, deltas = Completion(**found["completion"]), tuple(found["deltas"])
        texts = (found["model"], completion.text, completion.finish, completion.model)
        sound = all(isinstance(text, str) for text in texts) and _are_choices(completion.choices, *deltas)
        return CachedAnswer(found["model"], completion, deltas) if sound else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _are_choices(*lists: Any) -> bool:
    return all(isinstance(it, list) and all(isinstance(choice, dict) for choice in it) for it in lists)


def _delta(choices: list[JsonObject]) -> Delta:
    first = next((choice.get("delta") or {} for choice in choices if choice.get("index", 0) == 0), {})
    reasoning = first.get("reasoning_content") or first.get("reasoning") or ""
    return Delta(choices, first.get("content") or "", reasoning)

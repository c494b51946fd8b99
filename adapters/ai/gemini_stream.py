"""Gemini's streamed wire: every event is a piece of an answer, and the last one has the reason for its end."""

from adapters.ai.conversation import room_for
from adapters.ai.decoder import Decoder
from adapters.ai.gemini_candidate import Candidate
from adapters.ai.gemini_usage import usage_of
from adapters.ai.gemini_wire import check
from adapters.ai.profile import Profile
from domain.completion import Completion, Delta, JsonObject, Prompt
from domain.members import object_of, objects_of, text_of
from domain.usage import Usage

EVENTS = frozenset({b"", b"message", b"error"})


class StreamDecoder(Decoder):
    """An answer is whole when every candidate had its finish reason; there is no other terminal marker."""

    def __init__(self, prompt: Prompt, profile: Profile) -> None:
        wanted = prompt.options.get("n")
        self._wanted = wanted if type(wanted) is int and wanted > 0 else 1
        super().__init__(room_for(prompt, profile) * self._wanted)
        self._prompt = prompt
        self._candidates: dict[int, Candidate] = {}
        self._usage: Usage | None = None
        self._model = ""

    @property
    def whole(self) -> bool:
        ended = [candidate for candidate in self._candidates.values() if candidate.finish]
        return len(ended) >= self._wanted

    def closing(self) -> Completion:
        first = self._candidates.get(0) or next(iter(self._candidates.values()))
        return Completion("", first.finish or "stop", self._usage, self._model, [])

    def take(self, event: JsonObject, deltas: list[Delta]) -> None:
        """Counts are cumulative, so the last one that makes sense holds, and it holds for what came with it."""
        if "usageMetadata" in event:
            self.counted = usage_of(object_of(event, "usageMetadata"))
            self._usage = self.counted or self._usage
        elif event.get("candidates"):
            self.counted = None
        self._model = self._model or text_of(event, "modelVersion")
        check(event)
        pieces = [(self._candidate(raw), raw) for raw in objects_of(event, "candidates")]
        choices = [choice for found, raw in pieces if found for choice in _grown(found, raw)]
        if choices:
            deltas.append(self._delta(choices))
        elif "usageMetadata" not in event:
            self.unknown += 1

    def _candidate(self, raw: JsonObject) -> Candidate | None:
        """None for one that nobody asked for."""
        fresh = Candidate(raw, self._prompt)
        return self._candidates.setdefault(fresh.index, fresh) if 0 <= fresh.index < self._wanted else None

    def _delta(self, choices: list[JsonObject]) -> Delta:
        said = [choice["delta"] for choice in choices if choice["index"] == 0]
        text = "".join(delta.get("content", "") for delta in said)
        reasoning = "".join(delta.get("reasoning_content", "") for delta in said)
        self.spend(sum(_length(choice["delta"]) for choice in choices))
        return Delta(choices, text, reasoning)


def _length(delta: JsonObject) -> int:
    """In characters."""
    called = sum(len(call["function"]["arguments"]) for call in delta.get("tool_calls", ()))
    return len(delta.get("content", "")) + len(delta.get("reasoning_content", "")) + called


def _grown(candidate: Candidate, raw: JsonObject) -> list[JsonObject]:
    """A piece with nothing in it is none, unless it is the last."""
    role = {} if candidate.begun else {"role": "assistant"}
    delta = candidate.take(raw)
    if not delta and not raw.get("finishReason"):
        return []
    candidate.begun = True
    return [{"index": candidate.index, "delta": {**role, **delta}, "finish_reason": candidate.finish}]

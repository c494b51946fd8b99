"""OpenAI's streamed wire: event payloads into `Delta`s, and the judgement whether the answer is whole."""

from adapters.ai.conversation import room_for
from adapters.ai.decoder import Decoder
from adapters.ai.openai_answers import Calls, settle, trim
from adapters.ai.openai_errors import in_band
from adapters.ai.openai_usage import usage_of
from adapters.ai.openai_wire import extra_of, finished, objects
from adapters.ai.profile import Profile
from domain.completion import Completion, Delta, JsonObject, Prompt
from domain.members import object_of, text_of
from domain.usage import Usage

DONE = b"[DONE]"


class StreamDecoder(Decoder):
    """An answer is whole when every choice had its finish reason.

    `[DONE]` alone proves nothing: vLLM sends it after an error, and proxies add it to whatever they got. No `[DONE]`
    after the finish reasons is fine.
    """

    def __init__(self, prompt: Prompt, profile: Profile) -> None:
        self._wanted = _choices(prompt)
        super().__init__(room_for(prompt, profile) * self._wanted)
        self._done_is_enough = profile.done_without_finish
        self._quirks = profile.quirks
        self._finishes: dict[int, str] = {}
        self._usage: Usage | None = None
        self._model = ""
        self._extra: dict[str, str] = {}
        self._request_id = prompt.request_id
        self._calls: dict[int, Calls] = {}

    @property
    def whole(self) -> bool:
        return len(self._finishes) >= self._wanted or (self.done and self._done_is_enough)

    def ends(self, payload: bytes) -> bool:
        return payload == DONE

    def closing(self) -> Completion:
        finish = self._finishes.get(0) or next(iter(self._finishes.values()), "stop")
        return Completion("", finish, self._usage, self._model, [], self._extra)

    def take(self, event: JsonObject, deltas: list[Delta]) -> None:
        if event.get("error"):
            raise in_band(event["error"], self._quirks.errors)
        choices = event.get("choices")
        delta = self._delta(choices) if choices else None
        if delta is not None:
            deltas.append(delta)
        self._note(event, delta)

    def _delta(self, raw: object) -> Delta | None:
        choices = objects(raw)
        if choices is None:
            return None
        text = reasoning = ""
        known = 0
        for choice in choices:
            index, delta = choice.get("index", 0), choice.get("delta")
            if type(index) is not int or not isinstance(delta, dict):
                return None
            if not 0 <= index < self._wanted:
                continue
            known += 1
            self._settle(index, choice, delta)
            if index == 0:
                text, reasoning = text_of(delta, "content"), text_of(delta, "reasoning_content")
        if known == len(choices):
            return Delta(choices, text, reasoning)
        asked = [choice for choice in choices if 0 <= choice.get("index", 0) < self._wanted]
        return Delta(asked, text, reasoning) if asked else None

    def _settle(self, index: int, choice: JsonObject, delta: JsonObject) -> None:
        if "finish_reason" in choice and choice["finish_reason"] is not None:
            choice["finish_reason"] = self._finish(index, choice)
        trim(choice)
        settle(delta)
        if delta.get("tool_calls"):
            delta["tool_calls"] = self._calls_of(index).pieces(delta["tool_calls"])
        self.spend(len(delta.get("content") or "") + len(delta.get("reasoning_content") or ""))

    def _calls_of(self, index: int) -> Calls:
        if index not in self._calls:
            self._calls[index] = Calls(self._request_id, index, self.spend)
        return self._calls[index]

    def _finish(self, index: int, choice: JsonObject) -> str | None:
        reason = finished(choice, self._quirks)
        if reason is not None:
            self._finishes[index] = reason
        return reason

    def _note(self, chunk: JsonObject, delta: Delta | None) -> None:
        """What is in few chunks only."""
        usage = chunk.get("usage")
        if usage is None and self._quirks.usage_within:
            usage = object_of(chunk, self._quirks.usage_within).get("usage")
        if usage is not None:
            self.counted = usage_of(usage)
            if self._usage is None or (self.counted is not None and self.counted.total_tokens):
                self._usage = self.counted  # zeros take back nothing
        elif delta is None:
            self.unknown += 1
        else:
            self.counted = None
            if delta.text or delta.reasoning:
                self._usage = None  # it was the count of what came before
        if not self._model:
            self._model = text_of(chunk, "model")
            self._extra = extra_of(chunk)


def _choices(prompt: Prompt) -> int:
    wanted = prompt.options.get("n")
    return wanted if type(wanted) is int and wanted > 0 else 1

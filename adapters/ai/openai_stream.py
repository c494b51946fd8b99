"""OpenAI's streamed wire: event payloads into `Delta`s, and the judgement whether the answer is whole."""

from adapters.ai.openai_errors import in_band
from adapters.ai.openai_usage import usage_of
from adapters.ai.openai_wire import check_finish, extra_of, objects, parsed, text_of
from adapters.ai.profile import Profile
from domain.completion import Completion, Delta, JsonObject, Prompt
from domain.provider_errors import MaxOutputExceeded, ProviderError, UpstreamMalformed, UpstreamTruncated
from domain.usage import Usage

DONE = b"[DONE]"
_FEW_BAD = 3
_BAD_SHARE = 0.1
_DEFAULT_OUTPUT = 131_072
_CHARACTERS_PER_TOKEN = 32
_SLACK = 65_536


class StreamDecoder:
    """O(1) state for one stream.

    An answer is whole when every choice had its finish reason. `[DONE]` alone proves nothing: vLLM sends it after
    an error, and proxies add it to whatever they got. No `[DONE]` after the finish reasons is fine.
    """

    def __init__(self, prompt: Prompt, profile: Profile) -> None:
        self.done = False
        self.unknown = 0
        """Events of no known shape; they do no harm."""
        self.malformed = 0
        """Events that were not JSON objects: something of the answer may be missing."""
        self.failure: ProviderError | None = None
        """What the stream died of; it is to be raised once the deltas before it are delivered."""
        self.counted: Usage | None = None
        """The provider's count, as long as no delta has come since."""
        self._profile = profile
        self._wanted = _choices(prompt)
        self._room = _room(prompt, profile) * self._wanted
        self._seen = 0
        self._finishes: dict[int, str] = {}
        self._usage: Usage | None = None
        self._model = ""
        self._extra: dict[str, str] = {}

    @property
    def whole(self) -> bool:
        return len(self._finishes) >= self._wanted or (self.done and self._profile.done_without_finish)

    def feed(self, payloads: list[bytes]) -> list[Delta]:
        """The deltas up to the end or the `failure`; nothing after either counts."""
        deltas: list[Delta] = []
        try:
            for payload in payloads:
                if payload == DONE:
                    self.done = True
                    break
                self._take_in(payload, deltas)
        except ProviderError as error:
            self.failure = error
        return deltas

    def close(self) -> Completion:
        """The end of the stream. Raises the `failure`, UpstreamTruncated unless it is whole, and UpstreamMalformed."""
        if self.failure is not None:
            raise self.failure
        if not self.whole:
            raise UpstreamTruncated
        if self.malformed > max(1, self._seen * _BAD_SHARE):
            raise UpstreamMalformed
        finish = self._finishes.get(0) or next(iter(self._finishes.values()), "stop")
        return Completion("", finish, self._usage, self._model, [], self._extra)

    def _take_in(self, payload: bytes, deltas: list[Delta]) -> None:
        self._seen += 1
        chunk = parsed(payload)
        if chunk is None:
            self.malformed += 1
            if self.malformed > _FEW_BAD:
                raise UpstreamMalformed
            return
        choices = chunk.get("choices")
        delta = self._delta(choices) if choices else None
        if delta is not None:
            deltas.append(delta)
        self._note(chunk, delta)

    def _delta(self, raw: object) -> Delta | None:
        choices = objects(raw)
        if choices is None:
            return None
        text = reasoning = ""
        for choice in choices:
            index, delta = choice.get("index", 0), choice.get("delta")
            if type(index) is not int or not isinstance(delta, dict):
                return None
            if index == 0:
                text, reasoning = _text(delta)
                self._room -= len(text) + len(reasoning)
            finish = choice.get("finish_reason")
            if finish:
                self._finish(index, finish)
        if self._room < 0:
            raise MaxOutputExceeded
        return Delta(choices, text, reasoning)

    def _finish(self, index: int, reason: object) -> None:
        check_finish(reason)
        if isinstance(reason, str) and 0 <= index < self._wanted:
            self._finishes[index] = reason

    def _note(self, chunk: JsonObject, delta: Delta | None) -> None:
        """What is in few chunks only, and what is wrong with this one."""
        if chunk.get("error"):
            raise in_band(chunk["error"])
        usage = chunk.get("usage")
        if usage is not None:
            self.counted = usage_of(usage)
            self._usage = self.counted or self._usage
        elif delta is None:
            self.unknown += 1
        else:
            self.counted = None
        if not self._model:
            self._model = text_of(chunk, "model")
            self._extra = extra_of(chunk)


def _text(delta: JsonObject) -> tuple[str, str]:
    """Visible text, and reasoning by either of its names."""
    text = delta.get("content")
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    return (text if isinstance(text, str) else ""), (reasoning if isinstance(reasoning, str) else "")


def _choices(prompt: Prompt) -> int:
    wanted = prompt.options.get("n")
    return wanted if type(wanted) is int and wanted > 0 else 1


def _room(prompt: Prompt, profile: Profile) -> int:
    """Characters that an honest answer stays within by far."""
    asked = prompt.options.get("max_completion_tokens") or prompt.options.get("max_tokens")
    tokens = asked if type(asked) is int else profile.card(prompt.model).max_output or _DEFAULT_OUTPUT
    return tokens * _CHARACTERS_PER_TOKEN + _SLACK

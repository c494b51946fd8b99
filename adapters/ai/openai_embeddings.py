"""Embeddings on OpenAI's wire."""

from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.ai.exchange import MAX_ANSWER
from adapters.ai.http_json import JsonCalls
from adapters.ai.openai_usage import prompt_usage_of
from adapters.ai.openai_wire import objects
from adapters.ai.profile import Profile
from adapters.ai.quirks import EmbeddingRules
from application.cancellation import Cancellation
from domain import tokens
from domain.completion import JsonObject
from domain.embedding import EmbeddingPrompt, Embeddings, Input, as_messages, packed, unpacked
from domain.errors import UnsupportedParameter
from domain.members import text_of
from domain.provider_errors import UpstreamBadContent
from domain.usage import Source, Usage

PATH = "/embeddings"

_LONGEST = 4_096
"""Numbers in a vector, where the caller did not say how many."""
_DIGITS = 24
"""Bytes of a number in decimal digits, with its comma."""
_BASE64 = 6


class OpenAIEmbedder:
    """Implements `Embedder`: https://platform.openai.com/docs/api-reference/embeddings.

    What the provider takes in one request is asked for in one, further inputs in further requests, one after the
    other. If one of them fails they all do; `cancellation.counted` is then what the ones before it cost, and nobody
    should try all of them again.
    """

    def __init__(self, calls: JsonCalls, profile: Profile, rules: EmbeddingRules) -> None:
        self._calls = calls
        self._provider = profile.name
        self._rules = rules

    def embed(self, prompt: EmbeddingPrompt, cancellation: Cancellation) -> Embeddings:
        """Raises UnsupportedParameter before anything is sent."""
        parameters = self._parameters(prompt)
        made = _Made()
        try:
            for inputs in _batches(prompt.inputs, self._size(prompt)):
                answer = self._calls.post(PATH, {**parameters, "input": inputs}, cancellation, prompt.request_id)
                made.add(inputs, answer, prompt.dimensions)
        except BaseException:
            cancellation.counted = made.so_far()
            raise
        return Embeddings(made.vectors, made.usage(), made.model)

    def _parameters(self, prompt: EmbeddingPrompt) -> dict[str, Any]:
        parameters: dict[str, Any] = {"model": prompt.model}
        for name, value in (("dimensions", prompt.dimensions), ("user", prompt.user)):
            if value is not None:
                parameters[self._name_of(name)] = value
        if not self._rules.tokens and not all(isinstance(text, str) for text in prompt.inputs):
            raise UnsupportedParameter(f"{self._provider} takes texts and no tokens.", param="input")
        if self._rules.base64:
            parameters["encoding_format"] = "base64"
        return parameters

    def _name_of(self, option: str) -> str:
        name = self._rules.options.get(option)
        if name is None:
            raise UnsupportedParameter(f"{self._provider} does not document the parameter {option}.", param=option)
        return name

    def _size(self, prompt: EmbeddingPrompt) -> int:
        """Inputs per request: as many as the provider takes, and as an answer has room for."""
        width = (prompt.dimensions or _LONGEST) * (_BASE64 if self._rules.base64 else _DIGITS)
        return max(1, min(self._rules.batch, MAX_ANSWER // width))


@dataclass(slots=True)
class _Made:
    """What has been made so far."""

    vectors: list[bytes] = field(default_factory=list)
    model: str = ""
    _counted: Usage = field(default_factory=lambda: Usage(source=Source.PROVIDER))
    _uncounted: list[Input] = field(default_factory=list)

    def add(self, inputs: Sequence[Input], answer: JsonObject, dimensions: int | None) -> None:
        """Raises UpstreamBadContent."""
        vectors = vectors_of(answer, len(inputs))
        check_widths([*self.vectors[:1], *vectors], dimensions)
        self.vectors += vectors
        self.model = text_of(answer, "model")
        usage = prompt_usage_of(answer.get("usage"))
        if usage is None:
            self._uncounted += inputs
        else:
            self._counted = replace(self._counted, input=self._counted.input + usage.input)

    def usage(self) -> Usage | None:
        """None unless the provider has counted all of it."""
        return None if self._uncounted else self._counted

    def so_far(self) -> Usage | None:
        """What is owed although there will be no answer, None when there is nothing of it."""
        if not self.vectors:
            return None
        if not self._uncounted:
            return self._counted
        guess = tokens.estimate_messages(as_messages(self._uncounted))
        return replace(self._counted, input=self._counted.input + guess, source=Source.ESTIMATED)


def check_widths(vectors: Sequence[bytes], dimensions: int | None) -> None:
    """Raises UpstreamBadContent unless all are as long as was asked for, or where nothing was, as each other."""
    width = 4 * dimensions if dimensions else len(vectors[0])
    if any(len(vector) != width for vector in vectors):
        raise UpstreamBadContent("The provider's vectors have not all the length that they should have.")


def vectors_of(answer: JsonObject, count: int) -> list[bytes]:
    """One vector per input, in the order of the inputs. Raises UpstreamBadContent."""
    items = objects(answer.get("data"))
    if items is None or len(items) != count:
        raise UpstreamBadContent(f"The provider's answer has not the {count:,} vectors that were asked for.")
    found: dict[int, bytes] = {}
    for place, item in enumerate(items):
        index = item.get("index", place)
        found[index if type(index) is int else -1] = _vector(item.get("embedding"))
    if found.keys() != set(range(count)):
        raise UpstreamBadContent("The provider's vectors are not those of all inputs.")
    return [found[index] for index in range(count)]


def _vector(raw: Any) -> bytes:
    """Numbers or base64: some servers answer with the one when they are asked for the other."""
    try:
        vector = b64decode(raw, validate=True) if isinstance(raw, str) else packed(raw)
        numbers = unpacked(vector)
    except (ValueError, TypeError):
        numbers = ()
    if not numbers:
        raise UpstreamBadContent("The provider's answer holds what is no vector.")
    return vector


def _batches(inputs: Sequence[Input], size: int) -> Iterator[Sequence[Input]]:
    return (inputs[start : start + size] for start in range(0, len(inputs), size))

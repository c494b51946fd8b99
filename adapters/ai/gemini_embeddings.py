"""Vectors from Gemini: https://ai.google.dev/api/embeddings."""

from collections.abc import Sequence
from typing import Any

from adapters.ai.conversation import unsupported
from adapters.ai.gemini_usage import usage_of
from adapters.ai.gemini_wire import path_of
from adapters.ai.http_json import JsonCalls
from adapters.ai.openai_embeddings import check_widths
from adapters.ai.quirks import EmbeddingRules
from application.cancellation import Cancellation
from domain.completion import JsonObject
from domain.embedding import EmbeddingPrompt, Embeddings, packed
from domain.members import object_of, objects_of
from domain.provider_errors import UpstreamBadContent
from domain.usage import Source, Usage


class GeminiEmbedder:
    """Implements `Embedder`. Further inputs than fit into one request go out in further ones, one after the other.

    If one of them fails they all do; `cancellation.counted` is then what the ones before it cost, where it is known.
    """

    def __init__(self, calls: JsonCalls, rules: EmbeddingRules) -> None:
        self._calls = calls
        self._rules = rules

    def embed(self, prompt: EmbeddingPrompt, cancellation: Cancellation) -> Embeddings:
        """Raises UnsupportedParameter before anything is sent."""
        path, requests, size = path_of(prompt.model, "batchEmbedContents"), self._requests(prompt), self._rules.batch
        vectors: list[bytes] = []
        counts: list[Usage | None] = []
        try:
            for at in range(0, len(requests), size):
                batch = requests[at : at + size]
                answer = self._calls.post(path, {"requests": batch}, cancellation, prompt.request_id)
                made = _vectors(answer, len(batch))
                check_widths([*vectors[:1], *made], prompt.dimensions)
                vectors += made
                counts.append(usage_of(object_of(answer, "usageMetadata")))
        except BaseException:
            cancellation.counted = _sum(counts)
            raise
        return Embeddings(vectors, _sum(counts), prompt.model)

    def _requests(self, prompt: EmbeddingPrompt) -> list[JsonObject]:
        named: JsonObject = {"model": f"models/{prompt.model}"}
        for name, value in (("dimensions", prompt.dimensions), ("user", prompt.user)):
            if value is not None:
                named[self._name_of(name)] = value
        if not self._rules.tokens and not all(isinstance(text, str) for text in prompt.inputs):
            raise unsupported("input", "this provider takes texts and no tokens.")
        return [{**named, "content": {"parts": [{"text": text}]}} for text in prompt.inputs]

    def _name_of(self, option: str) -> str:
        name = self._rules.options.get(option)
        if name is None:
            raise unsupported(option, "is not supported by this provider.")
        return name


def _vectors(answer: JsonObject, wanted: int) -> list[bytes]:
    found = objects_of(answer, "embeddings")
    if len(found) != wanted:
        raise UpstreamBadContent(f"The provider's answer has not the {wanted:,} vectors that were asked for.")
    return [_vector(embedding.get("values")) for embedding in found]


def _vector(values: Any) -> bytes:
    try:
        vector = packed(values)
    except (ValueError, TypeError):
        vector = b""
    if not vector:
        raise UpstreamBadContent("The provider's answer holds what is no vector.")
    return vector


def _sum(counts: Sequence[Usage | None]) -> Usage | None:
    """None unless every batch was counted, and when there was none."""
    counted = [usage for usage in counts if usage is not None]
    if not counted or len(counted) < len(counts):
        return None
    cached = sum(usage.cached_input for usage in counted)
    return Usage(sum(usage.input for usage in counted), cached, source=Source.PROVIDER)

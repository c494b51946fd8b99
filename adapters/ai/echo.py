"""A model that repeats the last message of the user: for a first run without any key, and for tests."""

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator
from hashlib import sha256
from math import hypot

from gevent import sleep

from adapters.ai.echo_images import EchoImages
from adapters.ai.profile import Link, Profile
from application.cancellation import Cancellation
from application.model_ports import ChatModel, Embedder, ImageMaker
from domain import tokens
from domain.completion import Completion, Delta, JsonObject, Prompt, output_limit
from domain.embedding import EmbeddingPrompt, Embeddings, Input, as_messages, packed
from domain.errors import UnsupportedParameter
from domain.usage import Source, Usage

SLOW = "slow"
DIMENSIONS = 8
_SLOW_SECONDS = 0.1
_WORD = re.compile(r"\s*\S+|\s+\Z")


class EchoModel:
    """Streams word by word, the model `slow` with 0.1 s between them. `max_tokens` cuts it, with finish `length`."""

    def complete(self, prompt: Prompt, cancellation: Cancellation) -> Completion:
        words, completion = _answer(prompt)
        for _ in words:
            _pause(prompt, cancellation)
        message = {"role": "assistant", "content": completion.text}
        completion.choices = [{"index": 0, "message": message, "finish_reason": completion.finish}]
        return completion

    def stream(self, prompt: Prompt, cancellation: Cancellation) -> Iterator[list[Delta] | Completion]:
        words, completion = _answer(prompt)
        role: JsonObject = {"role": "assistant"}
        for word in words:
            _pause(prompt, cancellation)
            yield [Delta([{"index": 0, "delta": {**role, "content": word}, "finish_reason": None}], word)]
            role = {}
        cancellation.check()
        yield [Delta([{"index": 0, "delta": role, "finish_reason": completion.finish}])]
        completion.text = ""
        yield completion


class EchoEmbedder:
    """Vectors of length 1 that say nothing: the same for the same input, with up to 8 `dimensions`."""

    def embed(self, prompt: EmbeddingPrompt, cancellation: Cancellation) -> Embeddings:
        dimensions = prompt.dimensions or DIMENSIONS
        if dimensions > DIMENSIONS:
            raise UnsupportedParameter(f"{prompt.model} has {DIMENSIONS} dimensions at most.", param="dimensions")
        cancellation.check()
        vectors = [_vector(text, dimensions) for text in prompt.inputs]
        usage = Usage(input=tokens.estimate_messages(as_messages(prompt.inputs)), source=Source.PROVIDER)
        return Embeddings(vectors, usage, prompt.model)


class EchoWire:
    """Implements `Wire`, without a wire."""

    def chat(self, profile: Profile, link: Link) -> ChatModel:  # noqa: ARG002 - it needs neither
        return EchoModel()

    def embedder(self, profile: Profile, link: Link) -> Embedder | None:  # noqa: ARG002 - the same
        return EchoEmbedder()

    def images(self, profile: Profile, link: Link) -> ImageMaker | None:  # noqa: ARG002 - the same
        return EchoImages()


def _vector(text: Input, dimensions: int) -> bytes:
    digest = sha256((text if isinstance(text, str) else repr(list(text))).encode()).digest()
    numbers = [number / 2**31 - 1 for number in struct.unpack(f">{DIMENSIONS}I", digest)][:dimensions]
    length = hypot(*numbers)
    return packed([number / length for number in numbers])


def _answer(prompt: Prompt) -> tuple[list[str], Completion]:
    words = _WORD.findall(_question(prompt))
    limit = output_limit(prompt.options)
    finish = "stop"
    if isinstance(limit, int) and tokens.estimate_text("".join(words)) > limit:
        words, finish = words[: _fitting(words, limit)], "length"
    text = "".join(words)
    usage = Usage(tokens.estimate_messages(prompt.messages), 0, 0, tokens.estimate_text(text), 0, Source.PROVIDER)
    return words, Completion(text, finish, usage, prompt.model)


def _fitting(words: list[str], limit: int) -> int:
    """How many words stay within `limit` tokens."""
    counts = range(len(words) + 1)
    return bisect_right(counts, limit, key=lambda count: tokens.estimate_text("".join(words[:count]))) - 1


def _question(prompt: Prompt) -> str:
    for message in reversed(prompt.messages):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, dict))
    return "\n".join(part for part in parts if isinstance(part, str))


def _pause(prompt: Prompt, cancellation: Cancellation) -> None:
    if prompt.model == SLOW:
        sleep(_SLOW_SECONDS)
    cancellation.check()

"""Providers that speak OpenAI's wire."""

from collections.abc import Mapping
from functools import partial

from adapters.ai.dashscope_images import DashScopeImages
from adapters.ai.http_chat import HttpChat
from adapters.ai.http_json import JsonCalls
from adapters.ai.openai_embeddings import OpenAIEmbedder
from adapters.ai.openai_errors import refusal
from adapters.ai.openai_images import OpenAIImages
from adapters.ai.openai_stream import StreamDecoder
from adapters.ai.openai_wire import PATH, decode, encode
from adapters.ai.profile import Link, Profile
from adapters.ai.quirks import Quirks
from adapters.ai.results import Results
from application.model_ports import ChatModel, Embedder, ImageMaker
from domain.completion import Completion, Prompt
from domain.provider_errors import ProviderError


class OpenAIChat:
    """Implements `ChatFormat`: https://platform.openai.com/docs/api-reference/chat."""

    events = frozenset({b"", b"message", b"error"})

    def __init__(self, quirks: Quirks) -> None:
        self._errors = quirks.errors

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the model is in the body
        return PATH

    def headers(self, key: str) -> Mapping[str, str]:
        return _bearer(key)

    def encode(self, prompt: Prompt, profile: Profile, *, stream: bool) -> bytes:
        return encode(prompt, profile, stream=stream)

    def decode(self, body: bytes, prompt: Prompt, profile: Profile) -> Completion:
        return decode(body, prompt, profile)

    def decoder(self, prompt: Prompt, profile: Profile) -> StreamDecoder:
        return StreamDecoder(prompt, profile)

    def refusal(self, status: int, body: bytes, retry_after: str | None) -> ProviderError:
        return refusal(status, body, retry_after, self._errors)


class OpenAIWire:
    """Implements `Wire`."""

    def chat(self, profile: Profile, link: Link) -> ChatModel:
        return HttpChat(OpenAIChat(profile.quirks), profile, link)

    def embedder(self, profile: Profile, link: Link) -> Embedder | None:
        rules = profile.embeddings
        refuse = partial(refusal, own=profile.quirks.errors)
        return None if rules is None else OpenAIEmbedder(JsonCalls(link, _bearer, refuse), profile, rules)

    def images(self, profile: Profile, link: Link) -> ImageMaker | None:
        rules = profile.images
        refuse = partial(refusal, own=profile.quirks.errors)
        if rules is None:
            return None
        if rules.wire == "dashscope":
            return DashScopeImages(link, rules, refuse=refuse)
        return OpenAIImages(JsonCalls(link, _bearer, refuse), Results(link), rules)


def _bearer(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}

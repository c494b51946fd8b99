"""Providers that speak Gemini's wire."""

from collections.abc import Mapping

from adapters.ai.gemini_embeddings import GeminiEmbedder
from adapters.ai.gemini_errors import refusal
from adapters.ai.gemini_stream import EVENTS, StreamDecoder
from adapters.ai.gemini_wire import decode, encode, path_of
from adapters.ai.http_chat import HttpChat
from adapters.ai.http_json import JsonCalls
from adapters.ai.profile import Link, Profile
from application.model_ports import ChatModel, Embedder, ImageMaker
from domain.completion import Completion, Prompt
from domain.provider_errors import ProviderError


class GeminiChat:
    """Implements `ChatFormat`."""

    events = EVENTS

    def path(self, model: str, *, stream: bool) -> str:
        return path_of(model, "streamGenerateContent?alt=sse" if stream else "generateContent")

    def headers(self, key: str) -> Mapping[str, str]:
        return credential(key)

    def encode(self, prompt: Prompt, profile: Profile, *, stream: bool) -> bytes:  # noqa: ARG002 - the path says it
        return encode(prompt, profile)

    def decode(self, body: bytes, prompt: Prompt, profile: Profile) -> Completion:  # noqa: ARG002 - says all itself
        return decode(body, prompt)

    def decoder(self, prompt: Prompt, profile: Profile) -> StreamDecoder:
        return StreamDecoder(prompt, profile)

    def refusal(self, status: int, body: bytes, retry_after: str | None) -> ProviderError:
        return refusal(status, body, retry_after)


class GeminiWire:
    """Implements `Wire`."""

    def chat(self, profile: Profile, link: Link) -> ChatModel:
        return HttpChat(GeminiChat(), profile, link)

    def embedder(self, profile: Profile, link: Link) -> Embedder | None:
        rules = profile.embeddings
        return None if rules is None else GeminiEmbedder(JsonCalls(link, credential, refusal), rules)

    def images(self, profile: Profile, link: Link) -> ImageMaker | None:  # noqa: ARG002
        return None


def credential(key: str) -> Mapping[str, str]:
    return {"x-goog-api-key": key} if key else {}

"""Providers that speak Anthropic's wire."""

from collections.abc import Mapping

from adapters.ai.anthropic_errors import refusal
from adapters.ai.anthropic_stream import EVENTS, StreamDecoder
from adapters.ai.anthropic_wire import PATH, VERSION, decode, encode
from adapters.ai.http_chat import HttpChat
from adapters.ai.profile import Link, Profile
from application.model_ports import ChatModel, Embedder, ImageMaker
from domain.completion import Completion, Prompt
from domain.provider_errors import ProviderError


class AnthropicChat:
    """Implements `ChatFormat`."""

    events = EVENTS

    def path(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - both are in the body
        return PATH

    def headers(self, key: str) -> Mapping[str, str]:
        return {"anthropic-version": VERSION, **({"x-api-key": key} if key else {})}

    def encode(self, prompt: Prompt, profile: Profile, *, stream: bool) -> bytes:
        return encode(prompt, profile, stream=stream)

    def decode(self, body: bytes, prompt: Prompt, profile: Profile) -> Completion:  # noqa: ARG002 - says all itself
        return decode(body, prompt)

    def decoder(self, prompt: Prompt, profile: Profile) -> StreamDecoder:
        return StreamDecoder(prompt, profile)

    def refusal(self, status: int, body: bytes, retry_after: str | None) -> ProviderError:
        return refusal(status, body, retry_after)


class AnthropicWire:
    """Implements `Wire`."""

    def chat(self, profile: Profile, link: Link) -> ChatModel:
        return HttpChat(AnthropicChat(), profile, link)

    def embedder(self, profile: Profile, link: Link) -> Embedder | None:  # noqa: ARG002 - Anthropic has none
        return None

    def images(self, profile: Profile, link: Link) -> ImageMaker | None:  # noqa: ARG002 - nor these
        return None

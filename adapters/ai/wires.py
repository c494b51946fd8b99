"""The wire formats that come with Parley, by the name that `parley.toml` has for them."""

from collections.abc import Mapping

from adapters.ai.anthropic_compatible import AnthropicWire
from adapters.ai.dify_compatible import DifyWire
from adapters.ai.echo import EchoWire
from adapters.ai.gemini_compatible import GeminiWire
from adapters.ai.openai_compatible import OpenAIWire
from adapters.ai.profile import Profile, Wire

USUAL = "openai"
"""What most providers speak."""

REMOTE: Mapping[str, Wire] = {
    USUAL: OpenAIWire(),
    "anthropic": AnthropicWire(),
    "gemini": GeminiWire(),
    "dify": DifyWire(),
}
"""Those that a provider of one's own may speak."""

_BUILT_IN: Mapping[str, Wire] = {"echo": EchoWire()}


def wire_of(profile: Profile) -> Wire:
    """Also of a provider that brings its own."""
    wire = profile.wire
    return {**REMOTE, **_BUILT_IN}[wire] if isinstance(wire, str) else wire

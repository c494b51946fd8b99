"""OpenAI's chat completions wire: a prompt into bytes, an answer into a `Completion`. Streams: `openai_stream`."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from adapters.ai.conversation import unsupported
from adapters.ai.decoder import parsed
from adapters.ai.openai_answers import Calls, settle, trim
from adapters.ai.openai_errors import in_band
from adapters.ai.openai_messages import offered, spoken
from adapters.ai.openai_usage import usage_of
from adapters.ai.profile import Profile
from adapters.ai.quirks import Quirks
from domain.completion import OUTPUT_LIMITS, Completion, JsonObject, Prompt
from domain.members import text_of
from domain.provider_errors import ProviderError, UpstreamBadJson, UpstreamFailed, UpstreamOverloaded, UpstreamTruncated

PATH = "/chat/completions"

_USER = 64
"""Characters of `user` that OpenAI takes."""
_EXTRA = ("system_fingerprint", "service_tier")
_FINISHES = frozenset({"content_filter", "function_call", "length", "stop", "tool_calls"})
_ANTHROPICS = frozenset({"block_binding", "budget_tokens", "display"})
_FAILED: Mapping[str, type[ProviderError]] = {
    "error": UpstreamFailed,  # OpenRouter
    "abort": UpstreamTruncated,  # vLLM
    "insufficient_system_resource": UpstreamOverloaded,  # DeepSeek
}
"""Finish reasons that tell of an answer that is not whole."""


def encode(prompt: Prompt, profile: Profile, *, stream: bool) -> bytes:
    """The body of a request. Parameters go out as they came in, but for what the provider has other words for."""
    messages = spoken(prompt.messages, profile.quirks)
    body: dict[str, Any] = {"model": prompt.model, "messages": messages, **prompt.options}
    if profile.max_tokens_field is not None:
        _rename_limit(body, profile.max_tokens_field)
    if len(str(body.get("user", ""))) > _USER:
        body["user"] = sha256(str(body["user"]).encode()).hexdigest()
    _translate(body, profile.quirks)
    if "tools" in body:
        body["tools"] = offered(body["tools"], profile.quirks)
    if "thinking" in body:
        _think(body)
    if stream:
        body["stream"] = True
        if not profile.refuses_stream_options:
            body["stream_options"] = {"include_usage": True}
    return orjson.dumps(body)


def decode(body: bytes, prompt: Prompt, profile: Profile) -> Completion:
    """Raises UpstreamBadJson, or what the answer itself tells of a failure."""
    answer = parsed(body)
    if answer is None:
        raise UpstreamBadJson
    if answer.get("error"):
        raise in_band(answer["error"], profile.quirks.errors)
    choices = [choice for choice in objects(answer.get("choices")) or () if isinstance(choice.get("message"), dict)]
    if not choices:
        raise UpstreamBadJson("The provider's answer has no choices.")
    for at, choice in enumerate(choices):
        _settle(choice, at, prompt, profile.quirks)
    first = choices[0]
    text, finish = first["message"].get("content") or "", first["finish_reason"] or "stop"
    return Completion(text, finish, usage_of(answer.get("usage")), text_of(answer, "model"), choices, extra_of(answer))


def _settle(choice: JsonObject, at: int, prompt: Prompt, quirks: Quirks) -> None:
    choice["finish_reason"] = finished(choice, quirks)
    trim(choice)
    index, message = choice.get("index"), choice["message"]
    choice["index"] = index if type(index) is int else at
    settle(message)
    if message.get("tool_calls"):
        message["tool_calls"] = Calls(prompt.request_id, choice["index"], _unlimited).whole(message["tool_calls"])


def _unlimited(_characters: int) -> None:
    """A whole answer has its limit in bytes."""


def objects(value: Any) -> list[JsonObject] | None:
    """`value` if it is a list of objects, else None."""
    if not isinstance(value, list):
        return None
    return value if all(isinstance(item, dict) for item in value) else None


def finished(choice: JsonObject, quirks: Quirks) -> str | None:
    """The finish reason of a choice in OpenAI's words. Raises what it tells of a failure.

    One that nobody has heard of yet is an ordinary end.
    """
    finish = choice.get("finish_reason")
    if not isinstance(finish, str) or not finish:
        return None
    finish = quirks.finishes.get(finish, finish)
    if finish in _FAILED:
        raise in_band(choice["error"], quirks.errors) if choice.get("error") else _FAILED[finish]()
    return finish if finish in _FINISHES else "stop"


def extra_of(answer: JsonObject) -> dict[str, Any]:
    return {name: answer[name] for name in _EXTRA if isinstance(answer.get(name), str)}


def _translate(body: dict[str, Any], quirks: Quirks) -> None:
    for name, words in quirks.words.items():
        value = body.get(name)
        if isinstance(value, str) and value in words:
            body[name] = words[value]
    for name, known in quirks.renames.items():
        if name in body:
            body[known] = body.pop(name)


def _think(body: dict[str, Any]) -> None:
    """Providers of this wire know on and off: how much, as needed and how it is shown are Anthropic's words alone."""
    asked = body.pop("thinking")
    if not isinstance(asked, dict):
        raise unsupported("thinking", "must be an object.")
    if asked.get("type") != "adaptive":
        body["thinking"] = {name: value for name, value in asked.items() if name not in _ANTHROPICS}


def _rename_limit(body: dict[str, Any], known: str) -> None:
    """The newer name wins when both were given."""
    given = [body.pop(name) for name in OUTPUT_LIMITS if name in body]
    if given:
        body[known] = given[0]

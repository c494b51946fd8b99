"""OpenAI's chat completions wire: a prompt into bytes, an answer into a `Completion`. Streams: `openai_stream`."""

from collections.abc import Mapping
from typing import Any

import orjson

from adapters.ai.openai_errors import in_band
from adapters.ai.openai_usage import usage_of
from adapters.ai.profile import Profile
from domain.completion import Completion, JsonObject, Prompt
from domain.provider_errors import ProviderError, UpstreamBadJson, UpstreamFailed, UpstreamOverloaded, UpstreamTruncated

PATH = "/chat/completions"
MAX_DEPTH = 64
"""Levels of nesting in an answer. A request has at most 32; an answer may hold one in a tool call."""

_LIMITS = ("max_completion_tokens", "max_tokens")
_EXTRA = ("system_fingerprint", "service_tier")
_FAILED: Mapping[str, type[ProviderError]] = {
    "error": UpstreamFailed,  # OpenRouter
    "abort": UpstreamTruncated,  # vLLM
    "insufficient_system_resource": UpstreamOverloaded,  # DeepSeek
}
"""Finish reasons that tell of an answer that is not whole."""


def encode(prompt: Prompt, profile: Profile, *, stream: bool) -> bytes:
    """The body of a request. Parameters go out as they came in, but for the name of the output limit."""
    body: dict[str, Any] = {"model": prompt.model, "messages": prompt.messages, **prompt.options}
    if profile.max_tokens_field is not None:
        _rename_limit(body, profile.max_tokens_field)
    if stream:
        body["stream"] = True
        if not profile.refuses_stream_options:
            body["stream_options"] = {"include_usage": True}
    return orjson.dumps(body)


def decode(body: bytes) -> Completion:
    """Raises UpstreamBadJson, or what the answer itself tells of a failure."""
    answer = parsed(body)
    if answer is None:
        raise UpstreamBadJson
    if answer.get("error"):
        raise in_band(answer["error"])
    choices = objects(answer.get("choices"))
    if not choices or not isinstance(choices[0].get("message"), dict):
        raise UpstreamBadJson("The provider's answer has no choices.")
    text, finish = choices[0]["message"].get("content"), choices[0].get("finish_reason")
    check_finish(finish)
    return Completion(
        text if isinstance(text, str) else "",
        finish if isinstance(finish, str) else "stop",
        usage_of(answer.get("usage")),
        text_of(answer, "model"),
        choices,
        extra_of(answer),
    )


def parsed(body: bytes) -> JsonObject | None:
    """A JSON object of bounded depth, or None."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict) or (_brackets(body) > MAX_DEPTH and _deeper(value, MAX_DEPTH)):
        return None
    return value


def objects(value: Any) -> list[JsonObject] | None:
    """`value` if it is a list of objects, else None."""
    if not isinstance(value, list):
        return None
    return value if all(isinstance(item, dict) for item in value) else None


def check_finish(finish: object) -> None:
    if isinstance(finish, str) and finish in _FAILED:
        raise _FAILED[finish]


def extra_of(answer: JsonObject) -> dict[str, Any]:
    return {name: answer[name] for name in _EXTRA if isinstance(answer.get(name), str)}


def text_of(answer: JsonObject, name: str) -> str:
    value = answer.get(name)
    return value if isinstance(value, str) else ""


def _rename_limit(body: dict[str, Any], known: str) -> None:
    """The newer name wins when both were given."""
    given = [body.pop(name) for name in _LIMITS if name in body]
    if given:
        body[known] = given[0]


def _brackets(body: bytes) -> int:
    return body.count(b"{") + body.count(b"[")


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)

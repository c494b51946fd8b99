"""The request of Anthropic's Messages API: checked, and turned into an order that any provider can be given."""

from dataclasses import dataclass
from typing import Any

from api.shapes import Check, Compiler, Mismatch
from api.v1.messages_conversion import cache_control_of, canonical_messages
from api.v1.messages_schema import ASKED, LIMIT, MESSAGES_SCHEMAS, READ, REQUIRED, UNSUPPORTED
from application.completions import CompletionOrder
from domain.completion import JsonObject
from domain.errors import InvalidRequest, TooManyMessages, UnknownField, UnsupportedParameter

MESSAGES = 2_000
HINTS = frozenset({"max_tokens", "service_tier", "user"})
"""Options that are left out where nobody documents them: an answer means the same without.

`max_tokens` is one because this dialect has no request without it: of a Dify application nobody else could be asked.
"""

_compiler = Compiler(MESSAGES_SCHEMAS)


def _checks(**parameters: Any) -> dict[str, Check]:
    return {name: _compiler.check(schema) for name, schema in parameters.items()}


_MADE = ("model", "messages", "max_tokens")
_COUNTED = ("model", "messages")
_TO_MAKE = _checks(**REQUIRED, max_tokens=LIMIT, **ASKED)
_TO_COUNT = _checks(**REQUIRED, **READ)
_FIELDS = {
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning_effort": "output_config.effort",
    "response_format": "output_config.format",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
}
"""Where a client of this dialect finds an option that has another name here."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


@dataclass(frozen=True, slots=True)
class MessageRequest:
    order: CompletionOrder
    streamed: bool


def message_request(body: Any) -> MessageRequest:
    """Raises UnknownField, UnsupportedParameter, TooManyMessages or InvalidRequest with the path of the field.

    A null is not given at all.
    """
    given = _checked(body, _TO_MAKE, _MADE)
    return MessageRequest(_order(given), bool(given.get("stream")))


def count_request(body: Any) -> CompletionOrder:
    """Of a request that is only to be counted. Raises what `message_request` does."""
    return _order(_checked(body, _TO_COUNT, _COUNTED))


def in_our_words(error: UnsupportedParameter) -> UnsupportedParameter:
    """The same error, about the field as this dialect names it."""
    field = _FIELDS.get(error.param or "")
    if field is None:
        return error
    return UnsupportedParameter(f"{field}: {error.message}", param=field, provider=error.provider)


def _checked(body: Any, checks: dict[str, Check], required: tuple[str, ...]) -> JsonObject:
    """What was given a value."""
    if type(body) is not dict:
        raise InvalidRequest("The body must be a JSON object.")
    messages = body.get("messages")
    if type(messages) is list and len(messages) > MESSAGES:
        raise TooManyMessages(param="messages")
    for name in required:
        if name not in body:
            raise InvalidRequest(f"{name}: is required.", param=name)
    given = {name: value for name, value in body.items() if value is not None or name in required}
    for name, value in body.items():
        _check(checks, name, value, missing=name not in given)
    return given


def _check(checks: dict[str, Check], name: str, value: Any, *, missing: bool) -> None:
    check = checks.get(name)
    if check is None:
        if name not in UNSUPPORTED:
            raise UnknownField(f"{name[:200]}: is not accepted here.", param=name[:200])
        if not missing:
            raise UnsupportedParameter(f"{name}: is not supported by this gateway.", param=name)
    elif not missing:
        try:
            check(value)
        except Mismatch as mismatch:
            raise mismatch.under(name).refusal() from None


def _order(given: JsonObject) -> CompletionOrder:
    return CompletionOrder((given["model"],), canonical_messages(given), _options(given), HINTS)


def _options(given: JsonObject) -> dict[str, Any]:
    options: dict[str, Any] = {
        name: given[name] for name in ("max_tokens", "temperature", "top_k", "top_p") if name in given
    }
    if given.get("stop_sequences"):
        options["stop"] = given["stop_sequences"]
    if given.get("tools"):
        options["tools"] = [_tool(tool) for tool in given["tools"]]
    options |= _tool_choice(given.get("tool_choice") or {})
    options |= _thinking(given.get("thinking") or {})
    options |= _output(given)
    if (given.get("metadata") or {}).get("user_id") is not None:
        options["user"] = given["metadata"]["user_id"]
    if given.get("service_tier") == "standard_only":
        options["service_tier"] = "default"
    return options


def _tool(tool: JsonObject) -> JsonObject:
    told = {name: tool[name] for name in ("name", "description", "strict") if name in tool}
    marker = {} if tool.get("cache_control") is None else {"cache_control": cache_control_of(tool)}
    return {"type": "function", "function": {**told, "parameters": tool["input_schema"]}, **marker}


def _tool_choice(choice: JsonObject) -> dict[str, Any]:
    if not choice:
        return {}
    alone = {"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {}
    if choice["type"] == "tool":
        return {"tool_choice": {"type": "function", "function": {"name": choice["name"]}}, **alone}
    return {"tool_choice": _CHOICES[choice["type"]], **alone}


def _thinking(thinking: JsonObject) -> dict[str, Any]:
    wanted = {name: thinking[name] for name in ("type", "budget_tokens", "display") if thinking.get(name) is not None}
    return {"thinking": wanted} if wanted else {}


def _output(given: JsonObject) -> dict[str, Any]:
    """Raises InvalidRequest when the format was given under its old and under its new name."""
    config = given.get("output_config") or {}
    old, new = given.get("output_format"), config.get("format")
    if old is not None and new is not None:
        raise InvalidRequest("output_format: is the old name of output_config.format.", param="output_format")
    options = {} if config.get("effort") is None else {"reasoning_effort": config["effort"]}
    wanted = new if old is None else old
    if wanted is not None:
        schema = {"name": "output", "schema": wanted["schema"], "strict": True}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    return options

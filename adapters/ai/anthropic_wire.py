"""Anthropic's Messages API: a prompt into bytes, an answer into a `Completion`. Streams: `anthropic_stream`.

https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Mapping
from typing import Any

import orjson

from adapters.ai.anthropic_errors import in_band
from adapters.ai.anthropic_messages import marked, system_of, thought, turns_of
from adapters.ai.anthropic_thinking import thinking_of
from adapters.ai.anthropic_usage import usage_of
from adapters.ai.call_ids import CallIds
from adapters.ai.conversation import chosen, functions_of, given, schema_of, stops, unsupported
from adapters.ai.decoder import parsed
from adapters.ai.profile import Profile
from domain.completion import Completion, JsonObject, Prompt, output_limit
from domain.members import object_of, objects_of, text_of
from domain.provider_errors import UpstreamBadJson

PATH = "/v1/messages"
VERSION = "2023-06-01"
"""The latest version of the API that knows `temperature`, `top_p` and `top_k`: 2026-10-21 refuses them for all models,
while those that can do without refuse them by themselves. https://platform.claude.com/docs/en/api/versioning"""
MAX_TOKENS = 8_192
"""The output limit, which Anthropic demands, where the caller gave none and the model's own is unknown."""
OPTIONS = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "stop",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "user",
    }
)

_HOTTEST = 1
_CHOICES = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}
_TIERS = {"auto": "auto", "default": "standard_only"}
_FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def encode(prompt: Prompt, profile: Profile, *, stream: bool) -> bytes:
    """Raises UnsupportedParameter or InvalidRequest for what Anthropic's wire cannot say."""
    options = given(prompt.options, OPTIONS)
    card = profile.card(prompt.model)
    limit = output_limit(options) or card.max_output or MAX_TOKENS
    body: JsonObject = {"model": prompt.model, "max_tokens": limit, "messages": turns_of(prompt.messages)}
    system = system_of(prompt.messages)
    if system:
        body["system"] = system
    body |= _sampling(options) | _tools(options) | thinking_of(options, card, limit) | _service(options)
    if "response_format" in options:
        body = _formatted(body, options["response_format"])
    if stream:
        body["stream"] = True
    return orjson.dumps(body)


def decode(body: bytes, prompt: Prompt) -> Completion:
    """Raises UpstreamBadJson, or what the answer itself tells of a failure."""
    answer = parsed(body)
    if answer is None:
        raise UpstreamBadJson
    if answer.get("type") == "error":
        raise in_band(answer)
    reason = text_of(answer, "stop_reason")
    if not isinstance(answer.get("content"), list) or not reason:
        raise UpstreamBadJson("The provider's answer has no content or no reason for its end.")
    message, finish = _message(objects_of(answer, "content"), CallIds(prompt.request_id)), finish_of(reason)
    choice = {"index": 0, "message": message, "finish_reason": finish, **stop_of(answer)}
    usage = usage_of(object_of(answer, "usage"))
    return Completion(message["content"] or "", finish, usage, text_of(answer, "model"), [choice])


def finish_of(reason: str) -> str:
    """An answer that paused is not at its end; a reason that nobody has heard of yet is an ordinary end."""
    return _FINISHES.get(reason, "stop")


def stop_of(holder: Mapping[str, Any]) -> JsonObject:
    """Which of the caller's stop texts ended the answer."""
    text = text_of(holder, "stop_sequence")
    return {"stop_sequence": text} if text else {}


# ── options ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _sampling(options: Mapping[str, Any]) -> JsonObject:
    body = {name: options[name] for name in ("temperature", "top_k", "top_p") if name in options}
    if body.get("temperature", 0) > _HOTTEST:
        raise unsupported("temperature", "is at most 1 with this provider.")
    if "stop" in options:
        body["stop_sequences"] = stops(options["stop"])
    return body


def _service(options: Mapping[str, Any]) -> JsonObject:
    body: JsonObject = {}
    if "user" in options:
        body["metadata"] = {"user_id": options["user"]}
    if "service_tier" in options:
        tier = _TIERS.get(options["service_tier"])
        if tier is None:
            raise unsupported("service_tier", "this provider knows auto and default.")
        body["service_tier"] = tier
    return body


def _tools(options: Mapping[str, Any]) -> JsonObject:
    body: JsonObject = {}
    if "tools" in options:
        body["tools"] = functions_of(options["tools"], _tool)
    if "tool_choice" in options or "parallel_tool_calls" in options:
        body["tool_choice"] = _choice(options.get("tool_choice", "auto"), options.get("parallel_tool_calls"))
    return body


def _tool(function: JsonObject, tool: JsonObject) -> JsonObject:
    schema = {"type": "object", **object_of(function, "parameters")}
    told = {name: function[name] for name in ("description", "strict") if function.get(name) is not None}
    return marked({"name": text_of(function, "name"), "input_schema": schema, **told}, tool)


def _choice(choice: Any, parallel: bool | None) -> JsonObject:  # noqa: FBT001 - a field of the request
    plain = _CHOICES.get(choice) if isinstance(choice, str) else None
    chosen_one = plain or {"type": "tool", "name": chosen(choice)}
    if parallel is None or choice == "none":
        return chosen_one
    return {**chosen_one, "disable_parallel_tool_use": not parallel}


def _formatted(body: JsonObject, wanted: Mapping[str, Any]) -> JsonObject:
    if wanted.get("type") == "text":
        return body
    if wanted.get("type") != "json_schema":
        raise unsupported("response_format", "this provider knows text and json_schema.")
    output = {"type": "json_schema", "schema": schema_of(wanted)}
    return {**body, "output_config": {**object_of(body, "output_config"), "format": output}}


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _message(blocks: list[JsonObject], ids: CallIds) -> JsonObject:
    """Blocks of unknown types are left out: they belong to tools that run at Anthropic, which nobody can ask for."""
    texts = [text_of(block, "text") for block in blocks if block.get("type") == "text"]
    message: JsonObject = {"role": "assistant", "content": "".join(texts) if texts else None}
    calls = [_call(block, ids) for block in blocks if block.get("type") == "tool_use"]
    if calls:
        message["tool_calls"] = calls
    thoughts = [thought(block) for block in blocks if block.get("type") in ("thinking", "redacted_thinking")]
    reasoning = "".join(text_of(block, "thinking") for block in thoughts)
    if reasoning:
        message["reasoning_content"] = reasoning
    if thoughts:
        message["reasoning_details"] = thoughts
    return message


def _call(block: JsonObject, ids: CallIds) -> JsonObject:
    arguments = orjson.dumps(object_of(block, "input")).decode()
    return {
        "id": ids.give(text_of(block, "id")),
        "type": "function",
        "function": {"name": text_of(block, "name"), "arguments": arguments},
    }

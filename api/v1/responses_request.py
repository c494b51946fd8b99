"""The request of a response: OpenAI's documented parameters, checked, and translated into those of a completion.

Nothing is kept here, so whatever refers to something kept is refused with what to send instead.
"""

from dataclasses import dataclass
from typing import Any

from api.shapes import Compiler, Mismatch
from api.v1.completion_messages import FREE, Schema, array, closed, nullable, only, ref, tagged, text
from api.v1.completion_request import COMPLETION_SCHEMAS, MESSAGES, MODEL
from api.v1.responses_input import INPUT, INPUT_SCHEMAS, messages_of, typed_items
from api.v1.responses_tools import (
    TOOL_CHOICE,
    TOOL_SCHEMAS,
    TOOLS,
    Toolbox,
    offered,
    refuse_server_tools,
    toolbox,
)
from application.completions import CompletionOrder
from domain.completion import JsonObject
from domain.errors import InvalidRequest, TooManyMessages, UnknownField, UnsupportedParameter

ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

_BOOLEAN: Schema = {"type": "boolean"}
_SHORT = text(512)
_LABELS: Schema = {"type": "object", "additionalProperties": _SHORT}
_NOTES: Schema = {"type": "object", "additionalProperties": text(100_000)}
_INCLUDABLE = only(
    ENCRYPTED,
    LOGPROBS,
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
)

_PARAMETERS: dict[str, Schema] = {
    "background": {"type": "boolean", "enum": [False]},
    "client_metadata": {**_NOTES, "description": "Of OpenAI's Codex, for its own service. Not passed on."},
    "include": array(_INCLUDABLE, 16),
    "instructions": text(1_000_000),
    "max_output_tokens": {"type": "integer", "minimum": 1, "maximum": 10_000_000},
    "max_tool_calls": {
        "type": "integer",
        "minimum": 1,
        "maximum": 10_000,
        "description": "Of tools that run at OpenAI, of which there are none.",
    },
    "metadata": {**_LABELS, "description": "Comes back in the answer."},
    "parallel_tool_calls": _BOOLEAN,
    "prompt_cache_key": _SHORT,
    "prompt_cache_options": ref("CacheOptions"),
    "prompt_cache_retention": text(16),
    "reasoning": ref("ResponseReasoningOptions"),
    "safety_identifier": _SHORT,
    "service_tier": text(16),
    "store": {"type": "boolean", "description": "Nothing is stored, whatever it says."},
    "stream": _BOOLEAN,
    "stream_options": ref("ResponseStreamOptions"),
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "text": ref("ResponseTextOptions"),
    "tool_choice": TOOL_CHOICE,
    "tools": TOOLS,
    "top_logprobs": {"type": "integer", "minimum": 0, "maximum": 20},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "truncation": only("disabled"),
    "user": _SHORT,
}
"""Beside `model` and `input`; a null is not given at all."""

UNSUPPORTED = {
    "access_programs": "is OpenAI's own; leave it out.",
    "context_management": "nothing is compacted here; send a shorter `input`.",
    "conversation": "nothing is kept here; send the whole conversation as `input`.",
    "image": "is OpenAI's own; leave it out.",
    "moderation": "is not done here; ask a moderation service beside this one.",
    "previous_response_id": "nothing is kept here; send the whole conversation as `input`.",
    "prompt": "no templates are kept here; send `instructions` and `input`.",
}
"""Documented by OpenAI, and what to do instead."""

RESPONSE_SCHEMAS: dict[str, Schema] = {
    **INPUT_SCHEMAS,
    **TOOL_SCHEMAS,
    "ResponseReasoningOptions": closed(
        {
            "context": nullable(only("auto", "all_turns")),
            "effort": nullable(text(16, description="What the provider documents: `none`, `low`, `high` …")),
            "generate_summary": nullable(text(16)),
            "mode": nullable(only("standard")),
            "summary": nullable(
                text(16, description="Anything but null: reasoning comes as a `summary`, else as `content`.")
            ),
        }
    ),
    "ResponseSchemaFormat": closed(
        {
            "type": only("json_schema"),
            "name": text(128, 1),
            "description": nullable(text(100_000)),
            "schema": FREE,
            "strict": nullable(_BOOLEAN),
        },
        "type",
        "name",
        "schema",
    ),
    "ResponseTextOptions": closed(
        {
            "format": nullable(
                tagged(
                    "type",
                    {"text": "TextFormat", "json_object": "JsonObjectFormat", "json_schema": "ResponseSchemaFormat"},
                )
            ),
            "verbosity": nullable(text(16)),
        }
    ),
    "ResponseStreamOptions": closed({"include_obfuscation": nullable(_BOOLEAN)}),
    "ResponseRequest": closed(
        {"model": MODEL, "input": INPUT, **{name: nullable(schema) for name, schema in _PARAMETERS.items()}},
        "model",
        "input",
        description="OpenAI's documented parameters, for one response of which nothing is kept.",
    ),
}

HINTS = frozenset(
    {
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "user",
    }
)
"""Options that clients send to everybody and that no answer depends on: a provider that does not know one goes
without it."""

_NAMES = {
    "logprobs": "top_logprobs",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
_SAME = (*sorted(HINTS), "temperature", "top_p")
_REQUIRED = ("model", "input")
_compiler = Compiler({**COMPLETION_SCHEMAS, **RESPONSE_SCHEMAS})
_CHECKS = {name: _compiler.check(schema) for name, schema in {**_PARAMETERS, "model": MODEL, "input": INPUT}.items()}


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """`echo` are the settings as the answer repeats them."""

    order: CompletionOrder
    tools: Toolbox
    echo: JsonObject
    streamed: bool
    summarised: bool
    """Reasoning comes as a summary."""
    packs: bool
    """Reasoning comes with its `encrypted_content`, also where a provider does not need it back."""
    logprobs: bool


def response_request(body: Any) -> ResponseRequest:
    """Raises UnknownField, UnsupportedParameter, TooManyMessages or InvalidRequest with the path of the field."""
    given = _checked(body)
    tools = offered(given.get("tools", []))
    box = toolbox(tools)
    messages = messages_of(given.get("instructions"), given["input"])
    if len(messages) > MESSAGES:
        raise TooManyMessages(param="input")
    included, reasoning = given.get("include", ()), given.get("reasoning", {})
    logprobs = LOGPROBS in included or given.get("top_logprobs", 0) > 0
    return ResponseRequest(
        order=CompletionOrder((given["model"],), messages, _options(given, box, logprobs=logprobs), HINTS),
        tools=box,
        echo=_told_back({**given, "tools": tools}),
        streamed=given.get("stream", False),
        summarised=bool(reasoning.get("summary") or reasoning.get("generate_summary")),
        packs=ENCRYPTED in included,
        logprobs=logprobs,
    )


def told(refused: UnsupportedParameter) -> UnsupportedParameter:
    """With the name that the field has in this dialect."""
    if refused.param not in _NAMES:
        return refused
    name = _NAMES[refused.param]
    message = refused.message.replace(refused.param, name)
    return UnsupportedParameter(message, param=name, provider=refused.provider)


def _checked(body: Any) -> JsonObject:
    """What was given, without the nulls."""
    if type(body) is not dict:
        raise InvalidRequest("The body must be a JSON object.")
    _refuse_unsupported(body)
    for name in _REQUIRED:
        if body.get(name) is None:
            raise InvalidRequest(f"{name}: is required.", param=name)
    given = {name: value for name, value in body.items() if value is not None}
    given["input"] = typed_items(given["input"])
    for name, value in given.items():
        try:
            _CHECKS[name](value)
        except Mismatch as mismatch:
            raise mismatch.under(name).refusal() from None
    return given


def _refuse_unsupported(body: JsonObject) -> None:
    for name, value in body.items():
        if name in UNSUPPORTED and value is not None:
            raise UnsupportedParameter(f"{name}: {UNSUPPORTED[name]}", param=name)
        if name not in _CHECKS and name not in UNSUPPORTED:
            raise UnknownField(f"{name[:200]}: is not accepted here.", param=name[:200])
    if body.get("background") is True:
        raise UnsupportedParameter("background: nothing runs without its client; use `stream`.", param="background")
    if body.get("truncation") == "auto":
        raise UnsupportedParameter("truncation: nothing is dropped here; send a shorter `input`.", param="truncation")
    refuse_server_tools(body.get("tools"))


def _options(given: JsonObject, box: Toolbox, *, logprobs: bool) -> dict[str, Any]:
    """Of a completion. What is a provider's default anyway is left out, because not every provider knows its name."""
    options = {name: given[name] for name in _SAME if name in given}
    options |= box.options(given.get("tool_choice"))
    if "tools" not in options:
        options.pop("parallel_tool_calls", None)
    if "max_output_tokens" in given:
        options["max_tokens"] = given["max_output_tokens"]
    if given.get("service_tier", "auto") != "auto":
        options["service_tier"] = given["service_tier"]
    if given.get("reasoning", {}).get("effort") is not None:
        options["reasoning_effort"] = given["reasoning"]["effort"]
    if logprobs:
        options |= {"logprobs": True, "top_logprobs": given.get("top_logprobs", 0)}
    return options | _text_options(given.get("text", {}))


def _text_options(asked: JsonObject) -> dict[str, Any]:
    form = asked.get("format") or {"type": "text"}
    options = {} if asked.get("verbosity") is None else {"verbosity": asked["verbosity"]}
    if form["type"] == "json_schema":
        schema = {name: value for name, value in form.items() if name != "type" and value is not None}
        return {**options, "response_format": {"type": "json_schema", "json_schema": schema}}
    return options if form["type"] == "text" else {**options, "response_format": form}


def _told_back(given: JsonObject) -> JsonObject:
    """A setting that was not given is null where the provider chooses, else what holds here."""
    reasoning, asked = given.get("reasoning", {}), given.get("text", {})
    return {
        "background": False,
        "instructions": given.get("instructions"),
        "max_output_tokens": given.get("max_output_tokens"),
        "max_tool_calls": given.get("max_tool_calls"),
        "metadata": given.get("metadata", {}),
        "parallel_tool_calls": given.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "prompt_cache_key": given.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": given.get("safety_identifier"),
        "service_tier": given.get("service_tier", "auto"),
        "store": False,
        "temperature": given.get("temperature"),
        "text": {**asked, "format": asked.get("format") or {"type": "text"}},
        "tool_choice": given.get("tool_choice", "auto"),
        "tools": given["tools"],
        "top_logprobs": given.get("top_logprobs", 0),
        "top_p": given.get("top_p"),
        "truncation": "disabled",
        "user": given.get("user"),
    }

"""The request of Anthropic's Messages API as JSON Schemas, for the document and for the checks.

Its documented fields as of version 2023-06-01, the beta ones that its own clients send included.
"""

from api.v1.completion_messages import FREE, Schema, array, closed, nullable, only, text
from api.v1.messages_block_schemas import BLOCKS, BOOLEAN, CACHED, NAME, TEXTS, TURNS, block, by_type, never, own


def integer(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


_TOOLS: dict[str, Schema] = {
    "Tool": closed(
        {
            "type": nullable(only("custom")),
            "name": NAME,
            "description": text(100_000),
            "input_schema": FREE,
            "strict": BOOLEAN,
            "allowed_callers": array(only("direct"), 1),
            "defer_loading": never("There is no search for tools here: all of them are loaded."),
            "eager_input_streaming": {**nullable(BOOLEAN), "description": "Ignored: input always streams eagerly."},
            **CACHED,
        },
        "name",
        "input_schema",
    ),
    "ToolChoiceAuto": block("auto", disable_parallel_tool_use=BOOLEAN),
    "ToolChoiceAny": block("any", disable_parallel_tool_use=BOOLEAN),
    "ToolChoiceTool": block("tool", "name", name=NAME, disable_parallel_tool_use=BOOLEAN),
    "ToolChoiceNone": block("none"),
}

_DISPLAY = {
    "display": nullable(only("summarized", "omitted")),
    "block_binding": {**nullable(own("BlockBinding")), "description": "Ignored."},
}
_AMOUNT = {"type": text(32), "value": integer(0, 10_000_000)}
_OPTIONS: dict[str, Schema] = {
    "BlockBinding": closed({"prefix_mismatch_behavior": nullable(only("error", "drop_block"))}),
    "ThinkingEnabled": block("enabled", "budget_tokens", budget_tokens=integer(1_024, 10_000_000), **_DISPLAY),
    "ThinkingAdaptive": block("adaptive", **_DISPLAY),
    "ThinkingDisabled": block("disabled"),
    "Metadata": closed({"user_id": nullable(text(512))}),
    "JsonFormat": block("json_schema", "schema", schema=FREE),
    "OutputConfig": closed(
        {
            "effort": nullable(only("low", "medium", "high", "xhigh", "max")),
            "format": nullable(own("JsonFormat")),
        }
    ),
    "Amount": closed(_AMOUNT, "type", "value"),
    "ClearToolUses": block(
        "clear_tool_uses_20250919",
        clear_at_least=nullable(own("Amount")),
        clear_tool_inputs={"anyOf": [nullable(BOOLEAN), array(NAME, 512)]},
        exclude_tools=nullable(array(NAME, 512)),
        keep=own("Amount"),
        trigger=own("Amount"),
    ),
    "KeptThinking": closed({"type": text(32), "value": integer(0, 10_000_000)}, "type"),
    "ClearThinking": block(
        "clear_thinking_20251015", keep={"anyOf": [only("all"), own("KeptThinking")]}
    ),
    "ContextManagement": closed(
        {
            "edits": array(
                by_type(clear_tool_uses_20250919="ClearToolUses", clear_thinking_20251015="ClearThinking"), 16
            )
        }
    ),
    "Diagnostics": closed({"previous_message_id": nullable(text(256))}),
}  # fmt: skip

_MODEL = text(200, 1, pattern="^[!-~]+$", description="`provider/model`, or a bare name that one provider lists.")
REQUIRED: dict[str, Schema] = {"model": _MODEL, "messages": array(own("Turn"), 2_000, 1)}
READ: dict[str, Schema] = {
    "system": TEXTS,
    "tools": array(own("Tool"), 512),
    "tool_choice": by_type(
        auto="ToolChoiceAuto", any="ToolChoiceAny", tool="ToolChoiceTool", none="ToolChoiceNone"
    ),
    "thinking": by_type(enabled="ThinkingEnabled", adaptive="ThinkingAdaptive", disabled="ThinkingDisabled"),
    "output_config": own("OutputConfig"),
    "output_format": own("JsonFormat"),
    "cache_control": own("CacheControl"),
    "context_management": own("ContextManagement"),
    "speed": only("standard"),
}  # fmt: skip
"""What both routes take."""
LIMIT: Schema = integer(1, 10_000_000)
ASKED: dict[str, Schema] = {
    **READ,
    "stop_sequences": array(text(1_000, 1), 16),
    "temperature": {"type": "number", "minimum": 0, "maximum": 1},
    "top_k": integer(0, 1_000_000),
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "stream": BOOLEAN,
    "metadata": own("Metadata"),
    "service_tier": only("auto", "standard_only"),
    "diagnostics": own("Diagnostics"),
    "fallbacks": only("default"),
}

_IGNORED = (
    "Fields that cannot change what an answer means are taken and have no effect: `context_management` that clears, "
    "`diagnostics`, `fallbacks: default`, `speed: standard`, and as marked. `thinking` and `output_config.effort` are "
    "put into the words of the provider, and left out where it has none, as are `metadata` and `service_tier`. Any "
    "other field that the provider does not document is refused."
)


def _optional(parameters: dict[str, Schema]) -> dict[str, Schema]:
    return {name: nullable(schema) for name, schema in parameters.items()}


MESSAGES_SCHEMAS: dict[str, Schema] = {
    f"Messages{name}": schema
    for name, schema in {
        **BLOCKS,
        **TURNS,
        **_TOOLS,
        **_OPTIONS,
        "Request": closed(
            {**REQUIRED, "max_tokens": LIMIT, **_optional(ASKED)},
            "model",
            "messages",
            "max_tokens",
            description=_IGNORED,
        ),
        "CountRequest": closed({**REQUIRED, **_optional(READ)}, "model", "messages"),
    }.items()
}

UNSUPPORTED = frozenset(
    {
        *("billing_policy", "compaction", "container", "fallback_credit_token", "inference_geo", "mcp_servers"),
        *("thread", "user_profile_id", "workspace_id"),
    }
)
"""Documented fields of whole features that a gateway to many providers cannot have."""

"""Tools in OpenAI's Responses dialect, and what every chat provider understands of them: functions.

A custom tool becomes a function with one text, a tool in a namespace one whose name has both names; their calls are
turned back in the answer. Tools that run at OpenAI do not exist here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from api.v1.completion_messages import FREE, Schema, array, closed, nullable, only, tagged, text
from domain.completion import JsonObject
from domain.errors import InvalidRequest, UnsupportedParameter

INPUT = "input"
"""The one parameter of the function that stands for a custom tool."""

_NAME = text(128, 1)
_LONG = text(100_000)
_BOOLEAN: Schema = {"type": "boolean"}
_NO: Schema = {"type": "boolean", "enum": [False]}
_NAMED = {"function": "ResponseNamedTool", "custom": "ResponseNamedTool"}

TOOL_SCHEMAS: dict[str, Schema] = {
    "ResponseFunctionTool": closed(
        {
            "type": only("function"),
            "name": _NAME,
            "description": nullable(_LONG),
            "parameters": nullable(FREE),
            "strict": nullable(_BOOLEAN),
            "defer_loading": nullable(_NO),
        },
        "type",
        "name",
    ),
    "ResponseGrammar": closed(
        {"type": only("grammar"), "definition": _LONG, "syntax": only("lark", "regex")}, "type", "definition", "syntax"
    ),
    "ResponseCustomTool": closed(
        {
            "type": only("custom"),
            "name": _NAME,
            "description": nullable(_LONG),
            "format": nullable(tagged("type", {"text": "TextFormat", "grammar": "ResponseGrammar"})),
            "defer_loading": nullable(_NO),
        },
        "type",
        "name",
    ),
    "ResponseNamespace": closed(
        {
            "type": only("namespace"),
            "name": _NAME,
            "description": _LONG,
            "tools": array(tagged("type", {"function": "ResponseFunctionTool", "custom": "ResponseCustomTool"}), 512),
        },
        "type",
        "name",
        "description",
        "tools",
    ),
    "ResponseOfferedSearch": closed(
        {
            "type": only("web_search"),
            "external_web_access": _BOOLEAN,
            "filters": nullable(FREE),
            "search_content_types": nullable(array(text(32), 16)),
            "search_context_size": nullable(text(16)),
            "user_location": nullable(FREE),
        },
        "type",
        "external_web_access",
        description="As OpenAI's Codex offers it in every request. It is left out, also of the answer's `tools`.",
    ),
    "ResponseNamedTool": closed(
        {"type": only("function", "custom"), "name": _NAME, "namespace": nullable(_NAME)}, "type", "name"
    ),
    "ResponseAllowedTools": closed(
        {
            "type": only("allowed_tools"),
            "mode": only("auto", "required"),
            "tools": array(tagged("type", _NAMED), 512, 1),
        },
        "type",
        "mode",
        "tools",
    ),
}

TOOLS = array(
    tagged(
        "type",
        {
            "function": "ResponseFunctionTool",
            "custom": "ResponseCustomTool",
            "namespace": "ResponseNamespace",
            "web_search": "ResponseOfferedSearch",
        },
    ),
    512,
)
TOOL_CHOICE: Schema = {
    "anyOf": [only("none", "auto", "required"), tagged("type", {**_NAMED, "allowed_tools": "ResponseAllowedTools"})]
}

_HOSTED = frozenset(
    {
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "local_shell",
        "mcp",
        "programmatic_tool_calling",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)


@dataclass(frozen=True, slots=True)
class Tool:
    """As its client named it."""

    name: str
    namespace: str | None = None
    custom: bool = False

    @property
    def function(self) -> str:
        """The name that providers know it by."""
        return f"{self.namespace}__{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Toolbox:
    """`named` is by the name that providers know; `functions` have the canonical shape, in the client's order."""

    named: dict[str, Tool]
    functions: list[JsonObject]

    def called(self, function: str) -> Tool:
        """A model may call what nobody offered."""
        return self.named.get(function) or Tool(function)

    def options(self, choice: Any) -> dict[str, Any]:
        """`tools` and `tool_choice`. Raises InvalidRequest for a choice of what is not there.

        `auto` is the default wherever there are tools, and refused by some providers where there are none.
        """
        functions = self.functions
        if isinstance(choice, dict):
            if choice["type"] == "allowed_tools":
                allowed = {self._chosen(it, f"tool_choice.tools.{n}") for n, it in enumerate(choice["tools"])}
                functions = [it for it in functions if it["function"]["name"] in allowed]
                choice = choice["mode"]
            else:
                choice = {"type": "function", "function": {"name": self._chosen(choice, "tool_choice")}}
        if not functions:
            if choice == "required":
                raise InvalidRequest("tool_choice: there are no tools.", param="tool_choice")
            return {}
        return {"tools": functions} if choice in (None, "auto") else {"tools": functions, "tool_choice": choice}

    def _chosen(self, choice: JsonObject, path: str) -> str:
        name = Tool(choice["name"], choice.get("namespace")).function
        if name not in self.named:
            raise InvalidRequest(f"{path}.name: there is no such tool.", param=f"{path}.name")
        return name


def refuse_server_tools(tools: Any) -> None:
    """Before the general check, because it can say what to do instead."""
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind in _HOSTED and not _dispensable(tool):
            raise UnsupportedParameter(
                f"tools.{index}.type: {kind} runs at OpenAI and not here; offer a function instead.",
                param=f"tools.{index}.type",
            )


def offered(tools: list[JsonObject]) -> list[JsonObject]:
    """Without what nobody chose: a search that OpenAI's Codex offers in every request, unless it is told not to."""
    return [tool for tool in tools if not _dispensable(tool)]


def toolbox(tools: list[JsonObject]) -> Toolbox:
    """`tools` have passed the check. Raises InvalidRequest when two have the same name."""
    named: dict[str, Tool] = {}
    functions = []
    for path, tool, declared in _declared(tools):
        if tool.function in named:
            raise InvalidRequest(f"{path}.name: occurs twice.", param=f"{path}.name")
        named[tool.function] = tool
        functions.append({"type": "function", "function": _function(tool, declared)})
    return Toolbox(named, functions)


def custom_arguments(written: str) -> str:
    """What a custom tool was called with, as arguments of the function that stands for it."""
    return orjson.dumps({INPUT: written}).decode()


def custom_input(arguments: str) -> str:
    """The other way round. A model that wrote no JSON meant the text itself."""
    try:
        written = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    found = written.get(INPUT) if isinstance(written, dict) else None
    return found if isinstance(found, str) else arguments


def _dispensable(tool: JsonObject) -> bool:
    """Codex always says which web it means; whoever asks for a search by its name alone wants one."""
    return tool.get("type") == "web_search" and tool.get("external_web_access") is not None


def _declared(tools: list[JsonObject]) -> Iterator[tuple[str, Tool, JsonObject]]:
    for index, tool in enumerate(tools):
        path = f"tools.{index}"
        if tool["type"] == "namespace":
            for number, inner in enumerate(tool["tools"]):
                yield f"{path}.tools.{number}", Tool(inner["name"], tool["name"], inner["type"] == "custom"), inner
        else:
            yield path, Tool(tool["name"], None, tool["type"] == "custom"), tool


def _function(tool: Tool, declared: JsonObject) -> JsonObject:
    function: JsonObject = {"name": tool.function}
    if declared.get("description"):
        function["description"] = declared["description"]
    if tool.custom:
        return {**function, "parameters": _one_text(declared.get("format") or {})}
    for name in ("parameters", "strict"):
        if declared.get(name) is not None:
            function[name] = declared[name]
    return function


def _one_text(form: JsonObject) -> Schema:
    written: Schema = {"type": "string"}
    if form.get("type") == "grammar":
        written["description"] = f"Text that this {form['syntax']} grammar describes:\n{form['definition']}"
    return closed({INPUT: written}, INPUT)

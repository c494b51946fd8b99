"""What wires of another shape than OpenAI's read from messages and options of its shape."""

import binascii
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from adapters.ai.profile import Profile
from domain.completion import JsonObject, Prompt, output_limit
from domain.errors import InvalidRequest, UnsupportedParameter
from domain.members import text_of

UNREADABLE = "invalid_json"
"""The member that holds the arguments of a call where a model wrote something else than a JSON object."""

_TEXTS = frozenset({"text", "refusal"})
_DEFAULT_OUTPUT = 131_072
_CHARACTERS_PER_TOKEN = 32
_SLACK = 65_536


def unsupported(param: str, why: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"{param}: {why}", param=param)


def given(options: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Those that were given a value. Raises UnsupportedParameter for one that is not `known`."""
    values = {name: value for name, value in options.items() if value is not None}
    for name in values.keys() - set(known):
        raise unsupported(name, "is not supported by this provider.")
    return values


def room_for(prompt: Prompt, profile: Profile) -> int:
    """Characters that an honest answer stays within by far."""
    tokens = output_limit(prompt.options) or profile.card(prompt.model).max_output or _DEFAULT_OUTPUT
    return tokens * _CHARACTERS_PER_TOKEN + _SLACK


def stops(stop: Any) -> list[Any]:
    return stop if isinstance(stop, list) else [stop]


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message's content; `path` is where, as errors name it."""

    kind: str
    body: JsonObject
    path: str

    @property
    def text(self) -> str:
        return text_of(self.body, "refusal" if self.kind == "refusal" else "text")


def parts_of(message: Mapping[str, Any], path: str) -> Iterator[Part]:
    """A string is one part, None is none. Texts of nothing but white space are left out: providers refuse them."""
    content = message.get("content")
    listed = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    for at, body in enumerate(listed):
        part = Part(text_of(body, "type"), body, f"{path}.content.{at}")
        if part.kind not in _TEXTS or part.text.strip():
            yield part


def texts_of(message: Mapping[str, Any], path: str) -> list[Part]:
    """Raises UnsupportedParameter when there is anything else."""
    parts = list(parts_of(message, path))
    for part in parts:
        if part.kind not in _TEXTS:
            raise unsupported(part.path, "only text is supported here.")
    return parts


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a function that a model made."""

    id: str
    name: str
    arguments: str
    body: JsonObject

    @property
    def input(self) -> orjson.Fragment:
        """Always an object, with its numbers as exact as they were written."""
        return orjson.Fragment(self.arguments if _is_object(self.arguments) else _unreadable(self.arguments))


def calls_of(message: Mapping[str, Any], path: str) -> list[Call]:
    """Raises UnsupportedParameter for calls of another kind than functions."""
    if message.get("function_call"):
        raise unsupported(f"{path}.function_call", "is not supported by this provider: use tool_calls.")
    return [_call(body, f"{path}.tool_calls.{at}") for at, body in enumerate(message.get("tool_calls") or ())]


def _call(body: JsonObject, path: str) -> Call:
    function = body.get("function")
    if not isinstance(function, dict):
        raise unsupported(path, "only calls of functions are supported by this provider.")
    return Call(text_of(body, "id"), text_of(function, "name"), text_of(function, "arguments"), body)


def details_of(message: Mapping[str, Any], *kinds: str) -> list[JsonObject]:
    """Pieces of reasoning of these kinds, in their order; those of other providers are left out."""
    details = message.get("reasoning_details") or ()
    return [detail for detail in details if isinstance(detail, dict) and detail.get("type") in kinds]


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except ValueError:
        return False


def _unreadable(text: str) -> bytes:
    return orjson.dumps({UNREADABLE: text} if text.strip() else {})


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Inline:
    """A file inside a request: `media_type` in small letters without parameters, `encoded` in base64."""

    media_type: str
    encoded: str

    @property
    def text(self) -> str | None:
        """None when it is not text in UTF-8."""
        try:
            return b64decode(self.encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None


def inline(url: str, path: str) -> Inline:
    """Raises InvalidRequest unless it is a data URL in base64."""
    head, _, encoded = url.partition(";base64,")
    if not head.startswith("data:") or not encoded:
        raise InvalidRequest(f"{path}: must be a data URL in base64.", param=path)
    return Inline(head[5:].partition(";")[0].strip().lower(), encoded)


def url_of(part: Part) -> str:
    """Of a part that has one, in the member that is named as its kind."""
    holder = part.body.get(part.kind)
    return text_of(holder, "url") if isinstance(holder, dict) else ""


def file_of(part: Part) -> tuple[Inline, str]:
    """The file and its name, which may be empty. Raises InvalidRequest."""
    file = part.body.get("file")
    holder = file if isinstance(file, dict) else {}
    return inline(text_of(holder, "file_data"), f"{part.path}.file.file_data"), text_of(holder, "filename")


# ── tools ────────────────────────────────────────────────────────────────────────────────────────────────────────


def functions_of(tools: Any, made: Callable[[JsonObject, JsonObject], JsonObject]) -> list[JsonObject]:
    """`made` of each function and the tool it is in. Raises UnsupportedParameter for other kinds of tools."""
    for at, tool in enumerate(tools):
        if not isinstance(tool.get("function"), dict):
            raise unsupported(f"tools.{at}", "only functions are supported by this provider.")
    return [made(tool["function"], tool) for tool in tools]


def chosen(choice: Any) -> str:
    """The name of the one function that has to be called. Raises UnsupportedParameter for other choices."""
    function = choice.get("function") if isinstance(choice, dict) else None
    if not isinstance(function, dict):
        raise unsupported("tool_choice", "this provider knows auto, none, required and the name of a function.")
    return text_of(function, "name")


def schema_of(response_format: Mapping[str, Any]) -> JsonObject:
    """Of a `json_schema`. Raises UnsupportedParameter when there is none."""
    wanted = response_format.get("json_schema")
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    if not isinstance(schema, dict):
        raise unsupported("response_format", "this provider needs a schema.")
    return schema

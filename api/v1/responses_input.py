"""The `input` of a response: its items, and the messages that they make."""

from typing import Any

from api.v1.completion_messages import FREE, TEXT_LENGTH, Schema, array, closed, nullable, only, ref, tagged, text
from api.v1.responses_reasoning import Reasoning, unpacked
from api.v1.responses_tools import Tool, custom_arguments
from domain.completion import JsonObject
from domain.errors import InvalidRequest, UnsupportedParameter

ITEMS = 10_000

_TEXT = text(TEXT_LENGTH)
_THOUGHT = text(1_000_000)
_ENCODED = text(25_000_000, 1)
_URL = {**text(25_000_000, 1), "pattern": "^(data:|https?://)"}
_ID = nullable(text(256))
_WORD = nullable(text(32))
_NOTHING: Schema = {"type": "null"}
_CACHING = {"prompt_cache_breakpoint": nullable(ref("CacheBreakpoint"))}
_NAME = text(128, 1)
_CALL_ID = text(256, 1)


def _content(branches: dict[str, str]) -> Schema:
    return {"anyOf": [_TEXT, array(tagged("type", branches), 1_000, 1)]}


def _item(kind: str, members: Schema, *required: str) -> Schema:
    """`id`, `status` and the like come along with what was an answer before; they mean nothing here."""
    beside = {"id": _ID, "status": _WORD, "caller": _NOTHING, "async": _NOTHING}
    return closed({"type": only(kind), **members, **beside}, "type", *required)


def _message(content: Schema, *roles: str) -> Schema:
    properties = {"type": only("message"), "role": only(*roles), "content": content}
    return closed({**properties, "id": _ID, "status": _WORD, "phase": _WORD}, "role", "content")


_READ = {"input_text": "ResponseInputText"}
_SEEN = {**_READ, "input_image": "ResponseInputImage"}
_GIVEN = {**_SEEN, "input_file": "ResponseInputFile", "input_audio": "ResponseInputAudio"}
_SAID = {**_READ, "output_text": "ResponseOutputText", "refusal": "ResponseRefusal"}
_OUTPUT = {"call_id": _CALL_ID, "output": _content(_SEEN), "name": nullable(_NAME), "namespace": nullable(_NAME)}
_CALLED = {"call_id": _CALL_ID, "name": _NAME, "namespace": nullable(_NAME)}

INPUT_SCHEMAS: dict[str, Schema] = {
    "ResponseInputText": closed({"type": only("input_text"), "text": _TEXT, **_CACHING}, "type", "text"),
    "ResponseInputImage": closed(
        {
            "type": only("input_image"),
            "image_url": _URL,
            "detail": nullable(text(16)),
            "file_id": _NOTHING,
            **_CACHING,
        },
        "type",
        "image_url",
    ),
    "ResponseInputFile": closed(
        {
            "type": only("input_file"),
            "file_data": _ENCODED,
            "filename": nullable(text(255)),
            "detail": nullable(only("auto")),
            "file_id": _NOTHING,
            **_CACHING,
        },
        "type",
        "file_data",
    ),
    "ResponseInputAudio": closed(
        {"type": only("input_audio"), "input_audio": ref("InputAudio")}, "type", "input_audio"
    ),
    "ResponseOutputText": closed(
        {
            "type": only("output_text"),
            "text": _TEXT,
            "annotations": nullable(array(FREE, 1_000)),
            "logprobs": nullable(array(FREE, 100_000)),
        },
        "type",
        "text",
    ),
    "ResponseRefusal": closed({"type": only("refusal"), "refusal": _TEXT}, "type", "refusal"),
    "ResponseUserMessage": _message(_content(_GIVEN), "user"),
    "ResponseSystemMessage": _message(_content(_READ), "system", "developer"),
    "ResponseAssistantMessage": _message(_content(_SAID), "assistant"),
    "ResponseMessage": tagged(
        "role",
        {
            "user": "ResponseUserMessage",
            "system": "ResponseSystemMessage",
            "developer": "ResponseSystemMessage",
            "assistant": "ResponseAssistantMessage",
        },
    ),
    "ResponseSummaryText": closed({"type": only("summary_text"), "text": _THOUGHT}, "type", "text"),
    "ResponseReasoningText": closed({"type": only("reasoning_text", "text"), "text": _THOUGHT}, "type", "text"),
    "ResponseReasoning": _item(
        "reasoning",
        {
            "summary": array(ref("ResponseSummaryText"), 1_000),
            "content": nullable(array(ref("ResponseReasoningText"), 1_000)),
            "encrypted_content": nullable(text(8_000_000)),
        },
    ),
    "ResponseFunctionCall": _item(
        "function_call", {**_CALLED, "arguments": text(1_000_000)}, "call_id", "name", "arguments"
    ),
    "ResponseFunctionOutput": _item("function_call_output", _OUTPUT, "call_id", "output"),
    "ResponseCustomCall": _item("custom_tool_call", {**_CALLED, "input": text(1_000_000)}, "call_id", "name", "input"),
    "ResponseCustomOutput": _item("custom_tool_call_output", _OUTPUT, "call_id", "output"),
    "ResponseInputItem": tagged(
        "type",
        {
            "message": "ResponseMessage",
            "reasoning": "ResponseReasoning",
            "function_call": "ResponseFunctionCall",
            "function_call_output": "ResponseFunctionOutput",
            "custom_tool_call": "ResponseCustomCall",
            "custom_tool_call_output": "ResponseCustomOutput",
        },
    ),
}

INPUT: Schema = {"anyOf": [text(TEXT_LENGTH, 1), array(ref("ResponseInputItem"), ITEMS, 1)]}


def typed_items(items: Any) -> Any:
    """`input` with the type that a message may leave out. Raises UnsupportedParameter for references."""
    if type(items) is not list:
        return items
    return [_typed(item, index) for index, item in enumerate(items)]


def messages_of(instructions: str | None, items: str | list[JsonObject]) -> list[JsonObject]:
    """`items` have passed the check. Raises InvalidRequest for a result of a call that is not there."""
    transcript = Transcript()
    if instructions:
        transcript.messages.append({"role": "system", "content": instructions})
    if isinstance(items, str):
        transcript.messages.append({"role": "user", "content": items})
    else:
        for index, item in enumerate(items):
            transcript.add(item, f"input.{index}")
    return transcript.closed()


class Transcript:
    """Makes messages of items. What the assistant thought, said and called in one go is one message."""

    def __init__(self) -> None:
        self.messages: list[JsonObject] = []
        self._calls: set[str] = set()
        self._forget()

    def add(self, item: JsonObject, path: str) -> None:
        kind = item["type"]
        if kind == "message":
            self._add_message(item)
        elif kind == "reasoning":
            self._think(_reasoning(item, path))
        elif kind in {"function_call", "custom_tool_call"}:
            self._add_call(item)
        else:
            self._add_output(item, path)

    def closed(self) -> list[JsonObject]:
        self._flush()
        return self.messages

    def _add_message(self, item: JsonObject) -> None:
        content = item["content"]
        if item["role"] == "assistant":
            self._say([{"type": "output_text", "text": content}] if isinstance(content, str) else content)
            return
        self._flush()
        # OpenAI reads `developer` and `system` as the same, and other providers know `system` alone.
        role = "user" if item["role"] == "user" else "system"
        self.messages.append({"role": role, "content": _parts(content)})

    def _say(self, parts: list[JsonObject]) -> None:
        """A second message after the first is one of its own, but calls have to stay beside their results."""
        if (self._said or self._refused) and not self._called:
            self._flush()
        for part in parts:
            if part["type"] == "refusal":
                self._refused.append(part["refusal"])
            else:
                self._said.append({"type": "text", "text": part["text"]})

    def _think(self, reasoning: Reasoning) -> None:
        """What was thought after something was said led to what comes next, but for proofs of what was said."""
        if (self._said or self._refused) and not self._called and reasoning.thinks:
            self._flush()
        self._reasoning.add(reasoning)

    def _add_call(self, item: JsonObject) -> None:
        custom = item["type"] == "custom_tool_call"
        arguments = custom_arguments(item["input"]) if custom else item["arguments"]
        name = Tool(item["name"], item.get("namespace")).function
        function = {"name": name, "arguments": arguments}
        self._calls.add(item["call_id"])
        self._called.append({"id": item["call_id"], "type": "function", "function": function})

    def _add_output(self, item: JsonObject, path: str) -> None:
        if item["call_id"] not in self._calls:
            raise InvalidRequest(
                f"{path}.call_id: the call that this is the result of is not in `input`.", param=f"{path}.call_id"
            )
        self._flush()
        self.messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": _parts(item["output"])})

    def _flush(self) -> None:
        """Thoughts that led to nothing are no message."""
        if self._said or self._refused or self._called:
            self.messages.append(self._assistant())
        self._forget()

    def _forget(self) -> None:
        self._said: list[JsonObject] = []
        self._refused: list[str] = []
        self._called: list[JsonObject] = []
        self._reasoning = Reasoning()

    def _assistant(self) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": _flat(self._said) if self._said else None}
        if self._refused:
            message["refusal"] = "".join(self._refused)
        if self._called:
            message["tool_calls"] = self._called
        return {**message, **self._reasoning.message()}


def _typed(item: Any, index: int) -> Any:
    if type(item) is not dict:
        return item
    if item.get("type") == "item_reference":
        raise UnsupportedParameter(
            f"input.{index}: items are not kept here; send the item itself.", param=f"input.{index}"
        )
    return {"type": "message", **item} if "role" in item and "type" not in item else item


def _reasoning(item: JsonObject, path: str) -> Reasoning:
    packed = item.get("encrypted_content")
    own = unpacked(packed, f"{path}.encrypted_content") if packed else None
    if own is not None:
        return own
    content = "".join(part["text"] for part in item.get("content") or ())
    return Reasoning(content or "\n\n".join(part["text"] for part in item.get("summary") or ()))


def _parts(content: str | list[JsonObject]) -> str | list[JsonObject]:
    return content if isinstance(content, str) else _flat([_part(part) for part in content])


def _flat(parts: list[JsonObject]) -> str | list[JsonObject]:
    """One plain text as such, because not every server reads lists."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts


def _part(part: JsonObject) -> JsonObject:
    kind = part["type"]
    if kind == "input_text":
        told: JsonObject = {"type": "text", "text": part["text"]}
    elif kind == "input_image":
        told = {"type": "image_url", "image_url": _given(url=part["image_url"], detail=part.get("detail"))}
    elif kind == "input_file":
        told = {"type": "file", "file": _given(file_data=part["file_data"], filename=part.get("filename"))}
    else:
        told = {"type": "input_audio", "input_audio": part["input_audio"]}
    return {**told, **_given(prompt_cache_breakpoint=part.get("prompt_cache_breakpoint"))}


def _given(**members: Any) -> JsonObject:
    return {name: value for name, value in members.items() if value is not None}

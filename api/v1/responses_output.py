"""The items of a response's `output`, whole or while they grow, in OpenAI's shape."""

from collections.abc import Sequence
from typing import Any

from api.v1.responses_reasoning import Reasoning, packed
from api.v1.responses_request import ResponseRequest
from api.v1.responses_tools import Toolbox, custom_input
from domain.completion import JsonObject

COMPLETED, INCOMPLETE, IN_PROGRESS = "completed", "incomplete", "in_progress"


def text_part(text: str, annotations: Sequence[JsonObject] = (), logprobs: Sequence[JsonObject] = ()) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": list(logprobs)}


def refusal_part(refusal: str) -> JsonObject:
    return {"type": "refusal", "refusal": refusal}


def message_item(item_id: str, parts: list[JsonObject], status: str) -> JsonObject:
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": parts}


def reasoning_item(item_id: str, reasoning: Reasoning, asked: ResponseRequest, status: str) -> JsonObject:
    """What a provider wants back unchanged is always packed: nobody else keeps it."""
    item: JsonObject = {"id": item_id, "type": "reasoning", "status": status, "summary": []}
    if reasoning.text:
        kind, place = ("summary_text", "summary") if asked.summarised else ("reasoning_text", "content")
        item[place] = [{"type": kind, "text": reasoning.text}]
    if reasoning.details or (asked.packs and reasoning.text):
        item["encrypted_content"] = packed(reasoning)
    return item


def call_item(item_id: str, call: JsonObject, tools: Toolbox, status: str) -> JsonObject:
    """`call` has `id`, `name` and `arguments`, the name being the one that the provider used."""
    tool = tools.called(call["name"])
    named: JsonObject = {"id": item_id, "status": status, "call_id": call["id"], "name": tool.name}
    if tool.namespace:
        named["namespace"] = tool.namespace
    if tool.custom:
        return {**named, "type": "custom_tool_call", "input": custom_input(call["arguments"])}
    return {**named, "type": "function_call", "arguments": call["arguments"]}


def call_prefix(tools: Toolbox, name: str) -> str:
    """Of the item's id."""
    return "ctc" if tools.called(name).custom else "fc"


def annotations_of(message: JsonObject) -> list[JsonObject]:
    """A completion holds what is cited one level deeper."""
    found = message.get("annotations")
    told = []
    for annotation in found if isinstance(found, list) else ():
        if isinstance(annotation, dict) and annotation.get("type") == "url_citation":
            cited = annotation.get("url_citation")
            if isinstance(cited, dict) and cited.keys() >= {"url", "title", "start_index", "end_index"}:
                told.append({"type": "url_citation", **cited})
    return told


def logprobs_of(choice: JsonObject) -> list[JsonObject]:
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return [_logprob(entry) for entry in content if isinstance(entry, dict)] if isinstance(content, list) else []


def _logprob(entry: JsonObject) -> JsonObject:
    top = entry.get("top_logprobs")
    others = [_token(other) for other in top if isinstance(other, dict)] if isinstance(top, list) else []
    return {**_token(entry), "top_logprobs": others}


def _token(entry: JsonObject) -> JsonObject:
    """A token that is no text of its own has bytes alone; one without bytes is text."""
    token: Any = entry.get("token", "")
    raw = entry.get("bytes")
    return {
        "token": token,
        "bytes": raw if isinstance(raw, list) else list(str(token).encode()),
        "logprob": entry.get("logprob", 0.0),
    }

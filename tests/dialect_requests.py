"""One conversation in the words of every dialect, and what is left of it on every wire.

What all of them can say is a list of facts, in their order: `Fact`s are what a property test compares.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from hypothesis import strategies as st

from domain.completion import JsonObject
from tests.conversations import PIXEL

Fact = tuple[object, ...]
PICTURE = f"data:image/png;base64,{PIXEL}"
TOOL = {"name": "look_up", "description": "Looks it up.", "schema": {"type": "object", "properties": {"q": {}}}}


@dataclass(frozen=True, slots=True)
class Call:
    id: str
    arguments: JsonObject
    result: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user asked (with a picture or without), and what the assistant said and called thereupon."""

    asked: str
    seen: bool
    said: str
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    system: str
    turns: tuple[Turn, ...]
    question: str
    limit: int
    choice: str

    def facts(self, *, failures: bool = True) -> list[Fact]:
        """With the ids of calls by their order. `failures`: whether it can be said that a tool failed."""
        ids: dict[str, int] = {}
        told: list[Fact] = [("system", self.system)] if self.system else []
        for turn in self.turns:
            told.append(("user", turn.asked))
            told += [("picture", PICTURE)] if turn.seen else []
            told += [("assistant", turn.said)] if turn.said else []
            told += [("call", ids.setdefault(call.id, len(ids)), TOOL["name"], call.arguments) for call in turn.calls]
            told += [("result", ids[call.id], call.result, call.failed and failures) for call in turn.calls]
        return [
            *told,
            ("user", self.question),
            ("limit", self.limit),
            ("choice", self.choice),
            ("tool", *TOOL.values()),
        ]


texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
arguments = st.dictionaries(texts, _json, max_size=3)
ids = st.sampled_from(
    [f"{prefix}{number}" for prefix in ("call_", "toolu-", "functions.f:", "ä ") for number in range(9)]
)
calls = st.builds(Call, ids, arguments, texts, st.booleans())
_turns = st.builds(
    Turn,
    texts,
    st.booleans(),
    texts | st.just(""),
    st.lists(calls, max_size=3, unique_by=lambda call: call.id).map(tuple),
).filter(lambda turn: turn.said or turn.calls)
conversations = st.builds(
    Conversation,
    st.just("") | texts,
    st.lists(_turns, max_size=3).map(tuple),
    texts,
    st.integers(2_000, 9_000),
    st.sampled_from(["auto", "none", "required", "look_up"]),
).filter(lambda it: len({call.id for turn in it.turns for call in turn.calls}) == sum(len(t.calls) for t in it.turns))


# ── dialects ─────────────────────────────────────────────────────────────────────────────────────────────────────


def in_completions(it: Conversation) -> JsonObject:
    messages: list[JsonObject] = [{"role": "system", "content": it.system}] if it.system else []
    for turn in it.turns:
        picture = [{"type": "image_url", "image_url": {"url": PICTURE}}] if turn.seen else []
        messages.append({"role": "user", "content": [{"type": "text", "text": turn.asked}, *picture]})
        called = [
            {"id": call.id, "type": "function", "function": {"name": TOOL["name"], "arguments": _written(call)}}
            for call in turn.calls
        ]
        messages.append(
            {"role": "assistant", "content": turn.said or None, **({"tool_calls": called} if called else {})}
        )
        messages += [{"role": "tool", "tool_call_id": call.id, "content": call.result} for call in turn.calls]
    chosen = {"type": "function", "function": {"name": TOOL["name"]}} if it.choice == TOOL["name"] else it.choice
    function = {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}
    return {
        "model": "acme/large",
        "messages": [*messages, {"role": "user", "content": it.question}],
        "max_tokens": it.limit,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": chosen,
    }


def in_messages(it: Conversation) -> JsonObject:
    turns: list[JsonObject] = []
    results: list[JsonObject] = []
    for turn in it.turns:
        _, _, encoded = PICTURE.partition(",")
        source = {"type": "base64", "media_type": "image/png", "data": encoded}
        picture = [{"type": "image", "source": source}] if turn.seen else []
        turns.append({"role": "user", "content": [*results, {"type": "text", "text": turn.asked}, *picture]})
        said = [{"type": "text", "text": turn.said}] if turn.said else []
        used = [{"type": "tool_use", "id": it.id, "name": TOOL["name"], "input": it.arguments} for it in turn.calls]
        turns.append({"role": "assistant", "content": [*said, *used]})
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": call.result, "is_error": call.failed}
            for call in turn.calls
        ]
    kinds = {"required": {"type": "any"}, TOOL["name"]: {"type": "tool", "name": TOOL["name"]}}
    return {
        "model": "acme/large",
        "messages": [*turns, {"role": "user", "content": [*results, {"type": "text", "text": it.question}]}],
        "max_tokens": it.limit,
        "tools": [{"name": TOOL["name"], "description": TOOL["description"], "input_schema": TOOL["schema"]}],
        "tool_choice": kinds.get(it.choice, {"type": it.choice}),
        **({"system": it.system} if it.system else {}),
    }


def in_responses(it: Conversation) -> JsonObject:
    items: list[JsonObject] = []
    for turn in it.turns:
        picture = [{"type": "input_image", "image_url": PICTURE}] if turn.seen else []
        items.append({"role": "user", "content": [{"type": "input_text", "text": turn.asked}, *picture]})
        if turn.said:
            content = [{"type": "output_text", "text": turn.said, "annotations": []}]
            items.append(
                {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "content": content}
            )
        items += [
            {"type": "function_call", "call_id": call.id, "name": TOOL["name"], "arguments": _written(call)}
            for call in turn.calls
        ]
        items += [{"type": "function_call_output", "call_id": call.id, "output": call.result} for call in turn.calls]
    chosen = {"type": "function", "name": TOOL["name"]} if it.choice == TOOL["name"] else it.choice
    described = {"name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}
    return {
        "model": "acme/large",
        "input": [*items, {"role": "user", "content": it.question}],
        "max_output_tokens": it.limit,
        "tools": [{"type": "function", **described}],
        "tool_choice": chosen,
        **({"instructions": it.system} if it.system else {}),
    }


def _written(call: Call) -> str:
    return orjson.dumps(call.arguments).decode()


# ── wires ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Facts:
    """Ids are told by the order in which calls have them."""

    def __init__(self) -> None:
        self.told: list[Fact] = []
        self._ids: dict[str, int] = {}

    def text(self, role: str, content: Any) -> None:
        if content:
            self.told.append((role, content))

    def call(self, call_id: str, name: str, called_with: JsonObject) -> None:
        assert call_id not in self._ids, "an id belongs to one call"
        self.told.append(("call", self._ids.setdefault(call_id, len(self._ids)), name, called_with))

    def result(self, call_id: str, content: Any, *, failed: bool = False) -> None:
        self.told.append(("result", self._ids[call_id], content, failed))

    def settings(self, limit: int, choice: Any, *tool: Any) -> list[Fact]:
        return [*self.told, ("limit", limit), ("choice", choice), ("tool", *tool)]


def from_openai(body: JsonObject) -> list[Fact]:
    facts = _Facts()
    for message in body["messages"]:
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        if message["role"] == "tool":
            facts.result(message["tool_call_id"], "".join(part["text"] for part in parts))
            continue
        for part in parts:
            if part["type"] == "image_url":
                facts.text("picture", part["image_url"]["url"])
            else:
                facts.text(message["role"], part["text"])
        for call in message.get("tool_calls", ()):
            function = call["function"]
            facts.call(call["id"], function["name"], orjson.loads(function["arguments"]))
    (tool,) = (tool["function"] for tool in body["tools"])
    choice = body.get("tool_choice", "auto")
    chosen = choice if isinstance(choice, str) else choice["function"]["name"]
    return facts.settings(body["max_tokens"], chosen, tool["name"], tool["description"], tool["parameters"])


def from_anthropic(body: JsonObject) -> list[Fact]:
    facts = _Facts()
    for part in body.get("system", ()):
        facts.text("system", part["text"])
    for turn in body["messages"]:
        for block in turn["content"]:
            match block["type"]:
                case "tool_use":
                    facts.call(block["id"], block["name"], block["input"])
                case "tool_result":
                    text = "".join(part["text"] for part in block["content"])
                    facts.result(block["tool_use_id"], text, failed=block.get("is_error", False))
                case "image":
                    source = block["source"]
                    facts.text("picture", f"data:{source['media_type']};base64,{source['data']}")
                case _:
                    facts.text(turn["role"], block["text"])
    (tool,) = body["tools"]
    choice = body.get("tool_choice", {"type": "auto"})
    chosen = choice.get("name") or {"any": "required"}.get(choice["type"], choice["type"])
    return facts.settings(body["max_tokens"], chosen, tool["name"], tool["description"], tool["input_schema"])


def from_gemini(body: JsonObject) -> list[Fact]:
    facts = _Facts()
    for part in body.get("systemInstruction", {}).get("parts", ()):
        facts.text("system", part["text"])
    for content in body["contents"]:
        for part in content["parts"]:
            if "functionCall" in part:
                called = part["functionCall"]
                facts.call(called["id"], called["name"], called["args"])
            elif "functionResponse" in part:
                answered = part["functionResponse"]
                ((outcome, said),) = answered["response"].items()
                facts.result(answered["id"], said, failed=outcome == "error")
            elif "inlineData" in part:
                media = part["inlineData"]
                facts.text("picture", f"data:{media['mimeType']};base64,{media['data']}")
            else:
                facts.text({"model": "assistant"}.get(content["role"], content["role"]), part["text"])
    (tool,) = body["tools"][0]["functionDeclarations"]
    calling = body.get("toolConfig", {}).get("functionCallingConfig", {"mode": "AUTO"})
    modes = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
    chosen = calling.get("allowedFunctionNames", [modes[calling["mode"]]])[0]
    limit = body["generationConfig"]["maxOutputTokens"]
    return facts.settings(limit, chosen, tool["name"], tool["description"], tool["parametersJsonSchema"])

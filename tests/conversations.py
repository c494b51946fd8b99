"""Conversations in the canonical form, for property tests of what wires make of them, and streams put together."""

from collections.abc import Iterable
from typing import Any

import orjson
from hypothesis import strategies as st

from domain.completion import Delta, JsonObject

PIXEL = "iVBORw0KGgo="

_texts = st.text(max_size=12)
_ids = st.sampled_from(["call_1", "toolu_2", "functions.weather:0", "", "ä b"])
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_texts, inner, max_size=2),
    max_leaves=4,
)
_objects = st.dictionaries(_texts, _json, max_size=3)
_marker = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])


def _marked(parts: st.SearchStrategy[JsonObject]) -> st.SearchStrategy[JsonObject]:
    return st.builds(lambda part, marker: {**part, **marker}, parts, _marker)


def _of(kind: str, content: st.SearchStrategy[Any]) -> st.SearchStrategy[JsonObject]:
    return content.map(lambda value: {"type": kind, kind: value})


_text_parts = _marked(_of("text", _texts))
_urls = st.sampled_from(
    [
        f"data:image/png;base64,{PIXEL}",
        "data:image/png;charset=x;base64,AA==",
        "data:text/plain;base64,w7w=",
        "data:;base64,/w==",
        "data:image/png,plain",
        "https://example.org/a.png",
        "https://[bad",
        "http://example.org/a.png",
        "https://youtu.be/x",
    ]
)
_url = st.fixed_dictionaries({"url": _urls})
_file = st.fixed_dictionaries({"file_data": _urls}, optional={"filename": _texts})
_audio = st.fixed_dictionaries({"data": st.just("AA=="), "format": st.sampled_from(["wav", "mp3"])})
_user_parts = _marked(
    _text_parts | _of("image_url", _url) | _of("video_url", _url) | _of("file", _file) | _of("input_audio", _audio)
)
_details = st.sampled_from(
    [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "redacted_thinking", "data": "b3Bh"},
        {"type": "thought_signature", "signature": "c2ln", "tool_call_id": "call_1"},
        {"type": "thought_signature", "signature": "c2ln"},
        {"type": "reasoning.encrypted", "data": 7},
        {},
    ]
)
_arguments = _objects.map(lambda value: orjson.dumps(value).decode()) | _texts
_function_calls = st.builds(
    lambda call_id, name, arguments, marker: {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
        **marker,
    },
    _ids,
    st.sampled_from(["weather", "f"]),
    _arguments,
    _marker,
)
_custom_calls = st.just({"id": "call_9", "type": "custom", "custom": {"name": "c", "input": "x"}})


def _content(parts: st.SearchStrategy[JsonObject]) -> st.SearchStrategy[Any]:
    return _texts | st.lists(parts, min_size=1, max_size=3)


_messages = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "developer"]), "content": _content(_text_parts)}),
    st.fixed_dictionaries({"role": st.just("user"), "content": _content(_user_parts)}, optional={"name": _texts}),
    st.fixed_dictionaries(
        {"role": st.just("assistant")},
        optional={
            "content": st.none() | _content(_text_parts),
            "tool_calls": st.none() | st.lists(_function_calls | _custom_calls, max_size=3),
            "refusal": st.none() | _texts,
            "reasoning_content": st.none() | _texts,
            "reasoning_details": st.none() | st.lists(_details, max_size=3),
        },
    ),
    st.fixed_dictionaries(
        {
            "role": st.just("tool"),
            "tool_call_id": _ids,
            "content": _content(_text_parts | _marked(_of("image_url", _url))),
        },
        optional={"is_error": st.booleans()},
    ),
    st.fixed_dictionaries({"role": st.just("function"), "name": st.just("f"), "content": st.none() | _texts}),
)
_tools = st.lists(
    st.builds(
        lambda function, marker: {"type": "function", "function": function, **marker},
        st.fixed_dictionaries(
            {"name": st.just("weather")},
            optional={
                "description": st.none() | _texts,
                "parameters": st.none() | _objects,
                "strict": st.none() | st.booleans(),
            },
        ),
        _marker,
    )
    | st.just({"type": "custom", "custom": {"name": "c"}}),
    max_size=3,
)
_formats = st.sampled_from(
    [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        {"type": "json_schema", "json_schema": {"name": "s"}},
    ]
)
_limits = st.integers(1, 200_000)
_efforts = st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max", "huge"])

conversations = st.lists(_messages, min_size=1, max_size=6)
options = st.fixed_dictionaries(
    {},
    optional={
        "frequency_penalty": st.floats(-2, 2),
        "logprobs": st.booleans(),
        "max_completion_tokens": _limits,
        "max_tokens": _limits,
        "n": st.integers(1, 8),
        "parallel_tool_calls": st.booleans(),
        "presence_penalty": st.floats(-2, 2),
        "reasoning_effort": _efforts,
        "response_format": _formats,
        "seed": st.integers(-(2**63), 2**63),
        "service_tier": st.sampled_from(["auto", "default", "flex", "priority", "x"]),
        "stop": _texts | st.lists(_texts, max_size=3),
        "temperature": st.floats(0, 2),
        "thinking": st.sampled_from(
            [
                {"type": "enabled", "budget_tokens": 2048},
                {"type": "enabled"},
                {"type": "disabled"},
                {"type": "adaptive"},
                {"type": "x"},
            ]
        ),
        "tool_choice": st.sampled_from(
            [
                "auto",
                "none",
                "required",
                {"type": "function", "function": {"name": "weather"}},
                {"type": "custom", "custom": {"name": "c"}},
                {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
            ]
        ),
        "tools": _tools,
        "top_k": st.integers(1, 500),
        "top_p": st.floats(0, 1),
        "user": _texts,
    },
)


def put_together(deltas: Iterable[Delta]) -> JsonObject:
    """The message that the deltas of choice 0 make, its finish reason among it."""
    message: JsonObject = {"content": "", "reasoning_content": "", "tool_calls": [], "details": [], "finish": None}
    for delta in deltas:
        for choice in delta.choices:
            if choice["index"] == 0:
                _add(message, choice["delta"])
                message["finish"] = choice["finish_reason"] or message["finish"]
    for call in message["tool_calls"]:
        call["arguments"] = orjson.loads(call["arguments"])
    return message


def as_put_together(choice: JsonObject) -> JsonObject:
    """A choice of a whole answer, in the same shape."""
    message = choice["message"]
    calls = [
        {"id": call["id"], "name": call["function"]["name"], "arguments": orjson.loads(call["function"]["arguments"])}
        for call in message.get("tool_calls", ())
    ]
    return {
        "content": message["content"] or "",
        "reasoning_content": message.get("reasoning_content", ""),
        "tool_calls": calls,
        "details": [_proof(detail) for detail in message.get("reasoning_details", ())],
        "finish": choice["finish_reason"],
    }


def _add(message: JsonObject, delta: JsonObject) -> None:
    message["content"] += delta.get("content") or ""
    message["reasoning_content"] += delta.get("reasoning_content") or ""
    message["details"] += [_proof(detail) for detail in delta.get("reasoning_details", ())]
    for call in delta.get("tool_calls", ()):
        if "id" in call:
            assert call["index"] == len(message["tool_calls"])
            message["tool_calls"].append({"id": call["id"], "name": call["function"]["name"], "arguments": ""})
        message["tool_calls"][call["index"]]["arguments"] += call["function"]["arguments"]


def _proof(detail: JsonObject) -> JsonObject:
    """What of a piece of reasoning a stream and a whole answer tell alike."""
    return {name: value for name, value in detail.items() if name not in ("index", "thinking")}

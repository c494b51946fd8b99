"""One answer in the words of every provider, whole and streamed, and what a client of every dialect hears of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import orjson
from hypothesis import strategies as st

from domain.completion import JsonObject
from tests.dialect_requests import TOOL, arguments, texts
from tests.message_events import assembled, events_of

_COUNTS = 12, 5
NAME = TOOL["name"]


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of reasoning, signed by its provider; one without text is hidden."""

    text: str | None
    signature: str


@dataclass(frozen=True, slots=True)
class Answer:
    thoughts: tuple[Thought, ...]
    said: str
    calls: tuple[JsonObject, ...]
    end: str
    """OpenAI's finish reason."""

    @property
    def reasoning(self) -> str:
        return "".join(thought.text or "" for thought in self.thoughts)

    def facts(self, ids: list[str]) -> tuple[object, ...]:
        calls = [(call_id, NAME, called_with) for call_id, called_with in zip(ids, self.calls, strict=True)]
        return self.reasoning, self.said, calls, self.end


_thoughts = st.builds(Thought, st.none() | texts | st.just(""), texts)
_ends = st.sampled_from(["stop", "length", "content_filter"])
answers = st.builds(
    lambda thoughts, said, called, end: Answer(tuple(thoughts), said, tuple(called), "tool_calls" if called else end),
    st.lists(_thoughts, max_size=3),
    texts | st.just(""),
    st.lists(arguments, max_size=3),
    _ends,
).filter(lambda answer: answer.said or answer.calls)


# ── providers ────────────────────────────────────────────────────────────────────────────────────────────────────


def _id(place: int) -> str:
    return f"own_{place}"


def _written(called_with: JsonObject) -> str:
    return orjson.dumps(called_with).decode()


def openai_whole(answer: Answer) -> JsonObject:
    called = [
        {"id": _id(at), "type": "function", "function": {"name": NAME, "arguments": _written(it)}}
        for at, it in enumerate(answer.calls)
    ]
    message = {"role": "assistant", "content": answer.said or None, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if called:
        message["tool_calls"] = called
    usage = dict(zip(("prompt_tokens", "completion_tokens"), _COUNTS, strict=True))
    return {"choices": [{"index": 0, "message": message, "finish_reason": answer.end}], "usage": usage}


def openai_events(answer: Answer) -> Iterator[bytes]:
    """Pieces of several calls alternate."""
    yield _chunk({"role": "assistant", "content": None})
    yield from (_chunk({"reasoning_content": letter}) for letter in answer.reasoning)
    yield from (_chunk({"content": letter}) for letter in answer.said)
    written = [_written(call) for call in answer.calls]
    for at, _ in enumerate(written):
        yield _chunk({"tool_calls": [{"index": at, "id": _id(at), "type": "function", "function": {"name": NAME}}]})
    for start in range(0, max(map(len, written), default=0), 3):
        pieces = [(at, text[start : start + 3]) for at, text in enumerate(written)]
        yield _chunk({"tool_calls": [{"index": at, "function": {"arguments": it}} for at, it in pieces if it]})
    yield _chunk({}, answer.end)
    yield _data({"choices": [], "usage": openai_whole(answer)["usage"]})
    yield b"data: [DONE]\n\n"


def anthropic_blocks(answer: Answer) -> list[JsonObject]:
    thoughts: list[JsonObject] = [
        {"type": "redacted_thinking", "data": it.signature}
        if it.text is None
        else {"type": "thinking", "thinking": it.text, "signature": it.signature}
        for it in answer.thoughts
    ]
    said = [{"type": "text", "text": answer.said}] if answer.said else []
    used = [{"type": "tool_use", "id": _id(at), "name": NAME, "input": it} for at, it in enumerate(answer.calls)]
    return [*thoughts, *said, *used]


_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}


def anthropic_whole(answer: Answer) -> JsonObject:
    usage = dict(zip(("input_tokens", "output_tokens"), _COUNTS, strict=True))
    return {"content": anthropic_blocks(answer), "stop_reason": _REASONS[answer.end], "model": "claude", "usage": usage}


def anthropic_events(answer: Answer) -> Iterator[bytes]:
    return anthropic_stream(anthropic_blocks(answer), _REASONS[answer.end])


def anthropic_stream(blocks: list[JsonObject], reason: str) -> Iterator[bytes]:
    yield _event({"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 12}}})
    for at, block in enumerate(blocks):
        yield _event({"type": "content_block_start", "index": at, "content_block": {**block, **_EMPTY[block["type"]]}})
        yield from (_event({"type": "content_block_delta", "index": at, "delta": it}) for it in _grown(block))
        yield _event({"type": "content_block_stop", "index": at})
    yield _event({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 5}})
    yield _event({"type": "message_stop"})


_EMPTY: dict[str, JsonObject] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "redacted_thinking": {},
    "tool_use": {"input": {}},
}


def _grown(block: JsonObject) -> Iterator[JsonObject]:
    match block["type"]:
        case "text":
            yield from ({"type": "text_delta", "text": letter} for letter in block["text"])
        case "thinking":
            yield from ({"type": "thinking_delta", "thinking": letter} for letter in block["thinking"])
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            text = _written(block["input"])
            pieces = (text[start : start + 3] for start in range(0, len(text), 3))
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)


def gemini_parts(answer: Answer) -> list[JsonObject]:
    """The text and each call are signed; the second call has no id, as with older models."""
    thoughts: list[JsonObject] = [{"text": it.text, "thought": True} for it in answer.thoughts if it.text]
    said = [{"text": answer.said, "thoughtSignature": "c2lnbmVk"}] if answer.said else []
    calls = [
        {
            "functionCall": {"name": NAME, "args": it, **({} if at == 1 else {"id": _id(at)})},
            "thoughtSignature": f"sig{at}",
        }
        for at, it in enumerate(answer.calls)
    ]
    return [*thoughts, *said, *calls]


_GEMINIS = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
_USAGE = {"promptTokenCount": 12, "candidatesTokenCount": 5}


def gemini_whole(answer: Answer) -> JsonObject:
    content = {"role": "model", "parts": gemini_parts(answer)}
    return {"candidates": [{"content": content, "finishReason": _GEMINIS[answer.end]}], "usageMetadata": _USAGE}


def gemini_events(answer: Answer) -> Iterator[bytes]:
    for part in gemini_parts(answer):
        yield _data({"candidates": [{"content": {"parts": [part]}}], "usageMetadata": _USAGE})
    last = {"content": {"parts": [{"text": ""}]}, "finishReason": _GEMINIS[answer.end]}
    yield _data({"candidates": [last], "usageMetadata": _USAGE})


def _chunk(delta: JsonObject, finish: str | None = None) -> bytes:
    return _data({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _data(body: JsonObject) -> bytes:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


def _event(body: JsonObject) -> bytes:
    return f"event: {body['type']}\n".encode() + _data(body)


# ── clients ──────────────────────────────────────────────────────────────────────────────────────────────────────


def message_of(pieces: list[bytes]) -> JsonObject:
    """The message that a client of chat completions puts together."""
    message: JsonObject = {"role": "assistant", "content": "", "refusal": "", "reasoning_content": ""}
    message["reasoning_details"] = []
    calls: list[JsonObject] = []
    end, thought = None, ""
    events = b"".join(pieces).decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    for event in events[:-2]:
        for choice in json.loads(event.removeprefix("data: "))["choices"]:
            delta, end = choice["delta"], choice["finish_reason"] or end
            message["content"] += delta.get("content") or ""
            message["refusal"] += delta.get("refusal") or ""
            message["reasoning_content"] += delta.get("reasoning_content") or ""
            thought += delta.get("reasoning_content") or ""
            for detail in delta.get("reasoning_details", ()):
                block = {name: value for name, value in detail.items() if name != "index"}
                if block["type"] == "thinking":
                    block, thought = {**block, "thinking": thought}, ""
                message["reasoning_details"].append(block)
            for piece in delta.get("tool_calls", ()):
                if "id" in piece:
                    assert piece["index"] == len(calls)
                    calls.append({**piece, "function": {**piece["function"], "arguments": ""}})
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    told = {name: value for name, value in {**message, "tool_calls": calls}.items() if value}
    return {"choices": [{"message": {"content": None, **told}, "finish_reason": end}]}


def whole_message_of(pieces: list[bytes]) -> JsonObject:
    message: JsonObject = assembled(events_of(pieces))
    return message


def response_of(pieces: list[bytes]) -> JsonObject:
    *_, last = b"".join(pieces).decode().strip().split("\n\n")
    response: JsonObject = json.loads(last.partition("\ndata: ")[2])["response"]
    return response


def heard_in_completions(body: JsonObject) -> tuple[object, ...]:
    (choice,) = body["choices"]
    message = choice["message"]
    functions = [(call["id"], call["function"]) for call in message.get("tool_calls", ())]
    calls = [(call_id, it["name"], orjson.loads(it["arguments"])) for call_id, it in functions]
    return message.get("reasoning_content") or "", message["content"] or "", calls, choice["finish_reason"]


def heard_in_messages(body: JsonObject) -> tuple[object, ...]:
    def told(kind: str) -> list[JsonObject]:
        return [block for block in body["content"] if block["type"] == kind]

    ends = {reason: end for end, reason in _REASONS.items()}
    calls = [(block["id"], block["name"], block["input"]) for block in told("tool_use")]
    reasoning = "".join(block["thinking"] for block in told("thinking"))
    return reasoning, "".join(block["text"] for block in told("text")), calls, ends[body["stop_reason"]]


def heard_in_responses(body: JsonObject) -> tuple[object, ...]:
    def told(kind: str) -> list[JsonObject]:
        return [item for item in body["output"] if item["type"] == kind]

    calls = [(item["call_id"], item["name"], orjson.loads(item["arguments"])) for item in told("function_call")]
    reasoning = "".join(part["text"] for item in told("reasoning") for part in item.get("content", ()))
    said = "".join(part["text"] for item in told("message") for part in item["content"])
    why = (body["incomplete_details"] or {}).get("reason")
    ends = {"max_output_tokens": "length", "content_filter": "content_filter"}
    return reasoning, said, calls, ends[why] if why else "tool_calls" if calls else "stop"


# ── the next request ─────────────────────────────────────────────────────────────────────────────────────────────

_ASK = {"role": "user", "content": "Hello"}
_AGAIN = {"role": "user", "content": "And now?"}


def back_in_completions(body: JsonObject) -> JsonObject:
    message = body["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "4"} for call in message.get("tool_calls", ())]
    return {"model": "acme/large", "messages": [_ASK, message, *results, _AGAIN]}


def back_in_messages(body: JsonObject) -> JsonObject:
    used = [block["id"] for block in body["content"] if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": "4"} for call_id in used]
    turns = [_ASK, {"role": "assistant", "content": body["content"]}]
    again = {"role": "user", "content": [*results, {"type": "text", "text": "And now?"}]}
    return {"model": "acme/large", "max_tokens": 9, "messages": [*turns, again]}


def back_in_responses(body: JsonObject) -> JsonObject:
    called = [item["call_id"] for item in body["output"] if item["type"] == "function_call"]
    results = [{"type": "function_call_output", "call_id": call_id, "output": "4"} for call_id in called]
    return {"model": "acme/large", "input": [_ASK, *body["output"], *results, _AGAIN]}


def said_to_openai(body: JsonObject) -> list[JsonObject]:
    return [message for message in body["messages"] if message["role"] == "assistant"]


def said_to_anthropic(body: JsonObject) -> list[JsonObject]:
    return [block for turn in body["messages"] if turn["role"] == "assistant" for block in turn["content"]]


def said_to_gemini(body: JsonObject) -> list[JsonObject]:
    return [part for content in body["contents"] if content["role"] == "model" for part in content["parts"]]

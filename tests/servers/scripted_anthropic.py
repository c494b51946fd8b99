"""What a scripted provider sends on Anthropic's wire: the same as on OpenAI's, in Anthropic's words.

Of its own it has `stop-refusal` (any reason for the end), `redacted`, `overloaded-first` (an error event before any
text), `billing`, and `pings`.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.servers.scripted_answers import MASKED_KEY, Bill, Body, Script

DONE: bytes | None = b'{"type": "message_stop"}'
STATUSES = {"auth": 401, "billing": 402}
SIGNATURE = "c2lnbmVk"

_REASONS = {"stop": "end_turn", "length": "max_tokens"}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def asked(_path: str, payload: Body) -> tuple[str, bool]:
    return payload["model"], bool(payload.get("stream"))


def limit(payload: Body) -> Any:
    return payload["max_tokens"]


def lines(payload: bytes) -> bytes:
    return b"event: " + json.loads(payload)["type"].encode() + b"\ndata: " + payload


def completion(bill: Bill, pieces: list[str], finish: str, script: Script) -> bytes:
    content: list[Body] = [{"type": "text", "text": "".join(pieces)}]
    if script.name == "tools":
        content = [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}}]
    if script.name == "redacted":
        content.insert(0, {"type": "redacted_thinking", "data": "b3BhcXVl"})
    if script.name == "reasoning":
        content.insert(0, {"type": "thinking", "thinking": "Let me think.", "signature": SIGNATURE})
    counted = usage(bill, script)
    told = {} if counted is None else {"usage": counted}
    return _json({**_message(bill), "content": content, **_end(finish, script), **told})


def chunks(bill: Bill, pieces: list[str], finish: str, script: Script) -> Iterator[tuple[bytes, str]]:
    """The payloads of a stream before `message_stop`, each with the visible text in it."""
    counted = usage(bill, script)
    begun = {} if counted is None else {"usage": {**counted, "output_tokens": 1}}
    yield _json({"type": "message_start", "message": {**_message(bill), "content": [], **begun}}), ""
    if script.name == "overloaded-first":
        yield error_body(529, script), ""
    yield from ((_json(event), text) for event, text in _blocks(pieces, script))
    counted = usage(bill, script)
    delta = _end(finish, script)
    if script.name == "usage-twice" and counted:
        yield _json({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 1}}), ""
    ended = {} if counted is None else {"usage": {"output_tokens": counted["output_tokens"], **_details(script)}}
    yield _json({"type": "message_delta", "delta": delta, **ended}), ""


def usage(bill: Bill, script: Script) -> Body | None:
    by_name: dict[str, Body | None] = {
        "no-usage": None,
        "zero-usage": {"input_tokens": 0, "output_tokens": 0},
        "absurd-usage": {"input_tokens": 10**12, "output_tokens": -5},
        "classes": {
            "input_tokens": bill.prompt_tokens - 3,
            "cache_read_input_tokens": 2,
            "cache_creation_input_tokens": 1,
            "output_tokens": bill.completion_tokens,
            **_details(script),
        },
    }
    counted: Body = {"input_tokens": bill.prompt_tokens, "output_tokens": bill.completion_tokens}
    return by_name.get(script.name, counted)


def error_body(status: int, script: Script) -> bytes:
    messages = {
        "context-length": "prompt is too long: 200001 tokens > 200000 maximum",
        "context-size": "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
        "param": "top_p: must be at most 1",
        "auth": f"invalid x-api-key {MASKED_KEY}",
        "key-in-message": f"You sent {MASKED_KEY}.",
    }
    message = messages.get(script.name, f"Scripted status {status}.")
    return _error(_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error"), message)


def error_event() -> bytes:
    return lines(_error("api_error", "Backend died.")) + b"\n\n"


def piece(_bill: Bill, text: str) -> bytes:
    return _json(_delta(0, {"type": "text_delta", "text": text}))


def quoted(key: str) -> bytes:
    return _error(f"unknown {key}", f"{key}: What is {key}?")


def _blocks(pieces: list[str], script: Script) -> Iterator[tuple[Body, str]]:
    at = 0
    if script.name == "reasoning":
        yield from ((event, "") for event in _thinking())
        at = 1
    if script.name == "redacted":
        yield _start(0, {"type": "redacted_thinking", "data": "b3BhcXVl"}), ""
        yield _stop(0), ""
        at = 1
    if script.name == "tools":
        yield from ((event, "") for event in _tool_use())
        return
    yield _start(at, {"type": "text", "text": ""}), ""
    for text in pieces:
        if script.name == "pings":
            yield {"type": "ping"}, ""
        yield _delta(at, {"type": "text_delta", "text": text}), text
    yield _stop(at), ""


def _thinking() -> Iterator[Body]:
    yield _start(0, {"type": "thinking", "thinking": "", "signature": ""})
    yield _delta(0, {"type": "thinking_delta", "thinking": "Let me "})
    yield _delta(0, {"type": "thinking_delta", "thinking": "think."})
    yield _delta(0, {"type": "signature_delta", "signature": SIGNATURE})
    yield _stop(0)


def _tool_use() -> Iterator[Body]:
    yield _start(0, {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}})
    for part in ("", '{"city"', ':"Kö', 'ln"}'):
        yield _delta(0, {"type": "input_json_delta", "partial_json": part})
    yield _stop(0)


def _message(bill: Bill) -> Body:
    return {"id": "msg_scripted", "type": "message", "role": "assistant", "model": bill.model}


def _end(finish: str, script: Script) -> Body:
    reason = _REASONS[finish]
    if script.name == "tools":
        reason = "tool_use"
    if script.name.startswith("stop-"):
        reason = script.name.removeprefix("stop-").replace("-", "_")
    return {"stop_reason": reason, "stop_sequence": "END" if reason == "stop_sequence" else None}


def _details(script: Script) -> Body:
    return {"output_tokens_details": {"thinking_tokens": 3}} if script.name == "classes" else {}


def _start(index: int, block: Body) -> Body:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, delta: Body) -> Body:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _stop(index: int) -> Body:
    return {"type": "content_block_stop", "index": index}


def _error(kind: str, message: str) -> bytes:
    return _json({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"})


def _json(body: Body) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()

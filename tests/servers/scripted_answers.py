"""What a scripted provider sends, chosen by the name of the model. See `scripted_provider` for the names."""

import gzip
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]

WORDS = 5
MASKED_KEY = "sk-upstream-0123456789abcdef"


@dataclass
class Bill:
    """What the provider would charge for one request, and how the request went."""

    id: str
    model: str
    streamed: bool
    prompt_tokens: int
    completion_tokens: int = 0
    status: int = 200
    sent: str = ""
    """All the visible text that left."""
    ended: str = "open"
    """`complete`, `cut` by the script, or `client_gone`."""
    ended_at: float | None = None
    began_at: float = field(default_factory=time.time)
    headers: dict[str, str] = field(default_factory=dict)
    payload: Body = field(default_factory=dict)
    billed: tuple[int, int] = (0, 0)
    """Prompt and completion tokens, once it has ended."""

    def close(self, ended: str, counted: tuple[int, int] | None) -> None:
        """What it is billed: what the provider `counted` and tells, of a cut stream its prompt and what was sent.

        Nothing for an error, for a stream without a token, and for a whole answer that did not get out whole.
        """
        self.ended, self.ended_at = ended, time.time()
        if self.status == 200 and ended == "complete":
            self.billed = counted or (self.prompt_tokens, self.completion_tokens)
        elif self.status == 200 and self.streamed and self.completion_tokens:
            self.billed = (self.prompt_tokens, self.completion_tokens)


@dataclass(frozen=True)
class Script:
    """A model's name, read: `fault:rst-after-3` has the name `rst-after` and the numbers `[3]`."""

    name: str
    numbers: list[float]
    once: bool

    @classmethod
    def of(cls, model: str) -> "Script":
        text = bare(model)
        once = text.endswith("-once")
        text = text.removesuffix("-once")
        name = re.sub(r"-?\d+(\.\d+)?(ms)?(?=-|$)", "", text) if not text[:1].isdigit() else text
        return cls(name or text, [float(found) for found in re.findall(r"\d+(?:\.\d+)?", text)], once)

    def number(self, default: float) -> float:
        return self.numbers[-1] if self.numbers else default


def bare(model: str) -> str:
    """What says how: without `fault:`, and without `~` and what follows it."""
    return model.removeprefix("fault:").partition("~")[0]


def words(payload: Body, script: Script) -> list[str]:
    """The pieces of the answer: `one two …`, or what the model echoes."""
    if script.name == "payload-echo":
        text = json.dumps(payload, sort_keys=True, ensure_ascii=False)
        return [text[at : at + 40] for at in range(0, len(text), 40)]
    if script.name == "image-echo":
        return [_first_image(payload)]
    if script.name == "unicode":
        return ["Grüße, ", "世界 ", "👋🏽 ", "\u2028", "fin"]
    count = int(script.number(WORDS)) if script.name == "ok-n" else WORDS
    begun = _begun(payload).count("word")
    return [f"word{number} " for number in range(begun + 1, count + 1)]


def _begun(payload: Body) -> str:
    """An answer of which somebody has the beginning is gone on with."""
    *_, last = payload.get("messages") or [{}]
    return str(last["content"]) if last.get("prefix") or last.get("partial") else ""


def limited(pieces: list[str], limit: Any) -> tuple[list[str], str]:
    """One piece is one token."""
    if isinstance(limit, int) and limit < len(pieces):
        return pieces[:limit], "length"
    return pieces, "stop"


def prompt_tokens(payload: Body) -> int:
    turns = payload.get("messages") or payload.get("contents") or []
    return sum(len(json.dumps(turn).split()) for turn in turns)


# ── OpenAI's wire; `scripted_anthropic` and `scripted_gemini` have functions of these names for theirs ────────────

DONE: bytes | None = b"[DONE]"
STATUSES = {"auth": 401}


def asked(_path: str, payload: Body) -> tuple[str, bool]:
    """The model, and whether the answer is to be streamed."""
    return payload["model"], bool(payload.get("stream"))


def limit(payload: Body) -> Any:
    return payload.get("max_completion_tokens") or payload.get("max_tokens")


def lines(payload: bytes) -> bytes:
    """An event without its blank line."""
    return b"data: " + payload


def error_event() -> bytes:
    return b'data: {"error": {"message": "Backend died.", "code": 502}}\n\ndata: [DONE]\n\n'


def piece(bill: Bill, text: str) -> bytes:
    return _chunk(bill, [_choice(0, {"content": text})])


def quoted(key: str) -> bytes:
    """An error that says back, wherever it can, with what the provider was called."""
    error = {"message": f"What is {key}?", "type": f"unknown {key}", "code": key, "param": key}
    return json.dumps({"error": error}).encode()


def usage(bill: Bill, script: Script) -> Body | None:
    by_name: dict[str, Body | None] = {
        "no-usage": None,
        "zero-usage": _usage(0, 0),
        "absurd-usage": _usage(10**12, -5),
        "classes": {
            **_usage(bill.prompt_tokens, bill.completion_tokens),
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    }
    return by_name.get(script.name, _usage(bill.prompt_tokens, bill.completion_tokens))


def completion(bill: Bill, pieces: list[str], finish: str, script: Script) -> bytes:
    """The body of an answer that is not streamed."""
    message: Body = {"role": "assistant", "content": "".join(pieces)}
    if script.name == "tools":
        message, finish = {"role": "assistant", "content": None, "tool_calls": [tool_call()]}, "tool_calls"
    if script.name == "reasoning":
        message["reasoning_content"] = "Let me think."
    choices = [
        {"index": index, "message": message, "finish_reason": finish, "logprobs": _logprobs(pieces, script)}
        for index in range(bill.payload.get("n") or 1)
    ]
    body = {**envelope(bill, "chat.completion"), "choices": choices, "usage": usage(bill, script)}
    return json.dumps(body).encode()


def chunks(bill: Bill, pieces: list[str], finish: str, script: Script) -> Iterator[tuple[bytes, str]]:
    """The payloads of a stream before `[DONE]`, each with the visible text in it."""
    choices = range(bill.payload.get("n") or 1)
    if script.name != "no-role":
        yield (
            _chunk(bill, [_choice(index, {"role": "assistant", "content": _nothing(script)}) for index in choices]),
            "",
        )
    if script.name == "reasoning":
        yield _chunk(bill, [_choice(0, {"reasoning_content": "Let me think."})]), ""
    if script.name == "tools":
        yield from ((_chunk(bill, [_choice(0, delta)]), "") for delta in _tool_deltas())
        pieces, finish = [], "tool_calls"
    for piece in pieces:
        logprobs = _logprobs([piece], script)
        yield _chunk(bill, [_choice(index, {"content": piece}, logprobs=logprobs) for index in choices]), piece
    yield _chunk(bill, [_choice(index, {}, finish) for index in choices]), ""
    counted = usage(bill, script)
    if counted is not None and (bill.payload.get("stream_options") or {}).get("include_usage"):
        if script.name == "usage-twice":
            yield _chunk(bill, [], {**counted, "completion_tokens": 1}), ""
        yield _chunk(bill, [], counted), ""


def error_body(status: int, script: Script) -> bytes:
    """As the provider of that quirk words it."""
    by_name: dict[str, Body] = {
        "context-length": _error("This model's maximum context length is 8 tokens.", "context_length_exceeded"),
        "context-size": {
            "code": 400,
            "message": "the request exceeds the context",
            "type": "exceed_context_size_error",
        },
        "content-filter": _error("The prompt was filtered.", "content_filter", "messages"),
        "param": _error("Unsupported value for 'top_p'.", "unsupported_value", "top_p"),
        "auth": _error(f"Incorrect API key provided: {MASKED_KEY}.", "invalid_api_key"),
        "key-in-message": _error(f"You sent {MASKED_KEY}.", "bad"),
    }
    default = _error(f"Scripted status {status}.", f"scripted_{status}")
    return json.dumps({"error": by_name.get(script.name, default)}).encode()


def gzip_bomb() -> bytes:
    """Fifty megabytes of nothing, in parts: made in no time."""
    return gzip.compress(bytes(1_000_000)) * 50


def tool_call() -> Body:
    return {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}


def envelope(bill: Bill, kind: str) -> Body:
    return {
        "id": "chatcmpl-scripted",
        "object": kind,
        "created": 1_700_000_000,
        "model": bill.model,
        "system_fingerprint": "fp_scripted",
    }


def _chunk(bill: Bill, choices: list[Body], counted: Body | None = None) -> bytes:
    body = {**envelope(bill, "chat.completion.chunk"), "choices": choices, "usage": counted}
    return json.dumps(body, ensure_ascii=False).encode()


def _choice(index: int, delta: Body, finish: str | None = None, logprobs: Body | None = None) -> Body:
    return {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}


def _tool_deltas() -> Iterator[Body]:
    call = tool_call()
    arguments = call["function"]["arguments"]
    opening = {**call, "index": 0, "function": {"name": "weather", "arguments": ""}}
    yield {"tool_calls": [opening]}
    for at in range(0, len(arguments), 5):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": arguments[at : at + 5]}}]}


def _logprobs(pieces: list[str], script: Script) -> Body | None:
    if script.name != "logprobs":
        return None
    return {"content": [{"token": piece, "logprob": -0.5, "bytes": None, "top_logprobs": []} for piece in pieces]}


def _usage(prompt: int, completed: int) -> Body:
    return {"prompt_tokens": prompt, "completion_tokens": completed, "total_tokens": prompt + completed}


def _error(message: str, code: str, param: str | None = None) -> Body:
    return {"message": message, "type": "invalid_request_error", "code": code, "param": param}


def _nothing(script: Script) -> str | None:
    return None if script.name == "null-content" else ""


def _first_image(payload: Body) -> str:
    for message in payload.get("messages", []):
        parts = message.get("content")
        for part in parts if isinstance(parts, list) else []:
            if part.get("type") == "image_url":
                return str(part["image_url"]["url"])
    return "no image"

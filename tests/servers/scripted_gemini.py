"""What a scripted provider sends on Gemini's wire: the same as on OpenAI's, in Gemini's words.

Of its own it has `finish-SAFETY` (any finish reason), `blocked` (the prompt), `quota` (used up, with a delay), and
vectors for whoever asks for embeddings.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from tests.servers.scripted_answers import MASKED_KEY, Bill, Body, Script

DONE: bytes | None = None
STATUSES = {"auth": 400, "quota": 429, "content-filter": 0}
SIGNATURE = "c2lnbmVk"

_REASONS = {"stop": "STOP", "length": "MAX_TOKENS"}
_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPE = "type.googleapis.com/google.rpc."


def asked(path: str, _payload: Body) -> tuple[str, bool]:
    name, _, method = path.partition("/models/")[2].rpartition(":")
    return unquote(name), method == "streamGenerateContent?alt=sse"


def limit(payload: Body) -> Any:
    return payload.get("generationConfig", {}).get("maxOutputTokens")


def lines(payload: bytes) -> bytes:
    return b"data: " + payload


def completion(bill: Bill, pieces: list[str], finish: str, script: Script) -> bytes:
    if "requests" in bill.payload:
        return _json(_embeddings(bill))
    if _blocked(script):
        return _json(_block(bill))
    parts: list[Body] = [{"text": "".join(pieces)}]
    if script.name == "tools":
        parts = [_call()]
    if script.name == "reasoning":
        parts.insert(0, {"text": "Let me think.", "thought": True})
        parts[-1]["thoughtSignature"] = SIGNATURE
    return _json(_piece(bill, parts, usage(bill, script), _reason(finish, script)))


def chunks(bill: Bill, pieces: list[str], finish: str, script: Script) -> Iterator[tuple[bytes, str]]:
    """The payloads of a stream, each with the visible text in it; the counts in it are cumulative."""
    if _blocked(script):
        yield _json(_block(bill)), ""
        return
    if script.name == "reasoning":
        for text in ("Let me ", "think."):
            yield _json(_piece(bill, [{"text": text, "thought": True}], usage(bill, script))), ""
    if script.name == "tools":
        yield _json(_piece(bill, [_call()], usage(bill, script))), ""
        pieces = []
    for text in pieces:
        yield _json(_piece(bill, [{"text": text}], usage(bill, script))), text
    last = [{"text": "", "thoughtSignature": SIGNATURE}] if script.name == "reasoning" else [{"text": ""}]
    yield _json(_piece(bill, last, usage(bill, script), _reason(finish, script))), ""


def usage(bill: Bill, script: Script) -> Body | None:
    by_name: dict[str, Body | None] = {
        "no-usage": None,
        "zero-usage": {"promptTokenCount": 0, "candidatesTokenCount": 0},
        "absurd-usage": {"promptTokenCount": 10**12, "candidatesTokenCount": -5},
        "classes": {
            "promptTokenCount": bill.prompt_tokens,
            "cachedContentTokenCount": 2,
            "candidatesTokenCount": bill.completion_tokens,
            "thoughtsTokenCount": 3,
        },
    }
    counted: Body = {"promptTokenCount": bill.prompt_tokens, "candidatesTokenCount": bill.completion_tokens}
    return by_name.get(script.name, counted)


def error_body(status: int, script: Script) -> bytes:
    by_name = {
        "context-length": _error(400, "The input token count (1048577) exceeds the maximum number of tokens allowed."),
        "context-size": _error(400, "The input token count exceeds the maximum number of tokens allowed 1048576."),
        "param": _error(400, "Invalid value.", _detail("BadRequest", fieldViolations=[{"field": "top_p"}])),
        "auth": _error(400, f"API key not valid {MASKED_KEY}.", _detail("ErrorInfo", reason="API_KEY_INVALID")),
        "key-in-message": _error(400, f"You sent {MASKED_KEY}."),
        "quota": _error(429, "You exceeded your current quota.", _detail("RetryInfo", retryDelay="6.4s")),
    }
    return _json(by_name.get(script.name) or _error(max(status, 400), f"Scripted status {status}."))


def error_event() -> bytes:
    return lines(_json(_error(500, "Backend died."))) + b"\n\n"


def piece(bill: Bill, text: str) -> bytes:
    return _json(_piece(bill, [{"text": text}], None))


def quoted(key: str) -> bytes:
    return _json(_error(400, f"What is {key}?", _detail("BadRequest", fieldViolations=[{"field": key}])))


def _piece(bill: Bill, parts: list[Body], counted: Body | None, reason: str | None = None) -> Body:
    wanted = range(bill.payload.get("generationConfig", {}).get("candidateCount", 1))
    ended = {} if reason is None else {"finishReason": reason}
    content = {"role": "model", "parts": parts}
    told = {} if counted is None else {"usageMetadata": counted}
    candidates = [{"content": content, "index": index, **ended} for index in wanted]
    return {"candidates": candidates, "modelVersion": bill.model, **told}


def _call() -> Body:
    return {"functionCall": {"name": "weather", "args": {"city": "Köln"}}, "thoughtSignature": SIGNATURE}


def _reason(finish: str, script: Script) -> str:
    return script.name.removeprefix("finish-") if script.name.startswith("finish-") else _REASONS[finish]


def _blocked(script: Script) -> bool:
    return script.name in ("blocked", "content-filter")


def _block(bill: Bill) -> Body:
    counted = {"promptTokenCount": bill.prompt_tokens}
    return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": counted}


def _embeddings(bill: Bill) -> Body:
    texts = [request["content"]["parts"][0]["text"] for request in bill.payload["requests"]]
    counted = {"promptTokenCount": sum(len(text.split()) for text in texts)}
    return {"embeddings": [{"values": [float(len(text)), 0.5]} for text in texts], "usageMetadata": counted}


def _error(status: int, message: str, *details: Body) -> Body:
    return {
        "error": {"code": status, "message": message, "status": _NAMES.get(status, "UNKNOWN"), "details": list(details)}
    }


def _detail(kind: str, **fields: Any) -> Body:
    return {"@type": _TYPE + kind, **fields}


def _json(body: Body) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()

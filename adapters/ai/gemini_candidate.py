"""One answer of Gemini's, whole or as it grows: parts into what OpenAI's shape has for them."""

from collections.abc import Iterable, Mapping

import orjson

from adapters.ai.call_ids import CallIds
from domain.completion import JsonObject, Prompt
from domain.members import object_of, objects_of, text_of
from domain.provider_errors import ProviderError, UpstreamAuth, UpstreamFailed, UpstreamRejected

_FINISHES = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_FAILED: Mapping[str, type[ProviderError]] = {
    "MALFORMED_FUNCTION_CALL": UpstreamFailed,
    "MALFORMED_RESPONSE": UpstreamFailed,
    "MISSING_THOUGHT_SIGNATURE": UpstreamRejected,
    "PUP_LIMITED_DISABLED": UpstreamAuth,
    "TOO_MANY_TOOL_CALLS": UpstreamFailed,
    "UNEXPECTED_TOOL_CALL": UpstreamFailed,
}
"""Finish reasons that tell of an answer that is not one."""
_UNSPECIFIED = "FINISH_REASON_UNSPECIFIED"


class Candidate:
    """Remembers how many calls and signatures it made, and how it ended."""

    def __init__(self, first: JsonObject, prompt: Prompt) -> None:
        index = first.get("index", 0)
        self.index: int = index if type(index) is int else 0
        self.finish: str | None = None
        """OpenAI's word for why it ended; None as long as it has not."""
        self.begun = False
        """Something of it was passed on."""
        self._ids = CallIds(prompt.request_id, self.index)
        self._signed = 0

    def take(self, raw: JsonObject) -> JsonObject:
        """What this piece adds, calls and signatures in their places. Raises what an end tells of a failure."""
        parts = objects_of(object_of(raw, "content"), "parts")
        delta = _said(parts)
        signatures: list[JsonObject] = []
        calls = [self._call(part, signatures) for part in parts if isinstance(part.get("functionCall"), dict)]
        signatures += _signatures(part for part in parts if not isinstance(part.get("functionCall"), dict))
        if calls:
            delta["tool_calls"] = calls
        if signatures:
            delta["reasoning_details"] = [
                {**signature, "index": at} for at, signature in enumerate(signatures, self._signed)
            ]
            self._signed += len(signatures)
        self._end(text_of(raw, "finishReason"))
        return delta

    def _call(self, part: JsonObject, signatures: list[JsonObject]) -> JsonObject:
        """Gemini 2.5 gives calls no ids, and the results that are sent back need them."""
        call, at = object_of(part, "functionCall"), len(self._ids)
        call_id = self._ids.give(text_of(call, "id"))
        signatures += [{**signature, "tool_call_id": call_id} for signature in _signatures([part])]
        arguments = orjson.dumps(object_of(call, "args")).decode()
        function = {"name": text_of(call, "name"), "arguments": arguments}
        return {"index": at, "id": call_id, "type": "function", "function": function}

    def _end(self, reason: str) -> None:
        """Every other reason than those that are known means that Google would not let the answer go on."""
        if reason in _FAILED:
            raise _FAILED[reason](f"The provider ended its answer with {reason}.")
        if reason and reason != _UNSPECIFIED:
            finish = _FINISHES.get(reason, "content_filter")
            self.finish = "tool_calls" if self._ids and finish == "stop" else finish


def _said(parts: Iterable[JsonObject]) -> JsonObject:
    """Visible text and reasoning; what is neither (pictures, code that ran at Google) is left out."""
    texts = [(text_of(part, "text"), part.get("thought") is True) for part in parts]
    said = "".join(text for text, thought in texts if not thought)
    thoughts = "".join(text for text, thought in texts if thought)
    return {**({"content": said} if said else {}), **({"reasoning_content": thoughts} if thoughts else {})}


def _signatures(parts: Iterable[JsonObject]) -> list[JsonObject]:
    found = (text_of(part, "thoughtSignature") for part in parts)
    return [{"type": "thought_signature", "signature": signature} for signature in found if signature]

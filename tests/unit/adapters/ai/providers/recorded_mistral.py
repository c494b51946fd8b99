"""https://docs.mistral.ai/api and /capabilities/reasoning. Content is a list where a model thinks aloud."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, whole

USAGE = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "prompt_audio_seconds": None}


def _thought(text: str) -> dict[str, object]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def _told(message: object, code: str, **more: object) -> dict[str, object]:
    return {"object": "error", "message": message, "param": None, "code": code, **more}


RECORDED = Recorded(
    answer=whole({"content": [_thought("Wer? Köln."), {"type": "text", "text": "Grüße aus Köln."},
                              {"type": "reference", "reference_ids": [1]}], "tool_calls": None}, USAGE),
    stream=[
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": [_thought("Wer? ")]}),
        chunk({"content": [_thought("Köln.")]}),
        chunk({"content": [{"type": "text", "text": "Grüße aus"}]}),
        chunk({"content": " Köln."}),
        chunk({"content": "", "tool_calls": None}, "stop", usage=USAGE),
    ],
    usage=Usage(20, 0, 0, 9, 0, Source.PROVIDER),
    reasoning="Wer? Köln.",
    tools=called(),
    errors=(
        (400, _told("Prompt contains 40000 tokens, too many tokens for model", "3051", type="invalid_request"),
         errors.ContextLengthExceeded),
        (401, {"detail": "Unauthorized"}, errors.UpstreamAuth),
        (401, {"message": "Unauthorized", "request_id": "1"}, errors.UpstreamAuth),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}]},
         errors.UpstreamRejected),
        (422, _told({"detail": [{"loc": ["body", "top_p"], "msg": "less than 1"}]}, "0", type="invalid_request_error"),
         errors.UpstreamRejected),
        (429, _told("Rate limit exceeded", "1300", type="rate_limited", raw_status_code=429),
         errors.UpstreamRateLimited),
        (429, _told("Service tier capacity exceeded for this model.", "3505", type="service_tier_capacity_exceeded"),
         errors.UpstreamOverloaded),
        (500, _told("Service unavailable.", "3000", type="internal_server_error"), errors.UpstreamFailed),
    ),
    in_stream=((chunk({"content": ""}, "error"), errors.UpstreamFailed),),
)  # fmt: skip

"""https://api-docs.deepseek.com/api/create-chat-completion and /quick_start/error_codes."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, error, whole

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_cache_hit_tokens": 16,
    "prompt_cache_miss_tokens": 4,
    "completion_tokens_details": {"reasoning_tokens": 4},
}
_CODE = {"type": "invalid_request_error", "param": None, "code": "invalid_request_error"}
RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "reasoning_content": "Wer? Köln."}, USAGE, system_fingerprint="fp"),
    stream=[
        chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
        chunk({"content": None, "reasoning_content": "Wer? Köln."}),
        chunk({"content": "Grüße aus", "reasoning_content": None}),
        chunk({"content": " Köln.", "reasoning_content": None}),
        chunk({"content": "", "reasoning_content": None}, "stop", usage=USAGE),
    ],
    usage=Usage(4, 16, 0, 5, 4, Source.PROVIDER),
    reasoning="Wer? Köln.",
    tools=called(),
    errors=(
        (400, error("This model's maximum context length is 1000000 tokens.", **_CODE), errors.ContextLengthExceeded),
        (400, error("Content Exists Risk", **_CODE), errors.ContentFiltered),
        (401, error("Authentication Fails", type="authentication_error", code="invalid_request_error"),
         errors.UpstreamAuth),
        (402, error("Insufficient Balance", type="unknown_error", code="invalid_request_error"), errors.UpstreamAuth),
        (422, error("logprobs is not supported", **_CODE), errors.UpstreamRejected),
        (429, error("Rate limit reached"), errors.UpstreamRateLimited),
        (500, error("Server error"), errors.UpstreamFailed),
        (503, error("Server overloaded"), errors.UpstreamOverloaded),
    ),
    in_stream=((chunk({"content": ""}, "insufficient_system_resource"), errors.UpstreamOverloaded),),
)  # fmt: skip

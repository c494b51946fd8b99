"""https://docs.siliconflow.cn/cn/api-reference/chat-completions and /faqs/error-code."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, whole

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "completion_tokens_details": {"reasoning_tokens": 4},
    "prompt_tokens_details": {"cached_tokens": 0},
    "prompt_cache_hit_tokens": 0,
    "prompt_cache_miss_tokens": 20,
}


def _told(code: int, message: str) -> dict[str, object]:
    return {"code": code, "message": message, "data": None}


RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "reasoning_content": "Wer? Köln."}, USAGE),
    stream=[
        chunk({"content": "", "reasoning_content": None, "role": "assistant"}, usage={**USAGE, "completion_tokens": 0}),
        chunk({"content": None, "reasoning_content": "Wer? Köln."}, usage={**USAGE, "completion_tokens": 4}),
        chunk({"content": "Grüße aus Köln.", "reasoning_content": None}, usage=USAGE),
        chunk({"content": "", "reasoning_content": None}, "stop", usage=USAGE),
    ],
    usage=Usage(20, 0, 0, 5, 4, Source.PROVIDER),
    reasoning="Wer? Köln.",
    tools=called(),
    errors=(
        (400, _told(20012, "Model does not exist. Please check it carefully."), errors.UpstreamRejected),
        (400, _told(20015, "length of prompt_tokens (9) must be less than max_seq_len (8)."),
         errors.ContextLengthExceeded),
        (413, _told(20042, "input must have less than 8192 tokens"), errors.ContextLengthExceeded),
        (401, "Invalid token", errors.UpstreamAuth),
        (403, _told(30001, "Sorry, your account balance is insufficient"), errors.UpstreamAuth),
        (429, _told(50501, "Request was rejected due to rate limiting. TPM limit reached."),
         errors.UpstreamRateLimited),
        (503, _told(50505, "Model service overloaded. Please try again later."), errors.UpstreamOverloaded),
        (504, "Gateway Timeout", errors.UpstreamFailed),
        (500, "unknown error", errors.UpstreamFailed),
    ),
)  # fmt: skip

"""https://console.groq.com/docs/api-reference, /docs/reasoning and /docs/errors."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, error, whole

USAGE = {
    "queue_time": 0.03,
    "prompt_tokens": 20,
    "prompt_time": 0.0006,
    "completion_tokens": 9,
    "completion_time": 0.46,
    "total_tokens": 29,
    "total_time": 0.46,
    "prompt_tokens_details": {"cached_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "reasoning": "Wer? Köln."}, USAGE, x_groq={"id": "req_1"}),
    stream=[
        chunk({"role": "assistant", "content": ""}, x_groq={"id": "req_1"}),
        chunk({"reasoning": "Wer? Köln.", "channel": "analysis"}),
        chunk({"content": "Grüße aus Köln."}),
        chunk({}, "stop", x_groq={"id": "req_1", "usage": USAGE}),
    ],
    usage=Usage(10, 10, 0, 5, 4, Source.PROVIDER),
    reasoning="Wer? Köln.",
    tools=called(),
    errors=(
        (400, error("Failed to call a function.", type="invalid_request_error", code="tool_use_failed",
                    failed_generation="<f>"), errors.UpstreamRejected),
        (400, error("Please reduce the length of the messages.", type="invalid_request_error",
                    code="context_length_exceeded"), errors.ContextLengthExceeded),
        (401, error("Invalid API Key", type="invalid_request_error", code="invalid_api_key"), errors.UpstreamAuth),
        (404, error("The model does not exist", code="model_not_found"), errors.UpstreamRejected),
        (413, error("Request too large for model", type="tokens", code="rate_limit_exceeded"),
         errors.UpstreamRateLimited),
        (422, error("Unprocessable", type="invalid_request_error"), errors.UpstreamRejected),
        (429, error("Rate limit reached", type="tokens", code="rate_limit_exceeded"), errors.UpstreamRateLimited),
        (498, error("Flex tier capacity exceeded", type="invalid_request_error", code="capacity_exceeded"),
         errors.UpstreamOverloaded),
        (500, error("Internal Server Error", type="internal_server_error"), errors.UpstreamFailed),
        (502, error("Bad Gateway"), errors.UpstreamFailed),
        (503, error("Service Unavailable"), errors.UpstreamOverloaded),
    ),
    in_stream=((error("It failed.", type="invalid_request_error", code="tool_use_failed"), errors.UpstreamRejected),),
)  # fmt: skip

"""https://platform.openai.com/docs/api-reference/chat and /docs/guides/error-codes."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, error, last, whole

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}
RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "refusal": None, "annotations": []}, USAGE, service_tier="default"),
    stream=[
        chunk({"role": "assistant", "content": "", "refusal": None}, usage=None, obfuscation="x9"),
        chunk({"content": "Grüße aus"}, usage=None, obfuscation="q"),
        chunk({"content": " Köln."}, usage=None),
        chunk({}, "stop", usage=None),
        last(USAGE),
    ],
    usage=Usage(12, 8, 0, 5, 4, Source.PROVIDER),
    tools=called(),
    errors=(
        (401, error("Incorrect API key provided.", type="invalid_request_error", code="invalid_api_key"),
         errors.UpstreamAuth),
        (429, error("Rate limit reached for gpt-4o.", type="requests", code="rate_limit_exceeded"),
         errors.UpstreamRateLimited),
        (429, error("You exceeded your current quota.", type="insufficient_quota", code="insufficient_quota"),
         errors.UpstreamAuth),
        (400, error("Too long.", type="invalid_request_error", code="context_length_exceeded", param="messages"),
         errors.ContextLengthExceeded),
        (400, error("Unsupported value: 'temperature'.", type="invalid_request_error", param="temperature"),
         errors.UpstreamRejected),
        (400, error("Your request was rejected by our safety system.", code="content_policy_violation"),
         errors.ContentFiltered),
        (404, error("The model does not exist.", type="invalid_request_error", code="model_not_found"),
         errors.UpstreamRejected),
        (500, error("The server had an error.", type="server_error"), errors.UpstreamFailed),
        (503, error("The engine is currently overloaded."), errors.UpstreamOverloaded),
    ),
    in_stream=((error("The server had an error.", type="server_error", code=None), errors.UpstreamFailed),),
)  # fmt: skip

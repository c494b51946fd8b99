"""https://platform.kimi.ai/docs/api/chat and /docs/api/errors."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, error, last, whole

USAGE = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "cached_tokens": 10}
RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "reasoning_content": "Wer? Köln."}, USAGE),
    stream=[
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "Wer? Köln."}),
        chunk({"content": "Grüße aus Köln."}),
        chunk({}, "stop"),
        last(USAGE),
    ],
    usage=Usage(10, 10, 0, 9, 0, Source.PROVIDER),
    reasoning="Wer? Köln.",
    tools=called(),
    errors=(
        (400, error("The request was rejected because it was considered high risk", type="content_filter"),
         errors.ContentFiltered),
        (400, error("Invalid request: max_tokens must be positive", type="invalid_request_error"),
         errors.UpstreamRejected),
        (400, error("Input token length too long", type="invalid_request_error"), errors.ContextLengthExceeded),
        (400, error("Your request exceeded model token limit : 262144", type="invalid_request_error"),
         errors.ContextLengthExceeded),
        (401, error("Invalid Authentication", type="invalid_authentication_error"), errors.UpstreamAuth),
        (404, error("Not found the model", type="resource_not_found_error"), errors.UpstreamRejected),
        (429, error("Your account is suspended", type="exceeded_current_quota_error"), errors.UpstreamAuth),
        (429, error("The engine is currently overloaded", type="engine_overloaded_error"), errors.UpstreamOverloaded),
        (429, error("Your account reached max request", type="rate_limit_reached_error"), errors.UpstreamRateLimited),
        (500, error("Failed to extract file", type="server_error"), errors.UpstreamFailed),
    ),
)  # fmt: skip

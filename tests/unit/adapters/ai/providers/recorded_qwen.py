"""https://help.aliyun.com/zh/model-studio/compatibility-of-openai-with-dashscope and /error-code."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, error, last, whole

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 6, "cache_creation_input_tokens": 4, "cache_type": "ephemeral"},
    "completion_tokens_details": {"reasoning_tokens": 4, "text_tokens": 5},
}
RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "reasoning_content": "Wer? Köln."}, USAGE),
    stream=[
        chunk({"role": "assistant", "content": None, "reasoning_content": ""}, usage=None),
        chunk({"content": None, "reasoning_content": "Wer? Köln."}, usage=None),
        chunk({"content": "Grüße aus Köln.", "reasoning_content": None}, usage=None),
        chunk({"content": "", "reasoning_content": None}, "stop", usage=None),
        last(USAGE),
    ],
    usage=Usage(10, 6, 4, 5, 4, Source.PROVIDER),
    reasoning="Wer? Köln.",
    tools=called(),
    errors=(
        (400, error("Range of input length should be [1, 129024]", code="invalid_parameter_error"),
         errors.ContextLengthExceeded),
        (400, error("parameter.enable_thinking must be set to false", code="invalid_parameter_error"),
         errors.UpstreamRejected),
        (400, error("Input data may contain inappropriate content.", code="data_inspection_failed"),
         errors.ContentFiltered),
        (400, error("Access denied, your account is overdue.", type="Arrearage", code="Arrearage"),
         errors.UpstreamAuth),
        (401, error("Incorrect API key provided.", type="invalid_request_error", code="invalid_api_key"),
         errors.UpstreamAuth),
        (404, error("The model does not exist.", code="model_not_found"), errors.UpstreamRejected),
        (429, error("You exceeded your current quota.", type="insufficient_quota", code="insufficient_quota"),
         errors.UpstreamRateLimited),
        (429, error("You exceeded your current requests list.", type="limit_requests", code="limit_requests"),
         errors.UpstreamRateLimited),
        (429, error("Requests rate limit exceeded.", code="Throttling.RateQuota"), errors.UpstreamRateLimited),
        (500, error("An internal error has occurred.", code="internal_error"), errors.UpstreamFailed),
    ),
    in_stream=((error("Output data may contain it.", code="data_inspection_failed"), errors.ContentFiltered),),
)  # fmt: skip

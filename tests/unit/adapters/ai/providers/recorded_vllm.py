"""https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html and its protocol.py."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, error, last, whole

USAGE = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "prompt_tokens_details": None}
RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "reasoning": "Wer? Köln.", "tool_calls": []}, USAGE,
                 prompt_logprobs=None, kv_transfer_params=None),
    stream=[
        chunk({"role": "assistant", "content": ""}, prompt_token_ids=None),
        chunk({"reasoning": "Wer? Köln.", "reasoning_content": "Wer? Köln."}),
        chunk({"content": "Grüße aus Köln."}),
        chunk({"content": ""}, "stop", stop_reason=None),
        last(USAGE),
    ],
    usage=Usage(20, 0, 0, 9, 0, Source.PROVIDER),
    reasoning="Wer? Köln.",
    tools=called(),
    errors=(
        (400, {"object": "error", "message": "This model's maximum context length is 4096 tokens.",
               "type": "BadRequestError", "param": None, "code": 400}, errors.ContextLengthExceeded),
        (400, error("max_tokens must be at least 1", type="BadRequestError", param="max_tokens", code=400),
         errors.UpstreamRejected),
        (401, {"error": "Unauthorized"}, errors.UpstreamAuth),
        (404, error("The model `none` does not exist.", type="NotFoundError", param="model", code=404),
         errors.UpstreamRejected),
        (500, error("EngineCore encountered an issue.", type="InternalServerError", code=500), errors.UpstreamFailed),
        (503, error("The server is sleeping.", type="ServiceUnavailable", code=503), errors.UpstreamOverloaded),
    ),
    in_stream=(
        (error("EngineCore encountered an issue.", type="InternalServerError", code=500), errors.UpstreamFailed),
        (chunk({"content": ""}, "abort"), errors.UpstreamTruncated),
    ),
)  # fmt: skip

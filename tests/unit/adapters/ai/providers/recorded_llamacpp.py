"""https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, error, last, whole

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 19},
}
TIMINGS = {"prompt_n": 1, "prompt_ms": 30.9, "predicted_n": 9, "predicted_ms": 661.0}
RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "reasoning_content": "Wer? Köln."}, USAGE, timings=TIMINGS),
    stream=[
        chunk({"role": "assistant", "content": None}),
        chunk({"reasoning_content": "Wer? Köln."}),
        chunk({"content": "Grüße aus Köln."}),
        chunk({}, "stop"),
        {**last(USAGE), "timings": TIMINGS},
    ],
    usage=Usage(1, 19, 0, 9, 0, Source.PROVIDER),
    reasoning="Wer? Köln.",
    tools=called(),
    errors=(
        (400, error("the request exceeds the available context size", code=400, type="exceed_context_size_error",
                    n_prompt_tokens=9000, n_ctx=4096), errors.ContextLengthExceeded),
        (400, error("Failed to parse messages", code=400, type="invalid_request_error"), errors.UpstreamRejected),
        (401, error("Invalid API Key", code=401, type="authentication_error"), errors.UpstreamAuth),
        (404, error("File Not Found", code=404, type="not_found_error"), errors.UpstreamRejected),
        (500, error("slot failed", code=500, type="server_error"), errors.UpstreamFailed),
        (501, error("This server does not support it", code=501, type="not_supported_error"), errors.UpstreamFailed),
        (503, error("Loading model", code=503, type="unavailable_error"), errors.UpstreamOverloaded),
    ),
    in_stream=((error("slot failed", code=500, type="server_error"), errors.UpstreamFailed),),
)  # fmt: skip

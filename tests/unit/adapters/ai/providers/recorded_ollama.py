"""https://docs.ollama.com/openai and its server's openai/openai.go."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, error, last, whole

USAGE = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}
RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "reasoning": "Wer? Köln."}, USAGE, system_fingerprint="fp_ollama"),
    stream=[
        chunk({"role": "assistant", "content": "", "reasoning": "Wer? "}),
        chunk({"role": "assistant", "content": "", "reasoning": "Köln."}),
        chunk({"role": "assistant", "content": "Grüße aus Köln."}),
        chunk({"role": "assistant", "content": ""}, "stop"),
        last(USAGE),
    ],
    usage=Usage(20, 0, 0, 9, 0, Source.PROVIDER),
    reasoning="Wer? Köln.",
    tools=called(),
    errors=(
        (400, error("invalid JSON", type="invalid_request_error", param=None, code=None), errors.UpstreamRejected),
        (404, error("model 'none' not found", type="not_found_error", param=None, code=None), errors.UpstreamRejected),
        (500, error("model runner has unexpectedly stopped", type="api_error"), errors.UpstreamFailed),
        (503, error("server busy, please try again", type="api_error"), errors.UpstreamOverloaded),
    ),
    in_stream=((error("model runner has unexpectedly stopped", type="api_error"), errors.UpstreamFailed),),
)

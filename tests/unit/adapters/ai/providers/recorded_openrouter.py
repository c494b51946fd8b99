"""https://openrouter.ai/docs/api-reference/streaming, /errors and /docs/use-cases/reasoning-tokens."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, error, last, whole

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "cost": 0.00014,
    "cost_details": {"upstream_inference_cost": None},
    "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
DETAILS = [{"type": "reasoning.text", "text": "Wer? Köln.", "signature": "s", "format": "x-v1", "index": 0}]
RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "reasoning": "Wer? Köln.", "reasoning_details": DETAILS}, USAGE,
                 provider="Somebody"),
    stream=[
        chunk({"role": "assistant", "content": "", "reasoning": "Wer? Köln.", "reasoning_details": DETAILS}),
        chunk({"role": "assistant", "content": "Grüße aus Köln.", "reasoning": None, "reasoning_details": []}),
        chunk({"role": "assistant", "content": ""}, "stop", provider="Somebody"),
        last(USAGE),
    ],
    usage=Usage(10, 6, 4, 5, 4, Source.PROVIDER),
    reasoning="Wer? Köln.",
    tools=called(),
    errors=(
        (400, error("none is not a valid model ID", code=400), errors.UpstreamRejected),
        (400, error("This endpoint's maximum context length is 8192 tokens.", code=400), errors.ContextLengthExceeded),
        (401, error("No auth credentials found", code=401), errors.UpstreamAuth),
        (402, error("Insufficient credits", code=402), errors.UpstreamAuth),
        (403, error("Input was flagged", code=403, metadata={"reasons": ["violence"], "flagged_input": "…",
                    "provider_name": "Somebody", "model_slug": "m"}), errors.ContentFiltered),
        (408, error("Request timed out", code=408), errors.UpstreamTimeout),
        (429, error("Rate limited", code=429), errors.UpstreamRateLimited),
        (502, error("Provider returned error", code=502, metadata={"provider_name": "S", "raw": "…"}),
         errors.UpstreamFailed),
        (503, error("No available model provider", code=503), errors.UpstreamOverloaded),
    ),
    in_stream=(
        ({**chunk({"content": ""}, "error"), **error("Provider disconnected", code=502)}, errors.UpstreamFailed),
        ({**chunk({"content": ""}, "error"), **error("Limited", code=429)}, errors.UpstreamRateLimited),
        (chunk({"content": ""}, "error"), errors.UpstreamFailed),
    ),
)  # fmt: skip

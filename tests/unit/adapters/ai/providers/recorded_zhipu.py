"""https://docs.bigmodel.cn/api-reference and /cn/api/api-code. Its codes are digits in text."""

from domain import provider_errors as errors
from domain.usage import Source, Usage
from tests.unit.adapters.ai.providers.recorded import Recorded, called, chunk, error, whole

USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
RECORDED = Recorded(
    answer=whole({"content": "Grüße aus Köln.", "reasoning_content": "Wer? Köln."}, USAGE, "sensitive",
                 request_id="20251121"),
    stream=[
        chunk({"role": "assistant", "reasoning_content": "Wer? Köln."}),
        chunk({"role": "assistant", "content": "Grüße aus Köln."}),
        chunk({"role": "assistant", "content": ""}, "sensitive", usage=USAGE),
    ],
    usage=Usage(15, 5, 0, 5, 4, Source.PROVIDER),
    reasoning="Wer? Köln.",
    finish="content_filter",
    tools=called(),
    errors=(
        (401, error("身份验证失败", code="1000"), errors.UpstreamAuth),
        (401, error("Authentication Token 已过期", code="1003"), errors.UpstreamAuth),
        (429, error("您的账户已欠费,请充值后重试", code="1113"), errors.UpstreamAuth),
        (400, error("模型不存在", code="1211"), errors.UpstreamRejected),
        (400, error("temperature 参数非法", code="1214"), errors.UpstreamRejected),
        (400, error("Prompt 超长", code="1261"), errors.ContextLengthExceeded),
        (400, error("系统检测到输入或生成内容可能包含不安全或敏感内容", code="1301"), errors.ContentFiltered),
        (429, error("您的账户已达到速率限制", code="1302"), errors.UpstreamRateLimited),
        (429, error("该模型当前访问量过大", code="1305"), errors.UpstreamOverloaded),
        (500, error("内部错误", code="500"), errors.UpstreamFailed),
    ),
    in_stream=(
        (error("系统检测到", code="1301"), errors.ContentFiltered),
        (chunk({"content": ""}, "network_error"), errors.UpstreamFailed),
    ),
)  # fmt: skip

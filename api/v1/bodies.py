"""Answers that are written per request or per event, put together by hand because they are on the hot path."""

from typing import Any, Protocol

from api.answer import Answer, json_answer
from api.trace import current_trace
from application.chat import ChatAnswer
from application.completions import CompletionAnswer
from domain.usage import NANO, Usage


def money(nano: int | None) -> float | None:
    """Units of the currency that the prices are in; None stays unknown."""
    return None if nano is None else nano / NANO


def completion_usage(usage: Usage, cost: int | None) -> dict[str, Any]:
    """OpenAI's usage object, with what it cost and who counted."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "cost": money(cost),
        "source": usage.source,
    }


def completion_body(answer: CompletionAnswer) -> dict[str, Any]:
    return {
        "id": answer.request_id,
        "object": "chat.completion",
        "created": int(answer.created_at.timestamp()),
        "model": answer.model,
        "choices": answer.completion.choices,
        "usage": completion_usage(answer.usage, answer.cost),
        **answer.completion.extra,
    }


def chat_body(answer: ChatAnswer) -> dict[str, Any]:
    usage, context = answer.usage, answer.context
    return {
        "id": answer.id,
        "request_id": answer.request_id,
        "session_id": answer.session_id,
        "role": "assistant",
        "content": answer.content,
        "finish_reason": answer.finish_reason,
        "model": answer.model,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "cached_tokens": usage.cached_input,
            "cost": money(answer.cost),
            "source": usage.source,
        },
        "context": {
            "tokens": context.tokens,
            "dropped_messages": context.dropped_messages,
            "summarized_messages": context.summarized_messages,
            "method": context.method,
        },
    }


class Paid(Protocol):
    """What an answer tells of the call that it came from."""

    @property
    def model(self) -> str: ...
    @property
    def cost(self) -> int | None: ...
    @property
    def attempts(self) -> int: ...
    @property
    def upstream_ms(self) -> int: ...


def paid_answer(body: bytes, answer: Paid) -> Answer:
    """With the headers that tell what was served by whom, how often it was tried, and what it cost."""
    current_trace().upstream_ms = answer.upstream_ms
    response = json_answer(body)
    served_by(response, answer.model)
    response.headers.add("X-Parley-Attempts", str(answer.attempts))
    if isinstance(answer, CompletionAnswer) and answer.cache_hit:
        response.headers.add("X-Parley-Cache", "hit")
    if answer.cost is not None:
        response.headers.add("X-Parley-Cost", f"{answer.cost / NANO:.9f}")
    return response


def served_by(response: Answer, model: str) -> None:
    """`model` may hold what a client wrote, so only what a header can carry is put into one."""
    if model.isascii() and model.isprintable():
        provider, _, name = model.partition("/")
        response.headers.add("X-Parley-Provider", provider)
        response.headers.add("X-Parley-Model", name)

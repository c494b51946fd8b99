"""A response as OpenAI's SDKs read it, made of a whole completion."""

from typing import Any

from api.v1.bodies import money
from api.v1.responses_output import (
    COMPLETED,
    IN_PROGRESS,
    INCOMPLETE,
    annotations_of,
    call_item,
    call_prefix,
    logprobs_of,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)
from api.v1.responses_reasoning import reasoning_of
from api.v1.responses_request import ResponseRequest
from application.completions import CompletionAnswer
from domain.completion import JsonObject
from domain.usage import Usage

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""By the reason why the model stopped; every other one is a good end."""


class Ids:
    """All ids of one response, made of the id of its request."""

    def __init__(self, request_id: str) -> None:
        self._suffix = request_id.partition("_")[2] or request_id
        self._calls: set[str] = set()

    @property
    def response(self) -> str:
        return f"resp_{self._suffix}"

    def item(self, prefix: str, index: int) -> str:
        return f"{prefix}_{self._suffix}_{index}"

    def call(self, given: Any) -> str:
        """The provider's own where it has one; each call of a response needs one that no other has."""
        taken = isinstance(given, str) and given and given not in self._calls
        chosen = str(given) if taken else f"call_{self._suffix}_{len(self._calls)}"
        self._calls.add(chosen)
        return chosen


def response_usage(usage: Usage, cost: int | None) -> JsonObject:
    """OpenAI's usage object, with what it cost and who counted."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total_tokens,
        "cost": money(cost),
        "source": usage.source,
    }


def response_object(response_id: str, model: str, created_at: int, asked: ResponseRequest) -> JsonObject:
    """In progress, with everything that is known before the first word."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "status": IN_PROGRESS,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        **asked.echo,
        "usage": None,
    }


def ended(response: JsonObject, answer: CompletionAnswer, output: list[JsonObject]) -> JsonObject:
    """`response` with its end; the last item of an incomplete one is what was cut."""
    status, why = end_of(answer.completion.finish)
    told = {
        **response,
        "status": status,
        "model": answer.model,
        "output": output,
        "usage": response_usage(answer.usage, answer.cost),
    }
    tier = answer.completion.extra.get("service_tier")
    if tier is not None:
        told["service_tier"] = tier
    if status == COMPLETED:
        told["completed_at"] = int(answer.created_at.timestamp() + answer.upstream_ms / 1_000)
    else:
        told["incomplete_details"] = {"reason": why}
    return told


def end_of(finish: str) -> tuple[str, str | None]:
    """Status, and why it is incomplete."""
    why = _INCOMPLETE.get(finish)
    return (INCOMPLETE, why) if why else (COMPLETED, None)


def response_body(answer: CompletionAnswer, asked: ResponseRequest) -> JsonObject:
    ids = Ids(answer.request_id)
    response = response_object(ids.response, answer.model, int(answer.created_at.timestamp()), asked)
    choice = answer.completion.choices[0] if answer.completion.choices else {}
    output = _output(choice, asked, ids)
    if output:
        output[-1]["status"] = end_of(answer.completion.finish)[0]
    return ended(response, answer, output)


def _output(choice: JsonObject, asked: ResponseRequest, ids: Ids) -> list[JsonObject]:
    """What the model thought, then what it said, then what it calls."""
    message = choice.get("message") or {}
    output: list[JsonObject] = []
    reasoning = reasoning_of(message)
    if reasoning.text or reasoning.details:
        output.append(reasoning_item(ids.item("rs", 0), reasoning, asked, COMPLETED))
    parts = _parts(choice, message, asked)
    if parts:
        output.append(message_item(ids.item("msg", len(output)), parts, COMPLETED))
    for call in message.get("tool_calls") or ():
        called = call.get("function") or {}
        name, arguments = str(called.get("name") or ""), str(called.get("arguments") or "")
        item_id = ids.item(call_prefix(asked.tools, name), len(output))
        whole = {"id": ids.call(call.get("id")), "name": name, "arguments": arguments}
        output.append(call_item(item_id, whole, asked.tools, COMPLETED))
    return output


def _parts(choice: JsonObject, message: JsonObject, asked: ResponseRequest) -> list[JsonObject]:
    parts = []
    if message.get("content"):
        logprobs = logprobs_of(choice) if asked.logprobs else ()
        parts.append(text_part(_text(message["content"]), annotations_of(message), logprobs))
    if message.get("refusal"):
        parts.append(refusal_part(str(message["refusal"])))
    return parts


def _text(content: Any) -> str:
    """Some providers answer in parts."""
    if isinstance(content, str):
        return content
    texts = (part.get("text") for part in content if isinstance(part, dict)) if isinstance(content, list) else ()
    return "".join(text for text in texts if isinstance(text, str))

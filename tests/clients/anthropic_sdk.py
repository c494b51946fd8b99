"""The official Anthropic SDK for Python."""

import json
from typing import Any

from anthropic import Anthropic, APIError, beta_tool
from checks import ANSWERED, QUESTION, WRONG_KEY, address_and_key, described, now, refusal, run

URL, KEY = address_and_key()
CLIENT = Anthropic(base_url=f"{URL}/api", api_key=KEY, max_retries=0, timeout=20)
TOOLS: list[Any] = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


def request(model: str, **more: Any) -> dict[str, Any]:
    return {"model": f"scripted/{model}", "max_tokens": 10_000, "messages": QUESTION, **more}


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def counted(usage: Any) -> list[int]:
    return [usage.input_tokens, usage.output_tokens]


def second_step(message: Any) -> dict[str, Any]:
    """Answer the tool call, to a model that tells what it was sent."""
    call = next(block for block in message.content if block.type == "tool_use")
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": ANSWERED}]}
    turns = [*QUESTION, {"role": "assistant", "content": message.content}, result]
    echo = CLIENT.messages.create(**request("payload-echo", messages=turns, tools=TOOLS))
    sent = json.loads(text_of(echo))["messages"]
    return {"finish": message.stop_reason, "arguments": call.input, "sent": sent}


def chat() -> Any:
    message = CLIENT.messages.create(**request("ok", system="Be brief."))
    return {
        "text": text_of(message),
        "finish": message.stop_reason,
        "model": message.model,
        "usage": counted(message.usage),
    }


def stream() -> Any:
    with CLIENT.messages.stream(**request("ok")) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    return {"text": text, "whole": text_of(message), "finishes": [message.stop_reason], "usage": counted(message.usage)}


def tools() -> Any:
    return second_step(CLIENT.messages.create(**request("tools", tools=TOOLS)))


def streamed_tools() -> Any:
    with CLIENT.messages.stream(**request("tools", tools=TOOLS)) as stream:
        return second_step(stream.get_final_message())


def tool_runner() -> Any:
    asked = []

    @beta_tool
    def weather(city: str) -> str:
        """Of today."""
        asked.append({"city": city})
        return ANSWERED

    CLIENT.beta.messages.tool_runner(**request("tools~runner", tools=[weather], max_iterations=2)).until_done()
    return asked


def count() -> Any:
    return CLIENT.messages.count_tokens(model="scripted/ok", messages=QUESTION).input_tokens


def unauthenticated() -> Any:
    stranger = CLIENT.copy(api_key=WRONG_KEY)  # shares the connections, so it must not be closed
    return refusal(lambda: stranger.messages.create(**request("ok")))


def unknown_model() -> Any:
    return refusal(lambda: CLIENT.messages.create(model="nobody/nothing", max_tokens=9, messages=QUESTION))


def rate_limited() -> Any:
    return refusal(lambda: CLIENT.messages.create(**request("429-ra-60")))


def rate_limited_stream() -> Any:
    return refusal(lambda: CLIENT.messages.create(**request("429-ra-60"), stream=True))


def cut() -> Any:
    text, finishes = "", []
    try:
        for event in CLIENT.messages.create(**request("rst-after-3"), stream=True):
            delta = getattr(event, "delta", None)
            text += getattr(delta, "text", "")
            finishes += [reason] if (reason := getattr(delta, "stop_reason", None)) else []
    except APIError as error:
        return {**described(error), "text": text, "finishes": finishes}
    raise AssertionError(f"it looks complete: {text}")


def cancel() -> Any:
    with CLIENT.messages.stream(**request("slow-1004ms")) as stream:
        next(iter(stream.text_stream))
    return {"left": now()}


if __name__ == "__main__":
    run(
        *(chat, stream, tools, streamed_tools, tool_runner, count, unauthenticated, unknown_model),
        *(rate_limited, rate_limited_stream, cut, cancel),
    )

"""LangChain's chat model for OpenAI."""

import json
from typing import Any

from checks import ANSWERED, QUESTION, WRONG_KEY, address_and_key, described, now, refusal, run
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai import APIError

URL, KEY = address_and_key()
MESSAGES: list[Any] = [HumanMessage(QUESTION[0]["content"])]


def weather(city: str) -> str:
    """Of a city."""
    return ANSWERED


def model(name: str, key: str = KEY) -> ChatOpenAI:
    return ChatOpenAI(base_url=f"{URL}/api/v1", api_key=key, model=name, max_retries=0, timeout=20, stream_usage=True)


def scripted(name: str) -> ChatOpenAI:
    return model(f"scripted/{name}")


def merged(name: str, *, tools: list[Any] | None = None) -> AIMessageChunk:
    """The pieces of a stream, put together as LangChain does it."""
    whole, *rest = list((scripted(name).bind_tools(tools) if tools else scripted(name)).stream(MESSAGES))
    for piece in rest:
        whole += piece
    return whole


def second_step(message: AIMessage) -> dict[str, Any]:
    """Call the tool and send its result, to a model that tells what it was sent."""
    (call,) = message.tool_calls
    result = ToolMessage(weather(**call["args"]), tool_call_id=call["id"])
    echo = scripted("payload-echo").bind_tools([weather]).invoke([*MESSAGES, message, result])
    finish = message.response_metadata["finish_reason"]
    return {"finish": finish, "arguments": call["args"], "sent": json.loads(str(echo.content))["messages"]}


def counted(message: Any) -> list[int]:
    usage = message.usage_metadata
    return [usage["input_tokens"], usage["output_tokens"]]


def chat() -> Any:
    message = scripted("ok").invoke(MESSAGES)
    told = message.response_metadata
    return {
        "text": message.content,
        "finish": told["finish_reason"],
        "model": told["model_name"],
        "usage": counted(message),
    }


def stream() -> Any:
    whole = merged("ok")
    finishes = [whole.response_metadata["finish_reason"]]
    return {"text": whole.content, "finishes": finishes, "usage": counted(whole)}


def tools() -> Any:
    return second_step(scripted("tools").bind_tools([weather]).invoke(MESSAGES))


def streamed_tools() -> Any:
    return second_step(merged("tools", tools=[weather]))


def unauthenticated() -> Any:
    return refusal(lambda: model("scripted/ok", WRONG_KEY).invoke(MESSAGES))


def unknown_model() -> Any:
    return refusal(lambda: model("nobody/nothing").invoke(MESSAGES))


def rate_limited() -> Any:
    return refusal(lambda: scripted("429-ra-60").invoke(MESSAGES))


def rate_limited_stream() -> Any:
    return refusal(lambda: list(scripted("429-ra-60").stream(MESSAGES)))


def cut() -> Any:
    text, finishes = "", []
    try:
        for piece in scripted("rst-after-3").stream(MESSAGES):
            text += str(piece.content)
            finishes += [reason] if (reason := piece.response_metadata.get("finish_reason")) else []
    except APIError as error:
        return {**described(error), "code": error.code, "text": text, "finishes": finishes}
    raise AssertionError(f"it looks complete: {text}")


def cancel() -> Any:
    pieces = scripted("slow-1005ms").stream(MESSAGES)
    while not next(pieces).content:
        pass
    pieces.close()
    return {"left": now()}


if __name__ == "__main__":
    run(
        *(chat, stream, tools, streamed_tools, unauthenticated, unknown_model),
        *(rate_limited, rate_limited_stream, cut, cancel),
    )

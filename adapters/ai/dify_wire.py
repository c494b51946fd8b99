"""Dify's chat of an app: a question into bytes, an answer into a `Completion`. Streams: `dify_stream`.

https://docs.dify.ai/en/api-reference/chat-messages/send-chat-message
"""

from collections.abc import Sequence

import orjson

from adapters.ai.conversation import given, unsupported
from adapters.ai.decoder import parsed
from adapters.ai.dify_errors import in_band
from adapters.ai.dify_question import Question, kept
from adapters.ai.fields import count_of
from domain.completion import Completion, JsonObject, Prompt
from domain.members import object_of, text_of
from domain.provider_errors import UpstreamBadJson
from domain.usage import Source, Usage

PATH = "/chat-messages"
OPTIONS = frozenset({"inputs"})
"""The values of the variables that the app defines; everything else about a model is decided inside the app."""
NOBODY = "parley"
"""Who asks where nobody is named; Dify wants somebody."""


def encode(question: Question, files: Sequence[JsonObject], prompt: Prompt, *, stream: bool) -> bytes:
    """Raises UnsupportedParameter for options that an app does not have.

    Dify is asked not to give the conversation a title: it would pay a model for that.
    """
    inputs = given(prompt.options, OPTIONS).get("inputs", {})
    if not isinstance(inputs, dict):
        raise unsupported("inputs", "is an object with the values of the app's variables.")
    body = {
        "inputs": inputs,
        "query": question.text,
        "response_mode": "streaming" if stream else "blocking",
        "user": user_of(prompt),
        "conversation_id": question.conversation,
        "files": files,
        "auto_generate_name": False,
    }
    return orjson.dumps(body)


def user_of(prompt: Prompt) -> str:
    return prompt.user or NOBODY


def decode(body: bytes, prompt: Prompt) -> Completion:
    """Raises UpstreamBadJson, or what the answer itself tells of a failure."""
    answer = parsed(body)
    if answer is None:
        raise UpstreamBadJson
    text = answer.get("answer")
    if answer.get("event") == "error" or (text is None and answer.get("code")):
        raise in_band(answer)
    if not isinstance(text, str):
        raise UpstreamBadJson("The provider's answer has no text.")
    remembered = kept(text_of(answer, "conversation_id"), prompt)
    return whole(Completion(text, "stop", usage_of(answer), prompt.model, conversation=remembered))


def whole(completion: Completion, reasoning: str = "") -> Completion:
    """With its one choice."""
    message: JsonObject = {"role": "assistant", "content": completion.text}
    if reasoning:
        message["reasoning_content"] = reasoning
    completion.choices = [{"index": 0, "message": message, "finish_reason": completion.finish}]
    return completion


def usage_of(holder: JsonObject) -> Usage | None:
    """None unless both counts are plausible; an explicit 0 is a number like any other. There are no further classes."""
    raw = object_of(object_of(holder, "metadata"), "usage")
    asked, answered = count_of(raw, "prompt_tokens"), count_of(raw, "completion_tokens")
    return None if asked is None or answered is None else Usage(asked, output=answered, source=Source.PROVIDER)

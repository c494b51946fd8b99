"""Images of DashScope's own interface: a task is made, asked for until it is over, and its results are fetched.

https://help.aliyun.com/zh/model-studio/text-to-image-v2-api-reference: Wan, Qwen-Image and Stable Diffusion alike.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from adapters.ai.decorators import pause
from adapters.ai.http_chat import Refusal
from adapters.ai.http_json import JsonCalls
from adapters.ai.openai_errors import refusal
from adapters.ai.openai_images import check_options, those_there
from adapters.ai.openai_wire import objects
from adapters.ai.profile import ImageRules, Link
from adapters.ai.refusals import discreet, masked
from adapters.ai.results import Results, made_image
from application.cancellation import Cancellation
from domain.completion import JsonObject
from domain.image import ImagePrompt, Images, MadeImage
from domain.provider_errors import (
    ContentFiltered,
    ProviderError,
    UpstreamAuth,
    UpstreamBadJson,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamResultLost,
)
from domain.usage import Source, Usage

NATIVE = "/api/v1"
"""Where the interface is on the server whose OpenAI-compatible one is at `/compatible-mode/v1`."""
MAKE = "/services/aigc/text2image/image-synthesis"
TASK = "/tasks/"

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 10.0
_GROWTH = 1.5
_PATIENCE = 5
"""So many times in a row a task may not be told of, before it is given up."""
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_OF_INPUT = frozenset({"negative_prompt"})
_RUNNING = frozenset({"PENDING", "RUNNING", "SUSPENDED"})
_FAILED = frozenset({"FAILED", "CANCELED"})
"""What is not billed, and may be made again; whatever else is told may have been made."""
_MOST_IMAGES = 100
_FAILURES: Mapping[str, type[ProviderError]] = {
    "datainspectionfailed": ContentFiltered,
    "invalidparameter": UpstreamRejected,
    "throttling": UpstreamRateLimited,
    "invalidapikey": UpstreamAuth,
    "accessdenied": UpstreamAuth,
    "arrearage": UpstreamAuth,
}
"""By how the code of a failed task begins."""


class DashScopeImages:
    """Implements `ImageMaker` with one credential. `first_pause` is in seconds; each further one is longer."""

    def __init__(
        self, link: Link, rules: ImageRules, *, first_pause: float = _FIRST_PAUSE, refuse: Refusal = refusal
    ) -> None:
        native = replace(link, transport=link.transport.at(NATIVE))
        self._orders = JsonCalls(native, _asynchronous, refuse)
        self._tasks = JsonCalls(native, _bearer, refuse)
        self._results = Results(link)
        self._keys = (link.key,)
        self._rules = rules
        self._first_pause = first_pause

    def make(self, prompt: ImagePrompt, cancellation: Cancellation, progress: Callable[[float], object]) -> Images:
        """Once the task is made, nothing that fails makes another one: that would be billed as well.

        It is billed also when nobody waits for it any more; nobody but the provider pays for one that failed.
        """
        check_options(prompt, self._rules)
        answer = self._orders.post(MAKE, encode(prompt), cancellation, prompt.request_id)
        task_id = _output(answer).get("task_id")
        if not isinstance(task_id, str) or not _TASK_ID.fullmatch(task_id):
            raise UpstreamBadJson("The provider's answer names no task.")
        cancellation.counted = Usage(images=prompt.count, source=Source.ESTIMATED)
        try:
            with discreet(self._keys):
                ended = self._waited(TASK + task_id, cancellation, progress)
                images = those_there(_results(ended)[: prompt.count], lambda item: self._image(item, cancellation))
        except ProviderError:
            cancellation.counted = None
            raise
        return Images(images, Usage(images=_billed(ended, len(images)), source=Source.PROVIDER), prompt.model)

    def _waited(self, path: str, cancellation: Cancellation, progress: Callable[[float], object]) -> JsonObject:
        """The answer that tells of the task's good end. Raises what it failed of."""
        seconds, silent = self._first_pause, 0
        while True:
            pause(seconds, cancellation)
            seconds = min(_LONGEST_PAUSE, seconds * _GROWTH)
            try:
                answer = self._tasks.get(path, cancellation)
                output = _output(answer)
            except ProviderError as error:
                silent += 1
                if silent >= _PATIENCE or not error.retryable:
                    raise UpstreamResultLost(f"The provider's task was lost sight of: {error.message}") from error
                continue
            silent = 0
            status = _text(output.get("task_status"))
            if status == "SUCCEEDED":
                return answer
            if status in _FAILED:
                raise _failure(output)
            if status not in _RUNNING:
                raise UpstreamResultLost("The provider does not know what became of its task.")
            progress(_done(output))

    def _image(self, item: JsonObject, cancellation: Cancellation) -> MadeImage:
        url, revised = item.get("url"), item.get("actual_prompt")
        if not isinstance(url, str):
            raise _failure(item)
        return made_image(self._results.fetch(url, cancellation), revised if isinstance(revised, str) else None)


def encode(prompt: ImagePrompt) -> JsonObject:
    told = {name: value for name, value in prompt.options.items() if name in _OF_INPUT}
    parameters = {name: value for name, value in prompt.options.items() if name not in _OF_INPUT}
    if prompt.size is not None:
        parameters["size"] = prompt.size.replace("x", "*")
    return {
        "model": prompt.model,
        "input": {"prompt": prompt.text, **told},
        "parameters": {**parameters, "n": prompt.count},
    }


def _asynchronous(key: str) -> Mapping[str, str]:
    return {**_bearer(key), "X-DashScope-Async": "enable"}


def _bearer(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _output(answer: JsonObject) -> JsonObject:
    output = answer.get("output")
    if not isinstance(output, dict):
        raise UpstreamBadJson("The provider's answer tells of no task.")
    return output


def _results(answer: JsonObject) -> list[JsonObject]:
    results = objects(_output(answer).get("results"))
    if not results:
        raise UpstreamResultLost("The provider's task has ended without a result.")
    return results


def _failure(told: JsonObject) -> ProviderError:
    """Of a task, or of one of its images: those that could not be made stand among the others."""
    code, message = (_text(told.get(name)) for name in ("code", "message"))
    kind = next((kind for begins, kind in _FAILURES.items() if code.lower().startswith(begins)), UpstreamFailed)
    return kind() if kind is UpstreamAuth else kind(masked(message)[:500] or None)


def _done(output: JsonObject) -> float:
    """The part of the images that is ready, where that is told."""
    metrics: Any = output.get("task_metrics")
    with suppress(TypeError, ValueError, KeyError, ZeroDivisionError):
        return min(1.0, max(0.0, float(metrics["SUCCEEDED"] + metrics["FAILED"]) / float(metrics["TOTAL"])))
    return 0.0


def _billed(answer: JsonObject, made: int) -> int:
    """The provider's own count, where it makes sense."""
    usage: Any = answer.get("usage")
    count = usage.get("image_count") if isinstance(usage, dict) else None
    return count if type(count) is int and 0 <= count <= _MOST_IMAGES else made


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

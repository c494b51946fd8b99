"""Images on OpenAI's wire: https://platform.openai.com/docs/api-reference/images/create, and those who follow it.

Some of those name the size and the number otherwise, or answer with addresses that expire soon.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from adapters.ai.http_json import JsonCalls
from adapters.ai.openai_wire import objects
from adapters.ai.profile import ImageRules
from adapters.ai.results import Results, decoded, made_image
from application.cancellation import Cancellation
from domain.completion import JsonObject
from domain.errors import UnsupportedParameter
from domain.image import ImagePrompt, Images, MadeImage
from domain.provider_errors import ProviderError, UpstreamBadContent, UpstreamBadJson, UpstreamResultLost
from domain.usage import Source, Usage

PATH = "/images/generations"

_MOST_TOKENS = 1_000_000_000


class OpenAIImages:
    """Implements `ImageMaker` with one credential."""

    def __init__(self, calls: JsonCalls, results: Results, rules: ImageRules) -> None:
        self._calls = calls
        self._results = results
        self._rules = rules

    def make(self, prompt: ImagePrompt, cancellation: Cancellation, progress: Callable[[float], object]) -> Images:
        """In as many requests as it takes. Once some images are made, a failure ends it with those."""
        check_options(prompt, self._rules)
        made: list[MadeImage] = []
        usage = Usage(source=Source.PROVIDER)
        while usage.images < prompt.count:  # those that were made and lost are not bought again
            try:
                items, counted = self._some(prompt, prompt.count - usage.images, cancellation)
                cancellation.counted = _sum(usage, counted)  # also by who leaves while they are fetched
                made += those_there(items, lambda item: self._image(item, cancellation))
            except ProviderError:
                cancellation.counted = usage if made else None
                if not made:
                    raise
                break
            usage = cancellation.counted
            progress(min(1.0, usage.images / prompt.count))
        return Images(made[: prompt.count], usage, prompt.model)

    def _some(self, prompt: ImagePrompt, wanted: int, cancellation: Cancellation) -> tuple[list[JsonObject], Usage]:
        """What is told of the images, at most as many as are `wanted`, and what the provider counts for all of them."""
        rules = self._rules
        count = 1 if prompt.model.startswith(rules.singly) else min(wanted, rules.per_request)
        answer = self._calls.post(PATH, encode(prompt, count, rules), cancellation, prompt.request_id)
        items = objects(answer["data"] if "data" in answer else answer.get("images"))
        if not items:
            raise (
                UpstreamBadJson("The provider's answer has no images.")
                if items is None
                else UpstreamBadContent("The provider answered without an image.")
            )
        return items[:wanted], usage_of(answer.get("usage"), len(items))

    def _image(self, item: JsonObject, cancellation: Cancellation) -> MadeImage:
        content, url, revised = item.get("b64_json"), item.get("url"), item.get("revised_prompt")
        if isinstance(content, str):
            raw = decoded(content)
        elif isinstance(url, str):
            raw = self._results.fetch(url, cancellation)
        else:
            raise UpstreamResultLost
        return made_image(raw, revised if isinstance(revised, str) else None)


def encode(prompt: ImagePrompt, count: int, rules: ImageRules) -> JsonObject:
    """The body of a request for `count` of the images."""
    body: dict[str, Any] = {"model": prompt.model, "prompt": prompt.text, **prompt.options, rules.count: count}
    if prompt.size is not None:
        body[rules.size] = prompt.size
    if prompt.user is not None and rules.user:
        body["user"] = prompt.user
    if rules.asks_base64 and not prompt.model.startswith(rules.base64_unasked):
        body["response_format"] = "b64_json"
    return body


def check_options(prompt: ImagePrompt, rules: ImageRules) -> None:
    """Raises UnsupportedParameter for the first one that is not documented."""
    for option in prompt.options:
        if option not in rules.options:
            raise UnsupportedParameter(f"The provider does not document the parameter {option}.", param=option)


def those_there(items: list[JsonObject], image: Callable[[JsonObject], MadeImage]) -> list[MadeImage]:
    """What can be had of them. Raises what the last failure was when that is nothing."""
    made: list[MadeImage] = []
    lost: ProviderError = UpstreamResultLost()
    for item in items:
        try:
            made.append(image(item))
        except ProviderError as error:
            lost = error
    if not made:
        raise lost
    return made


def usage_of(raw: Any, images: int) -> Usage:
    """Tokens where the provider counts them, and in any case how many images it made."""
    counted = Usage(images=images, source=Source.PROVIDER)
    with suppress(TypeError, KeyError):
        tokens_in, tokens_out = raw["input_tokens"], raw["output_tokens"]
        if all(type(count) is int and 0 <= count <= _MOST_TOKENS for count in (tokens_in, tokens_out)):
            counted = Usage(input=tokens_in, output=tokens_out, images=images, source=Source.PROVIDER)
    return counted


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        input=one.input + other.input,
        output=one.output + other.output,
        images=one.images + other.images,
        source=Source.PROVIDER,
    )

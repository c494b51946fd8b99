"""The requests for images: OpenAI's documented parameters, checked; the rest is refused or the provider's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.shapes import Check, Compiler, Mismatch
from api.v1.completion_messages import Schema, closed, nullable, only, text
from api.v1.completion_request import MODEL, refuse_routing
from application.images import ImageOrder
from domain.errors import InvalidRequest, UnsupportedParameter

IMAGES = 10
PROMPT_LENGTH = 32_000
_AUTO = "auto"
_SIZE = text(
    11,
    pattern="^(auto|[1-9][0-9]{1,4}x[1-9][0-9]{1,4})$",
    description="`WIDTHxHEIGHT` in pixels; `auto` leaves it to the model.",
)
_COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": IMAGES}
_PROMPT = text(PROMPT_LENGTH, 1)

_ORDERED: dict[str, Schema] = {
    "background": only("transparent", "opaque", "auto"),
    "moderation": only("low", "auto"),
    "n": _COUNT,
    "output_compression": {"type": "integer", "minimum": 0, "maximum": 100},
    "output_format": only("png", "jpeg", "webp", "gif"),
    "quality": text(16),
    "safety_identifier": text(512),
    "size": _SIZE,
    "style": text(32),
    "user": text(512),
}
"""What both routes take."""
_ANSWERED: dict[str, Schema] = {
    **_ORDERED,
    "response_format": {
        **only("url", "b64_json"),
        "description": "What comes in `data`; both when it is not named. The address is one of Parley's own, and needs "
        "the same credential with the scope `files`.",
    },
}
_UNSUPPORTED = ("stream", "partial_images")
"""Documented, and not done here."""


def _request(members: Mapping[str, Schema]) -> Schema:
    return closed(
        {"model": MODEL, "prompt": _PROMPT, **{name: nullable(schema) for name, schema in members.items()}},
        "model",
        "prompt",
        description="Parameters that only the provider of the model documents (`negative_prompt`, `seed` …) are "
        "accepted as well; what it does not document is refused by name.",
    )


IMAGE_SCHEMAS: dict[str, Schema] = {
    "ImageRequest": _request(_ANSWERED),
    "ImageJobRequest": _request(_ORDERED),
}

_OWN = frozenset({"model", "prompt", "n", "size", "user", "response_format"})


def _checks(members: Mapping[str, Schema]) -> Mapping[str, Check]:
    compiler = Compiler({})
    return {name: compiler.check(schema) for name, schema in {**members, "model": MODEL, "prompt": _PROMPT}.items()}


_OF_ANSWERED, _OF_ORDERED = _checks(_ANSWERED), _checks(_ORDERED)


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """In what form the images are answered with: as addresses, in base64, or both."""

    order: ImageOrder
    urls: bool
    base64: bool


def image_request(body: Any) -> ImageRequest:
    """Raises UnknownField, UnsupportedParameter or InvalidRequest. A null is not given at all."""
    order = _order(body, _OF_ANSWERED)
    form = body.get("response_format")
    return ImageRequest(order, urls=form != "b64_json", base64=form != "url")


def job_request(body: Any) -> ImageOrder:
    """As `image_request`; a job is not answered with images."""
    if type(body) is dict and body.get("response_format") is not None:
        raise UnsupportedParameter("The images of a job are files.", param="response_format")
    return _order(body, _OF_ORDERED)


def _order(body: Any, checks: Mapping[str, Check]) -> ImageOrder:
    if type(body) is not dict:
        raise InvalidRequest("The body must be a JSON object.")
    for name in ("model", "prompt"):
        if name not in body:
            raise InvalidRequest(f"{name}: is required.", param=name)
    for name in _UNSUPPORTED:
        if body.get(name):
            raise UnsupportedParameter(f"Images come whole: {name} is not supported.", param=name)
    given = {name: value for name, value in body.items() if value is not None and name not in _UNSUPPORTED}
    for name in ("model", "prompt"):
        given.setdefault(name, None)
    for name, value in given.items():
        _check(name, value, checks)
    size = given.get("size")
    return ImageOrder(
        model=given["model"],
        text=given["prompt"],
        count=given.get("n", 1),
        size=None if size == _AUTO else size,
        options={name: value for name, value in given.items() if name not in _OWN},
        user=given.get("user"),
    )


def _check(name: str, value: Any, checks: Mapping[str, Check]) -> None:
    check = checks.get(name)
    if check is None:
        refuse_routing(name, value)
        return
    try:
        check(value)
    except Mismatch as mismatch:
        raise mismatch.under(name).refusal() from None

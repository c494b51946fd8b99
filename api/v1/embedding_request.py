"""The request for embeddings: OpenAI's documented parameters, checked."""

from dataclasses import dataclass
from typing import Any

from api.shapes import Compiler, Mismatch
from api.v1.completion_messages import TEXT_LENGTH, Schema, array, closed, nullable, only, ref, text
from api.v1.completion_request import MODEL
from application.embeddings import EmbeddingOrder
from domain.embedding import Input
from domain.errors import InvalidRequest

BODY = 8_000_000
"""Bytes."""
INPUTS = 2_048
_TOKENS = 32_768
_DIMENSIONS = 16_384

_TEXT = text(TEXT_LENGTH, 1)
_TOKEN: Schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}

EMBEDDING_SCHEMAS: dict[str, Schema] = {
    "EmbeddingRequest": closed(
        {
            "model": MODEL,
            "input": {
                "anyOf": [_TEXT, array({"anyOf": [_TEXT, _TOKEN, array(_TOKEN, _TOKENS, 1)]}, INPUTS, 1)],
                "description": "A text, a list of texts, the tokens of a text, or a list of such. A list holds one "
                "kind only.",
            },
            "dimensions": nullable({"type": "integer", "minimum": 1, "maximum": _DIMENSIONS}),
            "encoding_format": nullable(only("float", "base64")),
            "user": nullable(text(512)),
        },
        "model",
        "input",
    )
}
_check = Compiler(EMBEDDING_SCHEMAS).check(ref("EmbeddingRequest"))


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    order: EmbeddingOrder
    base64: bool


def embedding_request(body: Any) -> EmbeddingRequest:
    """Raises UnknownField or InvalidRequest with the path of the field. A null is not given at all."""
    try:
        _check(body)
    except Mismatch as mismatch:
        raise mismatch.refusal() from None
    order = EmbeddingOrder(body["model"], _inputs(body["input"]), body.get("dimensions"), body.get("user"))
    return EmbeddingRequest(order, body.get("encoding_format") == "base64")


def _inputs(given: Any) -> list[Input]:
    if isinstance(given, str):
        return [given]
    kinds = {type(one) for one in given}
    if len(kinds) > 1:
        raise InvalidRequest(
            "input: must hold texts, or tokens, or lists of tokens, and not several of these.", param="input"
        )
    return [given] if kinds == {int} else given

"""What the OpenAPI document says of embeddings."""

from api.v1.completion_messages import Schema, closed, ref
from api.v1.documentation import COMPLETION, Doc

_COUNT: Schema = {"type": "integer", "minimum": 0}

EMBEDDING: Doc = {
    "parameters": COMPLETION["parameters"],
    "operationId": "createEmbeddings",
    "description": "One vector per input, in their order. More inputs than the provider takes in one request become "
    "several requests to it; if one of them fails, the whole call fails, and what the provider had counted is billed.",
    "requestBody": {"required": True, "content": {"application/json": {"schema": ref("EmbeddingRequest")}}},
    "responses": {
        "200": {"description": "The vectors", "content": {"application/json": {"schema": ref("EmbeddingList")}}}
    },
}


def _open(properties: Schema) -> Schema:
    """An object that may grow."""
    return {**closed(properties, *properties), "additionalProperties": True}


EMBEDDING_ANSWER_SCHEMAS: dict[str, Schema] = {
    "EmbeddingList": _open(
        {
            "object": {"type": "string", "enum": ["list"]},
            "data": {"type": "array", "items": ref("Embedding")},
            "model": {"type": "string", "description": "`provider/model` that answered."},
            "usage": ref("EmbeddingUsage"),
        }
    ),
    "Embedding": _open(
        {
            "object": {"type": "string", "enum": ["embedding"]},
            "index": {**_COUNT, "description": "Of the input."},
            "embedding": {
                "anyOf": [
                    {"type": "array", "items": {"type": "number"}},
                    {"type": "string", "contentEncoding": "base64"},
                ],
                "description": "With `encoding_format: base64` the base64 of 32-bit floats, little-endian.",
            },
        }
    ),
    "EmbeddingUsage": _open(
        {
            "prompt_tokens": _COUNT,
            "total_tokens": _COUNT,
            "cost": {"type": ["number", "null"], "description": "Null when the model's price is not known."},
            "source": {"type": "string", "enum": ["provider", "estimated", "none"], "description": "Who counted."},
        }
    ),
}

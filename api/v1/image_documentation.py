"""What the OpenAPI document says of images and of the contents of files, beyond what the views tell."""

from api.v1.completion_messages import Schema, closed, ref
from api.v1.documentation import COMPLETION, Doc

_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXT: Schema = {"type": "string"}


def _body(name: str) -> Doc:
    return {"required": True, "content": {"application/json": {"schema": ref(name)}}}


def _answer(status: str, description: str, name: str) -> Doc:
    return {status: {"description": description, "content": {"application/json": {"schema": ref(name)}}}}


IMAGE: Doc = {
    "parameters": COMPLETION["parameters"],
    "operationId": "createImages",
    "description": "Answers when all images are made. Each is kept as a file of the caller's. A provider may make "
    "fewer than were asked for; billed is what it made.",
    "requestBody": _body("ImageRequest"),
    "responses": _answer("200", "The images", "ImageList"),
}
IMAGE_JOB: Doc = {
    "parameters": COMPLETION["parameters"],
    "operationId": "createImageJob",
    "description": "Answers at once; `GET /images/{job_id}` tells how far it is. The job does not depend on the "
    "connection that it came on.",
    "requestBody": _body("ImageJobRequest"),
    "responses": _answer("202", "The job", "ImageJob"),
}
FILE_CONTENT: Doc = {
    "operationId": "getFileContent",
    "description": "A download, never shown by a browser in place: `media_type` of the file tells what it is.",
    "responses": {
        "200": {
            "description": "The content",
            "headers": {"ETag": {"description": "The content's SHA-256.", "schema": _TEXT}},
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
}


def _open(properties: Schema, *required: str) -> Schema:
    """An object that may grow."""
    return {**closed(properties, *required), "additionalProperties": True}


IMAGE_ANSWER_SCHEMAS: dict[str, Schema] = {
    "ImageList": _open(
        {
            "created": {"type": "integer", "description": "Unix time."},
            "model": {**_TEXT, "description": "`provider/model` that made them."},
            "data": {"type": "array", "items": ref("MadeImage")},
            "usage": ref("MadeImageUsage"),
        },
        "created",
        "model",
        "data",
        "usage",
    ),
    "MadeImage": _open(
        {
            "file_id": {**_TEXT, "description": "The file that it is kept as."},
            "url": {**_TEXT, "description": "Where its content is, on this server."},
            "b64_json": {"type": "string", "contentEncoding": "base64"},
            "revised_prompt": _TEXT,
        },
        "file_id",
    ),
    "MadeImageUsage": _open(
        {
            "input_tokens": _COUNT,
            "output_tokens": _COUNT,
            "total_tokens": _COUNT,
            "input_tokens_details": _open(
                {"text_tokens": _COUNT, "image_tokens": _COUNT}, "text_tokens", "image_tokens"
            ),
            "images": {**_COUNT, "description": "How many the provider bills."},
            "cost": {"type": ["number", "null"], "description": "Null when the model's price is not known."},
            "source": {"type": "string", "enum": ["provider", "estimated", "none"], "description": "Who counted."},
        },
        "input_tokens",
        "output_tokens",
        "total_tokens",
        "images",
        "cost",
        "source",
    ),
}

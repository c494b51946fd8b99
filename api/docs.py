"""The OpenAPI document and a page to read it, which loads nothing from elsewhere."""

from pathlib import Path

import orjson
from flask import Blueprint, current_app, request

from api.answer import PAGE_HEADERS, Answer, json_answer
from api.auth import PUBLIC, requires
from api.openapi import build_document
from domain.errors import NotFound

blueprint = Blueprint("docs", __name__, url_prefix="/api/v1")

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "docs.html": "text/html; charset=utf-8",
    "docs.css": "text/css; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
}
_CACHE = "parley-openapi"


@blueprint.get("/openapi.json")
@requires(PUBLIC)
def openapi() -> Answer:
    """The document, built once per process."""
    cache = current_app.extensions
    if _CACHE not in cache:
        document = build_document(current_app) | {"servers": [{"url": request.script_root or "/"}]}
        cache[_CACHE] = orjson.dumps(document, option=orjson.OPT_INDENT_2)
    return json_answer(cache[_CACHE])


@blueprint.get("/docs")
@requires(PUBLIC)
def page() -> Answer:
    return _file("docs.html")


@blueprint.get("/docs/<name>")
@requires(PUBLIC)
def asset(name: str) -> Answer:
    return _file(name)


def _file(name: str) -> Answer:
    """One of the three files there are; a name is never a path."""
    kind = _FILES.get(name)
    if kind is None:
        raise NotFound
    answer = Answer([(_STATIC / name).read_bytes()], 200, [("Content-Type", kind)])
    answer.fixed = PAGE_HEADERS
    return answer

"""What the stack costs before any feature: three applications without accounts, limits, accounting or retries."""

import json
import os
from collections.abc import Callable, Iterable, Iterator

import urllib3
from flask import Flask, Response, request

_KEY = "Bearer floor"
_ANSWER = json.dumps({"id": "x" * 40, "choices": [{"message": {"content": "word " * 80}}]}).encode()
_UPSTREAM = os.environ.get("UPSTREAM", "")
_PATHS = json.loads(os.environ.get("PATHS", "{}"))
_HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(_ANSWER)))]

StartResponse = Callable[[str, list[tuple[str, str]]], object]


def wsgi(environ: dict[str, object], start_response: StartResponse) -> Iterable[bytes]:
    """The server alone; the body is read as an application would."""
    environ["wsgi.input"].read()  # type: ignore[attr-defined] # WSGI's environment is a dictionary of objects
    start_response("200 OK", _HEADERS)
    return [_ANSWER]


flask = Flask("flask")


@flask.post("/v1/chat/completions")
def answer() -> Response:
    request.get_json()
    return Response(_ANSWER, content_type="application/json")


relay = Flask("relay")
_pool = urllib3.PoolManager(num_pools=4, maxsize=1024, retries=False, timeout=urllib3.Timeout(connect=5, read=600))


@relay.post("/v1/chat/completions")
def forward() -> tuple[dict[str, str], int] | Response:
    """Compare the key, look up the address of the model, relay."""
    if request.headers.get("Authorization") != _KEY:
        return {"error": "bad key"}, 401
    raw = request.get_data(cache=False)
    body = json.loads(raw)
    url = f"{_UPSTREAM}{_PATHS[body['model'].partition('/')[0]]}/v1/chat/completions"
    found = _pool.request("POST", url, body=raw, headers={"Content-Type": "application/json"}, preload_content=False)
    if body.get("stream"):
        return Response(_chunks(found), found.status, content_type=found.headers["Content-Type"])
    content = found.read()
    found.release_conn()
    return Response(content, found.status, content_type=found.headers["Content-Type"])


def _chunks(found: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from found.read_chunked()
    finally:
        found.release_conn()

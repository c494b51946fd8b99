"""Every body that the document knows, with something wrong in the place of each of its values: refused, never a 500.

The bodies are made from the schemas, so that a field that is new is tried as well.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from http.client import HTTPConnection
from itertools import product
from typing import Any

import pytest

from tests.servers.gateway import FAST, ROOT, Gateway

pytestmark = [pytest.mark.xdist_group("every-shape"), pytest.mark.timeout(300)]

Schema = dict[str, Any]
Place = tuple[str | int, ...]

DOCUMENT: Schema = json.loads((ROOT / "docs" / "openapi.json").read_text())
WRONG: list[Any] = [
    None,
    True,
    -1,
    1.5,
    "\n",
    [],
    [[]],
    {},
    {"type": []},
    {"type": {"type": "x"}},
    [{"type": {}}],
    10**18,
]
DESTINATIONS = (
    "api_base",
    "base_url",
    "custom_host",
    "webhook_url",
    "extra_headers",
    "user_config",
    "api_key",
    "proxies",
)
NOWHERE = "nobody/nothing"
"""A model that there is not: what is good in every other way is a 404, and nobody is called."""
NO_SUCH_MODEL = 404
_DEEPEST = 8
_MOST = 12
_TEXTS = ["x", "data:image/png;base64,iVBORw0KGgo=", "https://example.org/a.png", "1x1", "64x64"]
FREE = {"free": {"form": [1]}}
"""Where anything goes."""


def bodies() -> dict[str, Schema]:
    """The schema of each body that can be posted."""
    found = {}
    for path, methods in DOCUMENT["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        if content:
            found[path.removeprefix("/api/v1")] = content["application/json"]["schema"]
    return found


def resolved(schema: Schema) -> Schema:
    if "$ref" in schema:
        return resolved(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return schema


BODIES = {path: resolved(schema) for path, schema in bodies().items()}
GENERATING = [
    path for path, schema in BODIES.items() if {"model"} < set(schema.get("required", ())) and "/admin" not in path
]
"""Whose bodies name a model and have something for it."""
each_body = pytest.mark.parametrize("path", GENERATING)


def examples(schema: Schema, depth: int = 0) -> list[Any]:
    """A few values for each way that the schema knows."""
    schema = resolved(schema)
    for union in ("oneOf", "anyOf"):
        if union in schema:
            return [value for branch in schema[union] for value in examples(branch, depth)]
    kind = schema.get("type", "object")
    kinds = kind if isinstance(kind, list) else [kind]
    return [value for name in kinds if name != "null" for value in _of_kind(name, schema, depth)]


def _of_kind(kind: str, schema: Schema, depth: int) -> list[Any]:
    if "enum" in schema:
        return [value for value in schema["enum"] if value is not None]
    if kind == "object":
        return _objects(schema, depth) if depth < _DEEPEST else [{}]
    if kind == "array":
        return [[item] for item in examples(schema.get("items", {}), depth + 1)] if depth < _DEEPEST else [[]]
    if kind == "string":
        return _TEXTS[: 1 if "pattern" not in schema else None]
    return [schema.get("minimum", 1)] if kind in {"integer", "number"} else [True, False]


def _objects(schema: Schema, depth: int) -> list[Any]:
    """What it must have, and that with each of what it may have."""
    properties = schema.get("properties")
    if not properties:
        values = schema.get("additionalProperties", True)
        return [{"free": value} for value in examples(values, depth + 1)] if isinstance(values, dict) else [FREE]
    members = {name: examples(inner, depth + 1) for name, inner in properties.items()}
    if "mode" in members:  # a word about the form of what is beside it
        members.pop("mode")
    needed = [name for name in schema.get("required", ()) if name in members]
    least = {name: members[name][0] for name in needed} | ({} if schema.get("additionalProperties") is False else FREE)
    more = [{**least, name: value} for name, values in members.items() for value in values[:_MOST]]
    return [least, *more]


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    yield here
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*here, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*here, index))


def put(value: Any, place: Place, new: Any) -> Any:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = put(value[place[0]], place[1:], new)
    return copy


def good(client: "Client", path: str) -> dict[str, list[Any]]:
    """Bodies that would be taken but for their model, by the member that they try out."""
    schema = BODIES[path]
    members = {name: examples(inner, 1) for name, inner in schema["properties"].items()} | {"model": [NOWHERE]}
    needed = schema.get("required", [])
    every = product(*(members[name] for name in needed))
    least = next((dict(zip(needed, one, strict=True)) for one in every if client.takes(path, needed, one)), None)
    assert least is not None, f"nothing that is made from the schema of {path} is taken"
    return {
        name: [body for value in values if client.takes(path, (body := {**least, name: value}).keys(), body.values())]
        for name, values in members.items()
    }


def tried(found: dict[str, list[Any]]) -> Iterator[tuple[Any, Place]]:
    """Every place of every example, once where several have it with the same value."""
    seen = set()
    for body in (body for bodies in found.values() for body in bodies):
        for place in places(body):
            told = (place, json.dumps(_at(body, place), sort_keys=True))
            if told not in seen:
                seen.add(told)
                yield body, place


def _at(value: Any, place: Place) -> Any:
    for step in place:
        value = value[step]
    return value


class Client:
    """One connection that is kept."""

    def __init__(self, gateway: Gateway) -> None:
        self._connection = HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {gateway.key}", "Content-Type": "application/json"}

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        self._connection.request("POST", f"/api/v1{path}", json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        raw = answer.read()
        return answer.status, json.loads(raw) if raw.startswith(b"{") else None

    def takes(self, path: str, names: Iterable[str], values: Iterable[Any]) -> bool:
        return self.post(path, dict(zip(names, values, strict=True)))[0] == NO_SUCH_MODEL

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("shapes"), config=FAST).start()
    workers = gateway.workers()
    yield gateway
    assert gateway.workers() == workers
    gateway.end()


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[Client]:
    client = Client(gateway)
    yield client
    client.close()


@pytest.fixture(scope="module")
def found(client: Client) -> Callable[[str], dict[str, list[Any]]]:
    return cache(lambda path: good(client, path))


def test_the_routes_that_generate_are_found() -> None:
    assert {"/chat/completions", "/embeddings", "/images", "/images/generations"} <= set(GENERATING)
    assert {"/messages", "/messages/count_tokens", "/responses"} <= set(GENERATING)


@each_body
def test_every_member_can_be_tried_out(found: Any, path: str) -> None:
    assert [name for name, taken in found(path).items() if not taken] == []


@each_body
def test_something_wrong_anywhere_is_refused_with_the_name_of_the_field(client: Client, found: Any, path: str) -> None:
    for body, place in tried(found(path)):
        for wrong in WRONG:
            status, told = client.post(path, put(body, place, wrong))
            assert status in {400, 404}, (status, place, wrong, told)
            if status == 400:
                assert told["error"]["message"]
                assert place == () or told["error"]["param"], (place, wrong, told)


@each_body
def test_no_destination_credential_or_callback_is_taken_at_any_depth(client: Client, found: Any, path: str) -> None:
    """Where an object is free, as the schema of a tool is, it is the provider's text, and nobody goes there."""
    for body, place in tried(found(path)):
        inside = _at(body, place)
        if isinstance(inside, dict) and "free" not in inside and "form" not in inside:
            for name in DESTINATIONS:
                status, told = client.post(path, put(body, place, {**inside, name: "http://127.0.0.1:9/"}))
                assert status == 400, (place, name, status, told)
                assert told["error"]["param"], (place, name, told)


@each_body
def test_too_deep_is_refused_wherever_it_is(client: Client, found: Any, path: str) -> None:
    deep: Any = 1
    for _ in range(33):
        deep = {"a": deep}
    for body, place in tried(found(path)):
        if len(place) == 1:
            status, told = client.post(path, put(body, place, deep))
            assert (status, told["error"]["code"]) == (400, "json_too_deep")


def test_what_is_too_much_is_refused(client: Client) -> None:
    many = {"model": NOWHERE, "input": ["x"] * 2_049}
    assert client.post("/embeddings", many)[0] == 400
    assert client.post("/embeddings", {"model": NOWHERE, "input": [[1] * 32_769]})[0] == 400
    assert client.post("/embeddings", {"model": NOWHERE, "input": [""]})[0] == 400
    for path in ("/images", "/images/generations"):
        for more in (
            {"n": 11},
            {"n": 0},
            {"size": "0x0"},
            {"size": "100000x1"},
            {"prompt": "x" * 32_001},
            {"prompt": ""},
        ):
            assert client.post(path, {"model": NOWHERE, "prompt": "x", **more})[0] == 400

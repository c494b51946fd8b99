"""Addresses in what users send, at the real program: they are passed on as text or refused, and nobody goes there."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.caller import Caller
from tests.servers.gateway import FAST, Gateway
from tests.servers.scripted_provider import ScriptedProvider

pytestmark = pytest.mark.xdist_group("user-addresses")

DESTINATIONS = ("api_base", "base_url", "custom_host", "extra_headers", "webhook", "callback_url", "user_config")
HEADERS = (
    *("X-Portkey-Custom-Host", "X-Api-Base", "X-Base-Url", "X-Upstream", "X-Forwarded-Host", "X-Original-Url"),
    *("Proxy", "X-Callback-Url", "Forwarded", "Referer", "Origin"),
)

WIRES = ("openai", "anthropic", "gemini")


class Trap:
    """A port on which nobody should ever knock; if somebody does, he hears `answer`."""

    def __init__(self, listener: socket.socket) -> None:
        self.knocks = 0
        self.answer = b"{}"
        self._listener = listener
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.knocks += 1
                with suppress(OSError), connection:
                    connection.recv(65_536)
                    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(self.answer)}"
                    connection.sendall(head.encode() + b"\r\n\r\n" + self.answer)


@contextmanager
def listening() -> Iterator[Trap]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Trap(listener)
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


class Place:
    def __init__(self, gateway: Gateway, provider: ScriptedProvider, identity: Trap) -> None:
        self.identity = identity
        self.gateway = gateway
        self.provider = provider
        self.caller = Caller(gateway.port).bearing(gateway.key)

    def ask(self, content: Any, path: str = "/chat/completions", **more: Any) -> Any:
        headers = more.pop("headers", {})
        body = {"model": "scripted/image-echo", "messages": [{"role": "user", "content": content}], **more}
        return self.caller.call("POST", path, body, headers)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("addresses")
    with ExitStack() as stack:
        provider = ScriptedProvider(folder).run()
        stack.callback(provider.stop)
        identity = stack.enter_context(listening())
        config = f'[providers.scripted]\nbase_url = "{provider.base_url}"\napi_key_env = "SCRIPTED_KEY"\n'
        config += f'[oidc]\nissuer = "{identity.url}"\nclient_id = "parley"\n'
        for wire in WIRES:
            config += f'[providers.{wire}-like]\nwire = "{wire}"\nbase_url = "{provider.base_url}"\n'
        gateway = Gateway(folder, env={"SCRIPTED_KEY": "sk-scripted"}, config=config + FAST)
        stack.callback(gateway.end)
        yield Place(gateway.start(), provider, identity)


@pytest.fixture
def trap() -> Iterator[Trap]:
    with listening() as found:
        yield found


def image(url: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]


@pytest.mark.parametrize("stream", [False, True])
def test_the_address_of_an_image_is_only_passed_on(place: Place, trap: Trap, stream: bool):
    url = f"{trap.url}/a.png"
    reply = place.ask(image(url), stream=stream)

    assert reply.status == 200
    assert json.dumps(url).strip('"').encode() in reply.raw
    assert trap.knocks == 0


def in_messages(block: str, source: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "text", "text": "What is it?"}, {"type": block, "source": source}]
    return {"messages": [{"role": "user", "content": content}], "max_tokens": 99}


def in_responses(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, *parts]}]}


DIALECTS: dict[str, Any] = {
    "completion": lambda url: ("/chat/completions", {"messages": [{"role": "user", "content": image(url)}]}),
    "message": lambda url: ("/messages", in_messages("image", {"type": "url", "url": url})),
    "message-document": lambda url: ("/messages", in_messages("document", {"type": "url", "url": url})),
    "message-file": lambda url: ("/messages", in_messages("document", {"type": "file", "file_id": url})),
    "response": lambda url: ("/responses", in_responses({"type": "input_image", "image_url": url})),
    "response-file": lambda url: ("/responses", in_responses({"type": "input_file", "file_url": url})),
    "response-file-id": lambda url: ("/responses", in_responses({"type": "input_file", "file_id": url})),
    "embedding": lambda url: ("/embeddings", {"input": url}),
    "image": lambda url: ("/images/generations", {"prompt": url}),
    "image-of-image": lambda url: ("/images/generations", {"prompt": "x", "image": url, "image_url": url}),
}
PASSED_ON = {"completion", "message", "response"}
"""What OpenAI's wire and Anthropic's have a place for."""


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_address_is_never_gone_to_in_whatever_dialect_it_comes_and_goes(
    place: Place, trap: Trap, dialect: str, wire: str, scheme: str
) -> None:
    url = f"{scheme}{trap.url.removeprefix('http')}/a.png"
    path, body = DIALECTS[dialect](url)
    model = "picture" if "images" in path else "ok"

    reply = place.caller.post(path, {**body, "model": f"{wire}-like/{model}"})

    assert reply.status in {200, 400}, reply.raw
    if dialect in PASSED_ON and wire != "gemini" and scheme == "https":
        assert reply.status == 200, reply.raw
        assert url in json.dumps(place.provider.bills()[-1]["payload"])
    assert trap.knocks == 0


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://127.0.0.1:6379/_INFO", "//127.0.0.1/", "/etc/passwd"])
def test_what_is_no_web_address_is_refused(place: Place, url: str):
    assert place.ask(image(url)).status == 400


@pytest.mark.parametrize("name", DESTINATIONS)
def test_no_destination_is_taken_from_a_body(place: Place, trap: Trap, name: str):
    asked = len(place.provider.bills())
    message = {"role": "user", "content": "hi", name: trap.url}
    part = {"type": "text", "text": "hi", name: trap.url}
    statuses = [
        place.ask("hi", **{name: trap.url}).status,
        place.ask("hi", user_config={"model_list": [{"litellm_params": {name: trap.url}}]}).status,
        place.ask("hi", messages=[message]).status,
        place.ask([part]).status,
    ]

    assert statuses == [400] * 4
    assert (len(place.provider.bills()), trap.knocks) == (asked, 0)


@pytest.mark.parametrize("name", DESTINATIONS)
def test_none_is_taken_from_a_query(place: Place, trap: Trap, name: str):
    assert place.ask("hi", f"/chat/completions?{name}={trap.url}").status in (200, 400)
    assert trap.knocks == 0


@pytest.mark.parametrize("name", HEADERS)
def test_none_is_taken_from_a_header(place: Place, trap: Trap, name: str):
    asked = len(place.provider.bills())
    reply = place.ask("hi", headers={name: trap.url})

    assert (reply.status, len(place.provider.bills())) in ((200, asked + 1), (400, asked), (403, asked))
    assert trap.knocks == 0


def test_where_a_tool_or_a_schema_points_to_is_only_text(place: Place, trap: Trap):
    schema = {"$schema": trap.url, "$ref": f"{trap.url}/a.json", "type": "object"}
    function = {"name": "f", "description": trap.url, "parameters": schema}

    assert place.ask("hi", tools=[{"type": "function", "function": function}]).status == 200
    assert trap.knocks == 0


def test_the_worker_itself_finds_the_identity_provider(place: Place, trap: Trap):
    """There gevent has replaced the sockets, and what is dialled is dialled by them."""
    document = {
        name: f"{place.identity.url}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    }
    place.identity.answer = json.dumps({**document, "issuer": place.identity.url}).encode()
    reply = Caller(place.gateway.port).get("/auth/oidc/start", **{"Sec-Fetch-Site": "same-origin"})

    assert reply.status == 302
    assert str(reply.headers["Location"]).startswith(f"{place.identity.url}/authorization_endpoint?")
    assert (place.identity.knocks, trap.knocks) == (1, 0)

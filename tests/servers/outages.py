"""Providers that fail, of which a gateway knows nothing yet: as many scenes as there are tests, for one gateway."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.servers.caller import Caller, Reply
from tests.servers.gateway import FAST, Gateway
from tests.servers.program import closed_port
from tests.servers.scripted_provider import ScriptedProvider

OPEN = 3.0
"""Seconds that a provider rests after five failures."""
FIRST, SECOND = "sk-first-0123456789", "sk-second-0123456789"
"""The keys of the providers `first`, which have two."""
_KEYS = {"FIRST_KEY": FIRST, "SECOND_KEY": SECOND, "THIRD_KEY": "sk-third-0123456789"}
_PROVIDERS = """
[providers.first{number}]
base_url = "{base_url}"
credentials = [{{api_key_env = "FIRST_KEY"}}, {{api_key_env = "SECOND_KEY"}}]
[providers.second{number}]
base_url = "{base_url}"
api_key_env = "THIRD_KEY"
[providers.gone{number}]
base_url = "http://127.0.0.1:{port}/v1"
"""
_BREAKER = f"\n[breaker]\nopen = {OPEN}\nlongest = 4.0\n"


class Scene:
    """The providers `first`, `second` and `gone`, which refuses connections; their names end with `number`."""

    def __init__(self, gateway: Gateway, provider: ScriptedProvider, number: str, gone: socket.socket) -> None:
        self.gateway = gateway
        self.provider = provider
        self.number = number
        self.gone = gone
        self.caller = Caller(gateway.port).bearing(gateway.key)

    def ask(self, model: str, **fields: Any) -> Reply:
        provider, slash, name = model.partition("/")
        mine = f"{provider}{self.number}/{name}" if slash else model
        body = {"model": mine, "messages": [{"role": "user", "content": "hi"}], **fields}
        return self.caller.post("/chat/completions", body)

    def seconds(self, model: str) -> float:
        """How long its answer takes."""
        began = time.perf_counter()
        self.ask(model)
        return time.perf_counter() - began

    def dialled(self, model: str = "") -> int:
        """How many requests the provider has seen, of one model or of all."""
        return sum(model in {"", bill["model"]} for bill in self.provider.bills())

    def keys(self) -> list[str]:
        """With which keys, in the order of the calls."""
        return [bill["headers"]["authorization"].partition(" ")[2] for bill in self.provider.bills()]

    def rests(self, provider: str) -> list[dict[str, Any]]:
        workers = self.caller.get("/admin/status").json["workers"]
        told = [rest for worker in workers for rest in worker["state"]["providers"]]
        return [rest for rest in told if rest["provider"] == provider + self.number]


@contextmanager
def scenes(folder: Path, provider: ScriptedProvider, count: int, more: str = "") -> Iterator[list[Scene]]:
    """The first one has no number; `more` is added to parley.toml."""
    numbers = ["", *map(str, range(1, count))]
    with ExitStack() as stack:
        gone = [stack.enter_context(closed_port()) for _ in numbers]
        config = FAST + _BREAKER + more
        for number, holder in zip(numbers, gone, strict=True):
            config += _PROVIDERS.format(number=number, base_url=provider.base_url, port=holder.getsockname()[1])
        gateway = Gateway(folder, env=_KEYS, config=config)
        stack.callback(gateway.end)
        gateway.start()
        yield [Scene(gateway, provider, *its) for its in zip(numbers, gone, strict=True)]

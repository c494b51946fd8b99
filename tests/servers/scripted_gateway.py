"""The gateway in front of the scripted provider, and the official OpenAI SDK to drive it with."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI

from tests.servers.gateway import FAST, Gateway
from tests.servers.scripted_provider import ScriptedProvider

QUESTION: list[Any] = [{"role": "user", "content": "Say five words."}]
ANSWER = "word1 word2 word3 word4 word5 "
_CONFIG = """
[providers.scripted]
base_url = "{url}"
api_key_env = "SCRIPTED_KEY"

# The same server: a key that it refuses is of no use for anything else for a while.
[providers.refused]
base_url = "{url}"

[providers.locked]
base_url = "{url}"

[prices."scripted/ok"]
input = 1.0
output = 2.0
"""


@dataclass(frozen=True)
class ScriptedGateway:
    gateway: Gateway
    provider: ScriptedProvider
    client: OpenAI
    """With the first key, and no retries of its own."""

    def ask(self, model: str, **options: Any) -> Any:
        """A chat completion, or its stream; `using` another client."""
        client = options.pop("using", self.client)
        return client.chat.completions.create(model=model, messages=options.pop("messages", QUESTION), **options)

    def calls(self, model: str) -> list[dict[str, Any]]:
        """What the provider noted of the requests for `model`, without its `scripted/`."""
        return [call for call in self.provider.bills() if call["model"] == model]


@contextmanager
def scripted_gateway(folder: Path) -> Iterator[ScriptedGateway]:
    with ExitStack() as stack:
        provider = ScriptedProvider(folder).run()
        stack.callback(provider.stop)
        config = FAST + _CONFIG.format(url=provider.base_url)
        gateway = Gateway(folder, env={"SCRIPTED_KEY": "sk-scripted"}, config=config)
        stack.callback(gateway.end)
        gateway.start()
        client = stack.enter_context(OpenAI(base_url=gateway.api, api_key=gateway.key, max_retries=0, timeout=20))
        yield ScriptedGateway(gateway, provider, client)


def text_of(chunks: list[Any], index: int = 0) -> str:
    """The text of one choice of a stream."""
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(delta.content or "" for delta in deltas)

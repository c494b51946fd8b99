"""One gateway and one real model for all of these tests."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from openai import OpenAI

from tests.servers.gateway import Gateway
from tests.servers.llama_server import MODEL, LlamaServer
from tests.source import ROOT


@dataclass(frozen=True)
class RealModel:
    gateway: Gateway
    server: LlamaServer
    client: OpenAI
    name: str = f"llamacpp/{MODEL}"


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealModel]:
    """With the production deadlines: how fast a real model is depends on the machine."""
    folder = tmp_path_factory.mktemp("real")
    server = LlamaServer(folder)
    config = (ROOT / "deploy/local/model.toml").read_text()
    gateway = Gateway(folder, env={"LLAMACPP_BASE_URL": server.base_url}, config=config)
    try:
        server.run()
        gateway.start()
        with OpenAI(base_url=gateway.api, api_key=gateway.key, max_retries=0, timeout=60) as client:
            yield RealModel(gateway, server, client)
    finally:
        gateway.end()
        server.stop()

"""SDKs for Python other than OpenAI's own, unchanged, against the running gateway."""

from collections.abc import Iterator

import pytest

from tests.clients.rig import Told
from tests.contracts.client_sdk import AnthropicSdkContract, ClientSdkContract
from tests.servers.scripted_gateway import ScriptedGateway, scripted_gateway

pytestmark = pytest.mark.xdist_group("python-sdks")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path_factory.mktemp("python-sdks")) as world:
        yield world


class TestLangChain(ClientSdkContract):
    program = "langchain_sdk.py"
    slow = "slow-1005ms"

    def test_an_error_in_the_middle_says_what_it_is(self, told: Told) -> None:
        assert told["cut"]["code"].startswith("upstream_")


class TestAnthropic(AnthropicSdkContract):
    program = "anthropic_sdk.py"
    slow = "slow-1004ms"

"""The official SDKs for Node, unchanged, against the running gateway."""

from collections.abc import Iterator

import pytest

from tests.clients.rig import Told
from tests.contracts.client_sdk import AnthropicSdkContract, ClientSdkContract
from tests.servers.scripted_gateway import ScriptedGateway, scripted_gateway

pytestmark = pytest.mark.xdist_group("node-sdks")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path_factory.mktemp("node-sdks")) as world:
        yield world


class TestOpenAI(ClientSdkContract):
    program = "openai_sdk.mjs"
    slow = "slow-1001ms"

    def test_the_models_are_listed(self, told: Told) -> None:
        assert "echo/echo" in told["models"]

    def test_the_sdks_own_loop_calls_the_tool_and_sends_its_result(self, told: Told, world: ScriptedGateway) -> None:
        rounds = [call["payload"]["messages"] for call in world.calls("tools") if len(call["payload"]["messages"]) > 1]

        assert told["run_tools"] == [{"city": "Köln"}, {"city": "Köln"}]
        assert [messages[-1]["content"] for messages in rounds] == ["rain"]

    def test_an_error_in_the_middle_says_what_it_is(self, told: Told) -> None:
        assert told["cut"]["code"].startswith("upstream_")


class TestVercel(ClientSdkContract):
    program = "vercel_sdk.mjs"
    slow = "slow-1002ms"
    tool_calls = "tool-calls"
    kinds = dict.fromkeys((401, 404, 429), "APICallError")


class TestAnthropic(AnthropicSdkContract):
    program = "anthropic_sdk.mjs"
    slow = "slow-1003ms"

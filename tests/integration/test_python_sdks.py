"""SDKs for Python other than OpenAI's own, unchanged, against the running gateway."""

from collections.abc import Iterator

import pytest

from tests.clients.rig import Told, told_by
from tests.contracts.client_sdk import ClientSdkContract
from tests.servers.scripted_gateway import ScriptedGateway, scripted_gateway

pytestmark = pytest.mark.xdist_group("python-sdks")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path_factory.mktemp("python-sdks")) as world:
        yield world


@pytest.fixture(scope="class")
def told(request: pytest.FixtureRequest, world: ScriptedGateway) -> Told:
    return told_by(request.cls.program, world.gateway.url, world.gateway.key)


class TestLangChain(ClientSdkContract):
    program = "langchain_sdk.py"
    slow = "slow-1005ms"

    def test_an_error_in_the_middle_says_what_it_is(self, told: Told) -> None:
        assert told["cut"]["code"].startswith("upstream_")


class TestAnthropic(ClientSdkContract):
    program = "anthropic_sdk.py"
    slow = "slow-1004ms"
    stop = "end_turn"
    tool_calls = "tool_use"

    def test_the_final_message_of_a_stream_has_the_text_that_was_streamed(self, told: Told) -> None:
        assert told["stream"]["whole"] == told["stream"]["text"]

    def test_the_sdks_own_loop_sends_whole_conversations_where_nobody_keeps_threads(
        self, told: Told, world: ScriptedGateway
    ) -> None:
        turns = [len(call["payload"]["messages"]) for call in world.calls("tools~runner")]

        assert told["tool_runner"][0] == {"city": "Köln"}
        assert turns == [1, 3]

    def test_the_tokens_of_a_prompt_are_counted_beforehand(self, told: Told) -> None:
        assert told["count"] > 0

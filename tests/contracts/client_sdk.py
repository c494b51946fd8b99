"""What every official SDK must see of the gateway, whatever the language and the dialect."""

import json
from typing import Any, ClassVar

import pytest

from tests.clients.rig import Told, told_by
from tests.servers.program import wait_until
from tests.servers.scripted_gateway import ANSWER, ScriptedGateway


class ClientSdkContract:
    """`told` are the checks of one program of tests/clients; `world` is what it talked to."""

    program: str
    slow: str
    """The model, used by no other program, whose stream the program leaves."""
    stop = "stop"
    tool_calls = "tool_calls"
    kinds: ClassVar[dict[int, str]] = {401: "AuthenticationError", 404: "NotFoundError", 429: "RateLimitError"}

    @pytest.fixture(scope="class")
    @classmethod
    def told(cls, world: ScriptedGateway) -> Told:
        return told_by(cls.program, world.gateway.url, world.gateway.key)

    def test_an_answer_has_its_text_its_model_and_its_usage(self, told: Told, world: ScriptedGateway) -> None:
        chat = told["chat"]

        assert (chat["text"], chat["finish"], chat["model"]) == (ANSWER, self.stop, "scripted/ok")
        assert chat["usage"] in counts(world, streamed=False)

    def test_a_stream_has_the_same_text_one_finish_and_its_usage(self, told: Told, world: ScriptedGateway) -> None:
        stream = told["stream"]

        assert (stream["text"], stream["finishes"]) == (ANSWER, [self.stop])
        assert stream["usage"] in counts(world, streamed=True)

    def test_a_tool_is_called_and_its_result_reaches_the_provider(self, told: Told) -> None:
        self.check_tool_round(told["tools"])

    def test_a_streamed_tool_call_is_put_together_and_answered(self, told: Told) -> None:
        self.check_tool_round(told["streamed_tools"])

    def check_tool_round(self, found: dict[str, Any]) -> None:
        assert (found["finish"], found["arguments"]) == (self.tool_calls, {"city": "Köln"})
        *_, question, turn, result = found["sent"]
        (call,) = turn["tool_calls"]
        assert "Say five words." in json.dumps(question)
        assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("weather", {"city": "Köln"})
        assert (result["role"], result["tool_call_id"]) == ("tool", call["id"])
        assert "rain" in json.dumps(result["content"])

    def test_a_wrong_key_is_unauthenticated(self, told: Told) -> None:
        self.check_refusal(told["unauthenticated"], 401)

    def test_an_unknown_model_is_not_found(self, told: Told) -> None:
        self.check_refusal(told["unknown_model"], 404)
        assert "nobody/nothing" in told["unknown_model"]["message"]

    def test_a_rate_limit_says_how_long_to_wait(self, told: Told) -> None:
        for refused in (told["rate_limited"], told["rate_limited_stream"]):
            self.check_refusal(refused, 429)
            assert 1 <= int(refused["wait"]) <= 60

    def check_refusal(self, refused: dict[str, Any], status: int) -> None:
        assert refused["status"] == status
        assert self.kinds[status] in refused["kinds"]
        assert refused["message"]

    def test_what_is_cut_in_the_middle_raises_and_never_looks_complete(self, told: Told) -> None:
        cut = told["cut"]

        assert cut["text"].startswith("word1 word2 word3 ")
        assert self.stop not in cut["finishes"]
        assert cut["message"]

    def test_a_client_that_leaves_ends_the_call_to_the_provider_at_once(
        self, told: Told, world: ScriptedGateway
    ) -> None:
        left = told["cancel"]["left"]

        wait_until(lambda: world.calls(self.slow)[0]["ended"] != "open", 3, "end of the call")
        (call,) = world.calls(self.slow)
        assert call["ended"] == "client_gone"
        assert call["ended_at"] - left <= 1


class AnthropicSdkContract(ClientSdkContract):
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


def counts(world: ScriptedGateway, *, streamed: bool) -> list[list[int]]:
    """Prompt and completion tokens of the calls for `ok`, as the provider counted them."""
    calls = [call for call in world.calls("ok") if call["streamed"] == streamed]
    return [[call["prompt_tokens"], call["completion_tokens"]] for call in calls]

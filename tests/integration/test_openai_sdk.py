"""The official OpenAI SDK, unchanged, against the running gateway: what goes well."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.servers.scripted_gateway import ANSWER, QUESTION, ScriptedGateway, scripted_gateway, text_of

pytestmark = pytest.mark.xdist_group("openai-sdk")

IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path_factory.mktemp("openai-sdk")) as world:
        yield world


def received(world: ScriptedGateway, **options: Any) -> dict[str, Any]:
    """What the provider was asked, as it says itself."""
    return dict(json.loads(world.ask("scripted/payload-echo", **options).choices[0].message.content))


def test_a_completion_has_its_text_its_model_and_what_it_cost(world: ScriptedGateway) -> None:
    completion = world.ask("scripted/ok")

    assert completion.object == "chat.completion"
    assert completion.model == "scripted/ok"
    assert completion.choices[0].message.content == ANSWER
    assert completion.choices[0].finish_reason == "stop"
    usage = completion.usage
    assert usage.completion_tokens == 5
    assert usage.total_tokens == usage.prompt_tokens + 5
    assert float(usage.cost) == pytest.approx((usage.prompt_tokens + 2 * 5) / 1e6)


def test_echo_answers_without_any_provider(world: ScriptedGateway) -> None:
    assert "Say five words." in world.ask("echo/echo").choices[0].message.content


def test_a_stream_carries_the_text_and_ends_with_usage_and_cost_unasked(world: ScriptedGateway) -> None:
    chunks = list(world.ask("scripted/ok", stream=True))

    assert text_of(chunks) == ANSWER
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert {chunk.model for chunk in chunks} == {"scripted/ok"}
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].usage.completion_tokens == 5
    assert float(chunks[-1].usage.cost) == pytest.approx((chunks[-1].usage.prompt_tokens + 2 * 5) / 1e6)


def test_a_stream_leaves_usage_out_when_told_to(world: ScriptedGateway) -> None:
    chunks = list(world.ask("scripted/ok", stream=True, stream_options={"include_usage": False}))

    assert text_of(chunks) == ANSWER
    assert all(chunk.usage is None for chunk in chunks)


def test_an_answer_cut_by_its_length_says_so(world: ScriptedGateway) -> None:
    completion = world.ask("scripted/ok", max_completion_tokens=2)

    assert completion.choices[0].finish_reason == "length"
    assert completion.choices[0].message.content == "word1 word2 "


def test_a_tool_call_arrives_whole(world: ScriptedGateway) -> None:
    choice = world.ask("scripted/tools", tools=[TOOL], tool_choice="auto").choices[0]

    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls[0].function.name == "weather"
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Köln"}


def test_a_streamed_tool_call_is_put_together_by_the_sdk(world: ScriptedGateway) -> None:
    with world.client.chat.completions.stream(model="scripted/tools", messages=QUESTION, tools=[TOOL]) as stream:
        choice = stream.get_final_completion().choices[0]

    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Köln"}


def test_a_tools_result_goes_back_to_the_provider_unchanged(world: ScriptedGateway) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
    messages = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]

    assert received(world, messages=messages, tools=[TOOL])["messages"] == messages


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_arrive(world: ScriptedGateway, stream: bool) -> None:
    answer = world.ask("scripted/logprobs", logprobs=True, top_logprobs=1, stream=stream)
    choices = [choice for chunk in answer for choice in chunk.choices] if stream else answer.choices

    tokens = [token for choice in choices if choice.logprobs for token in choice.logprobs.content]
    assert [token.token for token in tokens] == ["word1 ", "word2 ", "word3 ", "word4 ", "word5 "]
    assert {token.logprob for token in tokens} == {-0.5}


def test_several_choices_arrive(world: ScriptedGateway) -> None:
    completion = world.ask("scripted/ok", n=3)
    chunks = list(world.ask("scripted/ok", n=3, stream=True))

    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert {text_of(chunks, index) for index in range(3)} == {ANSWER}


def test_documented_parameters_reach_the_provider_unchanged(world: ScriptedGateway) -> None:
    schema = {"name": "city", "schema": {"type": "object", "properties": {"name": {"type": "string"}}}, "strict": True}
    options: dict[str, Any] = {
        "response_format": {"type": "json_schema", "json_schema": schema},
        "seed": 7,
        "stop": ["END", "STOP"],
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": -1,
        "logit_bias": {"50256": -100},
        "user": "somebody",
        "reasoning_effort": "low",
        "parallel_tool_calls": False,
        "tools": [TOOL],
    }

    asked = received(world, **options)

    assert {name: asked[name] for name in options} == options
    assert asked["model"] == "payload-echo"


def test_an_image_reaches_the_provider_unchanged(world: ScriptedGateway) -> None:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]

    completion = world.ask("scripted/image-echo", messages=[{"role": "user", "content": parts}])

    assert completion.choices[0].message.content == IMAGE


def test_models_are_listed_and_found_by_name(world: ScriptedGateway) -> None:
    assert "echo/echo" in [model.id for model in world.client.models.list()]
    assert world.client.models.retrieve("echo/echo").id == "echo/echo"
    with pytest.raises(openai.NotFoundError):
        world.client.models.retrieve("echo/no-such-model")

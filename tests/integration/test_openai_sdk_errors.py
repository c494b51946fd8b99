"""The official OpenAI SDK, unchanged, against the running gateway: what goes wrong, and who notices."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.servers.program import wait_until
from tests.servers.scripted_gateway import ANSWER, ScriptedGateway, scripted_gateway, text_of

pytestmark = pytest.mark.xdist_group("openai-sdk-errors")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path_factory.mktemp("openai-sdk-errors")) as world:
        yield world


@pytest.fixture(scope="module")
def new_key(world: ScriptedGateway) -> Callable[..., str]:
    world.gateway.cli("users", "create", "sdk@example.org", "--role", "member")

    def make(*options: str) -> str:
        return world.gateway.cli("keys", "create", "--user", "sdk@example.org", "--name", "sdk", *options)

    return make


def with_key(world: ScriptedGateway, key: str) -> OpenAI:
    return OpenAI(base_url=world.gateway.api, api_key=key, max_retries=0, timeout=20)


def test_a_wrong_key_is_an_authentication_error(world: ScriptedGateway) -> None:
    with with_key(world, "sk-wrong") as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            world.ask("echo/echo", using=stranger)
        assert caught.value.code == "unauthenticated"
        assert caught.value.request_id


def test_an_unknown_field_is_a_bad_request_that_names_it(world: ScriptedGateway) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        world.ask("echo/echo", messages=[{"role": "user", "content": "Hello", "colour": "red"}])
    assert caught.value.param == "messages.0.colour"


def test_an_unknown_model_is_not_found(world: ScriptedGateway) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        world.ask("nobody/nothing")
    assert caught.value.code == "model_not_found"


def test_a_model_that_the_key_may_not_use_is_denied(world: ScriptedGateway, new_key: Callable[..., str]) -> None:
    with with_key(world, new_key("--model", "echo/echo")) as limited:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            world.ask("scripted/ok", using=limited)
        assert caught.value.code == "model_not_allowed"
        assert [model.id for model in limited.models.list()] == ["echo/echo"]


def test_the_keys_own_limit_is_a_rate_limit_error_with_a_wait(
    world: ScriptedGateway, new_key: Callable[..., str]
) -> None:
    with with_key(world, new_key("--rpm", "2")) as limited:
        world.ask("echo/echo", using=limited)
        world.ask("echo/echo", using=limited)
        with pytest.raises(openai.RateLimitError) as caught:
            world.ask("echo/echo", using=limited)

    assert caught.value.code == "rate_limited"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"


PROVIDERS = {"auth": "refused", "fault:auth": "locked"}
"""Where it is not `scripted`: after such an answer the provider's only key rests."""

REFUSALS: list[tuple[str, type[openai.APIStatusError], int, str]] = [
    ("429-ra-60", openai.RateLimitError, 429, "upstream_rate_limited"),
    ("context-length", openai.BadRequestError, 400, "context_length_exceeded"),
    ("content-filter", openai.BadRequestError, 400, "content_filter"),
    ("auth", openai.InternalServerError, 502, "upstream_auth"),
    ("500", openai.InternalServerError, 502, "upstream_error"),
    ("503-ra-9", openai.InternalServerError, 503, "upstream_overloaded"),
    ("rst", openai.InternalServerError, 502, "upstream_reset"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("model", "kind", "status", "code"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_what_fails_before_the_first_token_has_its_real_status(
    world: ScriptedGateway, model: str, kind: type[openai.APIStatusError], status: int, code: str, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        world.ask(f"{PROVIDERS.get(model, 'scripted')}/{model}", stream=stream)
    assert (caught.value.status_code, caught.value.code) == (status, code)


def test_a_provider_that_says_nothing_is_a_timeout(world: ScriptedGateway) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        world.ask("scripted/ttfb-9")
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")


def test_a_stream_that_was_promised_and_never_came_raises(world: ScriptedGateway) -> None:
    with pytest.raises(openai.APIError) as caught:
        list(world.ask("scripted/ttfb-9", stream=True))
    assert caught.value.code == "upstream_timeout"


@pytest.mark.parametrize("model", ["rst-after-3", "eof-after-3", "done-after-3", "error-event", "stall-after-3"])
def test_what_fails_in_the_middle_raises_and_never_looks_complete(world: ScriptedGateway, model: str) -> None:
    chunks: list[Any] = []
    with pytest.raises(openai.APIError) as caught:
        chunks.extend(world.ask(f"scripted/{model}", stream=True))

    assert str(caught.value.code).startswith("upstream_")
    assert text_of(chunks).startswith("word1 word2 word3 ")
    assert "stop" not in [choice.finish_reason for chunk in chunks for choice in chunk.choices]


def test_closing_a_stream_ends_the_call_to_the_provider_at_once(world: ScriptedGateway) -> None:
    with world.ask("scripted/slow-1001ms", stream=True) as stream:
        while not next(stream).choices[0].delta.content:
            pass
    left = time.time()

    wait_until(lambda: world.calls("slow-1001ms")[0]["ended"] != "open", 20, "end of the call")
    call = world.calls("slow-1001ms")[0]
    assert call["ended"] == "client_gone"
    assert call["ended_at"] - left <= 1


def test_giving_up_on_a_whole_answer_ends_the_call_to_the_provider(world: ScriptedGateway) -> None:
    with pytest.raises(openai.APITimeoutError):
        world.ask("scripted/ttfb-8", timeout=1)
    left = time.time()

    wait_until(lambda: [call["ended"] for call in world.calls("ttfb-8")] not in ([], ["open"]), 20, "end of the call")
    assert world.calls("ttfb-8")[0]["ended_at"] - left <= 1


@pytest.mark.parametrize(("model", "requests"), [("fault:503", 2), ("fault:auth", 1), ("fault:param", 1)])
def test_the_sdk_retries_what_can_succeed_and_nothing_else(world: ScriptedGateway, model: str, requests: int) -> None:
    with pytest.raises(openai.APIStatusError):
        world.ask(f"{PROVIDERS.get(model, 'scripted')}/{model}", using=world.client.with_options(max_retries=1))

    assert len({call["id"] for call in world.calls(model)}) == requests


def test_a_fault_that_passes_is_not_seen_by_the_client(world: ScriptedGateway) -> None:
    completion = world.ask("scripted/fault:503-once")

    assert completion.choices[0].message.content == ANSWER
    assert [call["status"] for call in world.calls("fault:503-once")] == [503, 200]

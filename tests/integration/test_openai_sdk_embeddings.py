"""The official OpenAI SDK, unchanged, against the gateway's embeddings."""

import base64
import struct
from collections.abc import Iterator

import openai
import pytest

from tests.servers.scripted_gateway import ScriptedGateway, scripted_gateway

pytestmark = pytest.mark.xdist_group("openai-embeddings")

TEXTS = ["one", "three words here"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path_factory.mktemp("openai-embeddings")) as world:
        yield world


def test_vectors_come_in_the_order_of_their_texts(world: ScriptedGateway) -> None:
    made = world.client.embeddings.create(model="scripted/shuffled", input=TEXTS)

    assert made.model == "scripted/shuffled"
    assert [item.index for item in made.data] == [0, 1]
    assert [item.embedding[0] for item in made.data] == [3 / 8, 16 / 8]
    assert (made.usage.prompt_tokens, made.usage.total_tokens) == (4, 4)


def test_what_it_cost_is_told_and_recorded(world: ScriptedGateway) -> None:
    raw = world.client.embeddings.with_raw_response.create(model="scripted/ok", input=TEXTS)

    assert raw.headers["X-Parley-Cost"] == "0.000004000"
    assert raw.headers["X-Parley-Attempts"] == "1"
    assert world.gateway.record(raw.headers["X-Request-Id"])["prompt_tokens"] == 4


def test_what_was_made_before_a_batch_failed_is_billed_and_not_made_again(world: ScriptedGateway) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        world.client.embeddings.create(model="scripted/fails-after-1", input=["x"] * 600)

    batches = [len(call["payload"]["input"]) for call in world.calls("fails-after-1")]
    assert sum(batches) == 600
    assert len(batches) == 2
    record = world.gateway.record(caught.value.response.headers["X-Request-Id"])
    assert (record["prompt_tokens"], record["state"]) == (batches[0], "partial")


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_either_form_is_had_when_it_is_asked_for(world: ScriptedGateway, encoding: str) -> None:
    made = world.client.embeddings.create(model="scripted/ok", input="four", encoding_format=encoding, dimensions=2)  # type: ignore[call-overload]
    vector = made.data[0].embedding
    numbers = list(struct.unpack("<2f", base64.b64decode(vector))) if encoding == "base64" else vector

    assert numbers == [0.5, 0.625]


def test_tokens_go_through(world: ScriptedGateway) -> None:
    made = world.client.embeddings.create(model="scripted/ok", input=[[1, 2, 3], [4]])

    assert len(made.data) == 2
    assert world.calls("ok")[-1]["payload"]["input"] == [[1, 2, 3], [4]]


def test_echo_makes_vectors_without_any_provider(world: ScriptedGateway) -> None:
    one, two = (world.client.embeddings.create(model="echo/echo", input="Hello").data[0].embedding for _ in range(2))

    assert one == two
    assert len(one) == 8
    assert sum(number**2 for number in one) == pytest.approx(1)


def test_a_failure_is_tried_once_more_when_nothing_was_made(world: ScriptedGateway) -> None:
    made = world.client.embeddings.with_raw_response.create(model="scripted/500-once", input="four")

    assert made.headers["X-Parley-Attempts"] == "2"


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("429-ra-30", openai.RateLimitError),
        ("nan", openai.InternalServerError),
        ("short", openai.InternalServerError),
        ("400", openai.BadRequestError),
    ],
)
def test_a_failure_has_the_sdks_class(world: ScriptedGateway, model: str, error: type[openai.APIStatusError]) -> None:
    with pytest.raises(error):
        world.client.embeddings.create(model=f"scripted/{model}", input=TEXTS)

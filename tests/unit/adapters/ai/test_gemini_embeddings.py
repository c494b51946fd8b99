import struct

import pytest

from adapters.ai.gemini_embeddings import GeminiEmbedder
from adapters.ai.providers.anthropic import PROFILE as ANTHROPIC
from adapters.ai.providers.gemini import PROFILE
from adapters.ai.wires import wire_of
from application.cancellation import Cancellation
from domain.embedding import EmbeddingPrompt
from domain.errors import UnsupportedParameter
from domain.provider_errors import UpstreamBadContent, UpstreamFailed
from domain.usage import Source, Usage
from tests.fakes import FrozenClock

ONE = {"embeddings": [{"values": [0.5, -1]}], "usageMetadata": {"promptTokenCount": 3}}


class Calls:
    """Answers with what it was given, one after the other, and remembers what was asked."""

    def __init__(self, *answers: dict | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple] = []

    def post(self, path: str, body: dict, _cancellation: object, request_id: str = "") -> dict:
        self.asked.append((path, body, request_id))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def a_cancellation() -> Cancellation:
    return Cancellation(600, FrozenClock().monotonic)


def embedder(calls: Calls) -> GeminiEmbedder:
    return GeminiEmbedder(calls, PROFILE.embeddings)


def test_a_text_becomes_a_vector():
    calls = Calls(ONE)
    made = embedder(calls).embed(EmbeddingPrompt("m/x", ["a"], 2, request_id="req_1"), a_cancellation())

    assert [struct.unpack("<2f", vector) for vector in made.vectors] == [(0.5, -1.0)]
    assert (made.usage, made.model) == (Usage(input=3, source=Source.PROVIDER), "m/x")
    request = {"model": "models/m/x", "outputDimensionality": 2, "content": {"parts": [{"text": "a"}]}}
    assert calls.asked == [("/v1beta/models/m%2Fx:batchEmbedContents", {"requests": [request]}, "req_1")]


def test_usage_is_none_unless_all_of_it_was_counted():
    hundred = {"embeddings": [{"values": [1.0, 0.5]}] * 100}
    calls = Calls(hundred, ONE)

    assert embedder(calls).embed(EmbeddingPrompt("m", ["a"] * 101), a_cancellation()).usage is None


def test_what_the_first_requests_cost_is_told_when_a_later_one_fails():
    hundred = {"embeddings": [{"values": [1.0]}] * 100, "usageMetadata": {"promptTokenCount": 100}}
    cancellation = a_cancellation()

    with pytest.raises(UpstreamFailed):
        embedder(Calls(hundred, UpstreamFailed())).embed(EmbeddingPrompt("m", ["a"] * 101), cancellation)

    assert cancellation.counted == Usage(input=100, source=Source.PROVIDER)


@pytest.mark.parametrize("widths", [(2, 1), (1, 2)])
def test_vectors_of_different_lengths_are_bad_content(widths):
    answer = {"embeddings": [{"values": [1.0] * width} for width in widths]}

    with pytest.raises(UpstreamBadContent):
        embedder(Calls(answer)).embed(EmbeddingPrompt("m", ["a", "b"]), a_cancellation())


def test_a_later_batch_has_vectors_as_long_as_the_first():
    hundred = {"embeddings": [{"values": [1.0]}] * 100}

    with pytest.raises(UpstreamBadContent):
        embedder(Calls(hundred, ONE)).embed(EmbeddingPrompt("m", ["a"] * 101), a_cancellation())


def test_dimensions_that_the_model_makes_nothing_of_are_no_answer_and_not_owed():
    cancellation = a_cancellation()

    with pytest.raises(UpstreamBadContent):
        embedder(Calls(ONE)).embed(EmbeddingPrompt("m", ["a"], 3), cancellation)

    assert cancellation.counted is None, "of a failure that is owed nobody else is asked"


@pytest.mark.parametrize(
    ("prompt", "param"),
    [(EmbeddingPrompt("m", [[1, 2]]), "input"), (EmbeddingPrompt("m", ["a"], user="u"), "user")],
)
def test_what_it_cannot_say_is_refused_before_anything_is_sent(prompt, param):
    calls = Calls()
    with pytest.raises(UnsupportedParameter) as caught:
        embedder(calls).embed(prompt, a_cancellation())

    assert (caught.value.param, calls.asked) == (param, [])


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"embeddings": []},
        {"embeddings": [{}]},
        {"embeddings": [{"values": []}]},
        {"embeddings": [{"values": ["x"]}]},
        {"embeddings": [{"values": [1e300]}]},
        {"embeddings": [{"values": 7}]},
    ],
)
def test_what_is_no_vector_is_bad_content(answer):
    with pytest.raises(UpstreamBadContent):
        embedder(Calls(answer)).embed(EmbeddingPrompt("m", ["a"]), a_cancellation())


def test_a_profile_without_embeddings_has_no_embedder():
    assert wire_of(ANTHROPIC).embedder(ANTHROPIC, None) is None
    assert wire_of(ANTHROPIC).images(ANTHROPIC, None) is None
    assert wire_of(PROFILE).images(PROFILE, None) is None

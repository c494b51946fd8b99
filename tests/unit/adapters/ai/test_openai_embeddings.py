"""How inputs are divided into requests, and what is known when one of them fails. The wire itself: the contract."""

from dataclasses import dataclass, field

import pytest

from adapters.ai.openai_embeddings import OpenAIEmbedder, vectors_of
from adapters.ai.profile import Profile
from adapters.ai.quirks import EmbeddingRules
from application.cancellation import Cancellation
from domain.embedding import EmbeddingPrompt
from domain.errors import StoppedByUser
from domain.provider_errors import UpstreamBadContent, UpstreamFailed
from domain.usage import Source, Usage
from tests.fakes import FrozenClock


@dataclass
class Calls:
    """Answers each request with a vector per input, and `usages` in turn; raises what it finds there."""

    usages: list[object] = field(default_factory=list)
    bodies: list[dict] = field(default_factory=list)

    def post(self, path: str, body: dict, cancellation: Cancellation, request_id: str) -> dict:
        self.bodies.append(body)
        usage = self.usages.pop(0) if self.usages else {"prompt_tokens": len(body["input"])}
        if isinstance(usage, BaseException):
            raise usage
        width = body.get("dimensions", 2)
        return {"model": "m-1", "data": [{"embedding": [0.5] * width} for _ in body["input"]], "usage": usage}

    @property
    def sizes(self) -> list[int]:
        return [len(body["input"]) for body in self.bodies]


def embed(calls: Calls, inputs: int, rules: EmbeddingRules, cancellation: Cancellation | None = None, **fields):
    embedder = OpenAIEmbedder(calls, Profile("acme", ""), rules)
    prompt = EmbeddingPrompt("m", ["x" * 8] * inputs, **fields)
    return embedder.embed(prompt, cancellation or a_cancellation())


def a_cancellation() -> Cancellation:
    return Cancellation(60, FrozenClock().monotonic)


@pytest.mark.parametrize(
    ("inputs", "batch", "sizes"),
    [(1, 10, [1]), (10, 10, [10]), (11, 10, [10, 1]), (25, 10, [10, 10, 5]), (3, 1, [1, 1, 1])],
)
def test_no_request_holds_more_than_the_provider_takes(inputs, batch, sizes):
    calls = Calls()
    made = embed(calls, inputs, EmbeddingRules(batch=batch))

    assert calls.sizes == sizes
    assert (len(made.vectors), made.model) == (inputs, "m-1")
    assert made.usage == Usage(input=inputs, source=Source.PROVIDER)


def test_no_answer_grows_beyond_what_is_read_of_one():
    digits, base64, short = Calls(), Calls(), Calls()
    embed(digits, 2_048, EmbeddingRules())
    embed(base64, 2_048, EmbeddingRules(base64=True))
    embed(short, 2_048, EmbeddingRules(), dimensions=64)

    assert max(digits.sizes) * 4_096 * 22 < 32 * 1024 * 1024
    assert max(base64.sizes) * 4_096 * 4 * 4 / 3 < 32 * 1024 * 1024
    assert short.sizes == [2_048]


def test_one_batch_that_was_not_counted_leaves_all_of_it_to_an_estimate():
    assert embed(Calls([{"prompt_tokens": 5}, None]), 2, EmbeddingRules(batch=1)).usage is None


@pytest.mark.parametrize(
    "raw", [None, {}, {"prompt_tokens": -1}, {"prompt_tokens": True}, {"prompt_tokens": 10**12}, 7]
)
def test_what_is_no_count_is_none(raw):
    assert embed(Calls([raw]), 1, EmbeddingRules()).usage is None


def test_what_was_made_before_a_failure_is_owed():
    cancellation = a_cancellation()

    with pytest.raises(UpstreamFailed):
        embed(Calls([{"prompt_tokens": 5}, {"prompt_tokens": 6}, UpstreamFailed()]), 3, EmbeddingRules(1), cancellation)

    assert cancellation.counted == Usage(input=11, source=Source.PROVIDER)


def test_what_was_made_and_not_counted_is_owed_as_an_estimate():
    cancellation = a_cancellation()

    with pytest.raises(UpstreamFailed):
        embed(Calls([{"prompt_tokens": 5}, None, UpstreamFailed()]), 3, EmbeddingRules(1), cancellation)

    assert cancellation.counted.source is Source.ESTIMATED
    assert cancellation.counted.input > 5


def test_what_is_cancelled_in_the_middle_is_owed_as_well():
    cancellation = a_cancellation()

    with pytest.raises(StoppedByUser):
        embed(Calls([{"prompt_tokens": 5}, StoppedByUser()]), 2, EmbeddingRules(1), cancellation)

    assert cancellation.counted.input == 5


def test_a_bad_batch_is_not_owed():
    cancellation = a_cancellation()
    calls = Calls()

    with pytest.raises(UpstreamBadContent):
        OpenAIEmbedder(Crooked(calls), Profile("acme", ""), EmbeddingRules(1)).embed(
            EmbeddingPrompt("m", ["a", "b"]), cancellation
        )

    assert cancellation.counted == Usage(input=1, source=Source.PROVIDER)


@dataclass
class Crooked:
    """Makes its second vector longer than its first."""

    calls: Calls

    def post(self, path: str, body: dict, cancellation: Cancellation, request_id: str) -> dict:
        answer = self.calls.post(path, body, cancellation, request_id)
        answer["data"][0]["embedding"] *= len(self.calls.bodies)
        return answer


@pytest.mark.parametrize(
    "items",
    [
        [{"index": 1, "embedding": [1.0]}, {"index": 1, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}],
        [{"index": -1, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": "0", "embedding": [1.0]}, {"index": 1, "embedding": [1.0]}],
        [{"index": True, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"embedding": [1.0]}, {"embedding": None}],
        [{"embedding": [1.0]}, {"embedding": {"float": [1.0]}}],
        [{"embedding": [1.0]}, {"embedding": "§§§§"}],
        [{"embedding": [1.0]}, {}],
        [{"embedding": [1.0]}, 7],
        [{"embedding": [1.0]}],
        "none",
        None,
    ],
)
def test_what_is_no_list_of_vectors_is_refused(items):
    with pytest.raises(UpstreamBadContent):
        vectors_of({"data": items}, 2)

"""`POST /embeddings`, as OpenAI's SDKs see it."""

import base64
import json
from dataclasses import dataclass, field, replace

import gevent
import pytest

from adapters.ai.echo import EchoEmbedder
from application.cancellation import Cancellation
from domain.embedding import EmbeddingPrompt, Embeddings, packed
from domain.provider_errors import UpstreamFailed
from domain.usage import PriceBook, Source, Usage
from domain.user import Role
from tests.builders import a_deployment
from tests.fakes import MemoryModels

URL = "/api/v1/embeddings"
ASKED = {"model": "acme/large", "input": "Hello"}


@dataclass
class Embedder:
    prompts: list[EmbeddingPrompt] = field(default_factory=list)
    usage: Usage | None = field(default_factory=lambda: Usage(input=9, source=Source.PROVIDER))
    error: Exception | None = None

    def embed(self, prompt: EmbeddingPrompt, cancellation: Cancellation) -> Embeddings:
        self.prompts.append(prompt)
        if self.error is not None:
            raise self.error
        return Embeddings([packed([0.5, -1.0, len(text)]) for text in prompt.inputs], self.usage, "large")


@pytest.fixture
def embedder(site) -> Embedder:
    embedder = Embedder()
    models = MemoryModels(
        replace(a_deployment(site.world.model), embedder=embedder), a_deployment(site.world.model, "acme/chatty")
    )
    site.world.embeddings = replace(site.world.embeddings, router=replace(site.world.router, models=models))
    return embedder


def test_an_answer_has_openais_shape(site, embedder):
    answer = site.post(URL, ASKED)

    assert answer.status_code == 200
    assert answer.json == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0, 5.0]}],
        "model": "acme/large",
        "usage": {"prompt_tokens": 9, "total_tokens": 9, "cost": 9e-09, "source": "provider"},
    }
    assert list(answer.json) == ["object", "data", "model", "usage"]
    told = ("X-Parley-Provider", "X-Parley-Model", "X-Parley-Attempts", "X-Parley-Cost")
    assert [answer.headers[name] for name in told] == ["acme", "large", "0", "0.000000009"]


def test_base64_is_that_of_little_endian_32_bit_floats(site, embedder):
    answer = site.post(URL, {**ASKED, "input": ["a", "bcd"], "encoding_format": "base64"})

    assert [base64.b64decode(item["embedding"]) for item in answer.json["data"]] == [
        packed([0.5, -1.0, 1]),
        packed([0.5, -1.0, 3]),
    ]
    assert [item["index"] for item in answer.json["data"]] == [0, 1]


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("Hello", ["Hello"]),
        (["Hello", "world"], ["Hello", "world"]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        (["x"] * 2_048, ["x"] * 2_048),
    ],
)
def test_each_documented_form_of_input_reaches_the_provider(site, embedder, given, inputs):
    answer = site.post(URL, {**ASKED, "input": given, "dimensions": 3, "user": "ada"})
    (prompt,) = embedder.prompts

    assert (list(prompt.inputs), prompt.dimensions, prompt.user) == (inputs, 3, "ada")
    assert len(answer.json["data"]) == len(inputs)


def test_a_null_is_not_given_at_all(site, embedder):
    assert site.post(URL, {**ASKED, "dimensions": None, "encoding_format": None, "user": None}).status_code == 200
    assert (embedder.prompts[0].dimensions, embedder.prompts[0].user) == (None, None)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input.0"),
        ({"input": [[]]}, "input.0"),
        ({"input": ["a", 1]}, "input"),
        ({"input": [[1], "a"]}, "input"),
        ({"input": [1, True]}, "input.1"),
        ({"input": [-1]}, "input.0"),
        ({"input": [1.0]}, "input.0"),
        ({"input": [["a"]]}, "input.0.0"),
        ({"input": ["x"] * 2_049}, "input"),
        ({"input": "x" * 200_001}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": None}, "input"),
        ({"model": ""}, "model"),
        ({"model": "acme large"}, "model"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "3"}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"user": "x" * 513}, "user"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(site, embedder, change, param):
    answer = site.post(URL, {**ASKED, **change})

    assert (answer.status_code, answer.json["error"]["param"]) == (400, param)
    assert embedder.prompts == []


@pytest.mark.parametrize("missing", ["model", "input"])
def test_what_is_needed_is_named(site, embedder, missing):
    answer = site.post(URL, {name: value for name, value in ASKED.items() if name != missing})

    assert (answer.status_code, answer.json["error"]["param"]) == (400, missing)


@pytest.mark.parametrize("name", ["api_key", "base_url", "organization", "callback_url", "extra_headers", "truncate"])
def test_destinations_credentials_and_unknown_fields_are_refused(site, embedder, name):
    answer = site.post(URL, {**ASKED, name: "x"})

    assert (answer.status_code, answer.json["error"]["code"]) == (400, "unknown_field")
    assert answer.json["error"]["param"] == name


def test_no_object_is_no_request(site, embedder):
    assert site.post(URL, [1]).status_code == 400


def test_a_body_that_is_too_large_is_refused(site, embedder):
    assert site.raw(URL, b'{"input": "' + b"x" * 8_000_000 + b'"}').status_code == 413


def test_a_model_without_embeddings_is_refused(site, embedder):
    answer = site.post(URL, {**ASKED, "model": "acme/chatty"})

    assert (answer.status_code, answer.json["error"]["code"]) == (400, "unsupported_parameter")


def test_a_failure_has_its_status_and_is_recorded(site, embedder):
    embedder.error = UpstreamFailed()
    answer = site.post(URL, ASKED)

    assert (answer.status_code, answer.json["error"]["provider"]) == (502, "acme")
    assert site.world.final().error_code == "upstream_error"


def test_an_unknown_price_is_null_and_not_zero(site, embedder):
    site.world.prices.book = PriceBook("v2", {})
    answer = site.post(URL, ASKED)

    assert answer.json["usage"]["cost"] is None
    assert "X-Parley-Cost" not in answer.headers


def test_what_nobody_counted_is_estimated(site, embedder):
    embedder.usage = None

    assert site.post(URL, ASKED).json["usage"]["source"] == "estimated"


def test_a_repeat_with_the_same_idempotency_key_is_answered_and_not_made_again(site, embedder):
    headers = {"Idempotency-Key": "once"}
    first, second = (site.post(URL, ASKED, headers=headers) for _ in range(2))

    assert first.data == second.data
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(embedder.prompts) == 1
    assert site.post(URL, {**ASKED, "input": "other"}, headers=headers).status_code == 422


def test_a_viewer_may_not(site, embedder):
    site.become(Role.VIEWER)

    assert site.post(URL, ASKED).status_code == 403


def test_numbers_of_full_precision_survive(site, embedder):
    site.world.embeddings = replace(
        site.world.embeddings,
        router=replace(
            site.world.router,
            models=MemoryModels(replace(a_deployment(site.world.model), embedder=EchoEmbedder())),
        ),
    )
    digits = site.post(URL, ASKED).json["data"][0]["embedding"]
    encoded = site.post(URL, {**ASKED, "encoding_format": "base64"}).json["data"][0]["embedding"]

    assert packed(digits) == base64.b64decode(encoded)
    assert len(digits) == 8
    assert json.loads(json.dumps(digits)) == digits


def test_others_have_their_turn_while_many_vectors_are_written(site, embedder):
    turns: list[int] = []
    gevent.spawn(lambda: [(turns.append(at), gevent.sleep(0)) for at in range(100)])

    assert len(site.post(URL, {**ASKED, "input": ["a"] * 640}).json["data"]) == 640
    assert len(turns) >= 40

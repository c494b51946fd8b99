"""What every `Embedder` keeps, whatever is behind it."""

from math import isfinite
from time import monotonic

import pytest

from application.cancellation import Cancellation
from application.model_ports import Embedder
from domain import errors, provider_errors
from domain.embedding import EmbeddingPrompt, Embeddings, Input, unpacked
from domain.usage import Source

TEXTS = ["one", "three words here", "and five more of them"]


def a_cancellation(seconds: float = 20) -> Cancellation:
    return Cancellation(seconds, monotonic)


def embedded(embedder: Embedder, model: str, inputs: list[Input] | None = None, **fields: object) -> Embeddings:
    prompt = EmbeddingPrompt(model, TEXTS if inputs is None else inputs, request_id=f"req_{model}", **fields)
    return embedder.embed(prompt, a_cancellation())


class EmbedderContract:
    """Subclass it, name a model that answers, and give it an `embedder` fixture."""

    good: str

    def test_each_input_has_a_vector_and_all_are_of_one_length(self, embedder):
        vectors = [unpacked(vector) for vector in embedded(embedder, self.good).vectors]

        assert len(vectors) == len(TEXTS)
        assert len({len(vector) for vector in vectors}) == 1
        assert all(isfinite(number) for vector in vectors for number in vector)

    def test_the_same_text_has_the_same_vector_wherever_it_stands(self, embedder):
        vectors = embedded(embedder, self.good).vectors

        assert embedded(embedder, self.good, TEXTS[::-1]).vectors == list(vectors)[::-1]
        assert len(set(vectors)) == len(TEXTS)

    def test_fewer_dimensions_make_shorter_vectors(self, embedder):
        assert {len(vector) for vector in embedded(embedder, self.good, dimensions=2).vectors} == {8}

    def test_the_prompt_is_counted_and_no_completion(self, embedder):
        usage = embedded(embedder, self.good).usage

        assert usage.source is Source.PROVIDER
        assert usage.prompt_tokens > 0
        assert usage.completion_tokens == 0

    def test_a_call_that_is_cancelled_already_raises_the_reason(self, embedder):
        cancellation = a_cancellation()
        cancellation.cancel(errors.StoppedByUser())

        with pytest.raises(errors.StoppedByUser):
            embedder.embed(EmbeddingPrompt(self.good, TEXTS), cancellation)


class OpenAIEmbedderContract(EmbedderContract):
    """Further promises on OpenAI's wire. Its `embedder` talks to the fixture `upstream`, without retries."""

    good = "ok"

    def test_fewer_dimensions_make_shorter_vectors(self, embedder, rules):
        if "dimensions" not in rules.options:
            pytest.skip("it is not documented")
        super().test_fewer_dimensions_make_shorter_vectors(embedder)

    @pytest.mark.parametrize("model", ["packed-only", "digits-only", "shuffled", "no-index", "no-usage", "zero-usage"])
    def test_the_oddities_of_servers_change_nothing(self, embedder, model):
        assert list(embedded(embedder, model).vectors) == list(embedded(embedder, "ok").vectors)

    @pytest.mark.parametrize(("model", "tokens"), [("ok", 9), ("zero-usage", 0), ("no-usage", None)])
    def test_usage_is_what_the_provider_said_or_nothing(self, embedder, model, tokens):
        usage = embedded(embedder, model).usage

        assert (None if usage is None else usage.prompt_tokens) == tokens

    @pytest.mark.parametrize(
        "model",
        ["short", "twice", "null", "text", "huge", "nan", "ragged", "empty", "cut-packed", "no-list"],
    )
    def test_what_is_no_vector_for_each_input_is_refused(self, embedder, model):
        with pytest.raises(provider_errors.UpstreamBadContent):
            embedded(embedder, model)

    @pytest.mark.parametrize(
        ("model", "error"),
        [
            ("rst", provider_errors.UpstreamReset),
            ("close", provider_errors.UpstreamReset),
            ("ttfb-10", provider_errors.UpstreamTimeout),
            ("400", provider_errors.UpstreamRejected),
            ("429-ra-7", provider_errors.UpstreamRateLimited),
            ("500", provider_errors.UpstreamFailed),
            ("503-ra-7", provider_errors.UpstreamOverloaded),
            ("auth", provider_errors.UpstreamAuth),
            ("context-length", provider_errors.ContextLengthExceeded),
            ("error-as-json", provider_errors.UpstreamRejected),
            ("bad-json", provider_errors.UpstreamBadJson),
            ("html", provider_errors.UpstreamBadContent),
            ("not-http", provider_errors.UpstreamBadContent),
            ("redirect", provider_errors.UpstreamRedirect),
            ("gzip", provider_errors.UpstreamTooLarge),
            ("key-in-message", provider_errors.UpstreamRejected),
        ],
    )
    def test_each_failure_has_its_name(self, embedder, model, error):
        with pytest.raises(provider_errors.ProviderError) as caught:
            embedded(embedder, model)

        assert type(caught.value) is error
        assert "sk-upstream" not in caught.value.message

    def test_inputs_go_out_in_batches_and_come_back_in_order(self, embedder, upstream, rules):
        upstream.forget()
        texts = ["x" * length for length in range(1, 2 * min(rules.batch, 100) + 2)]
        made = embedded(embedder, "ok", texts)

        batches = [bill["payload"]["input"] for bill in upstream.bills()]
        assert [text for batch in batches for text in batch] == texts
        assert all(len(batch) <= rules.batch for batch in batches)
        assert [unpacked(vector)[0] for vector in made.vectors] == [len(text) / 8 for text in texts]
        assert made.usage.prompt_tokens == len(texts)

    def test_a_failing_batch_fails_all_and_leaves_what_is_owed(self, embedder, rules):
        if rules.batch > 100:
            pytest.skip("one batch is all that it takes")
        cancellation = a_cancellation()
        prompt = EmbeddingPrompt("fails-after-1", ["x"] * (rules.batch + 1), request_id=f"req_{id(embedder)}")

        with pytest.raises(provider_errors.UpstreamFailed):
            embedder.embed(prompt, cancellation)

        assert cancellation.counted.prompt_tokens == rules.batch

    def test_a_failing_call_of_one_batch_leaves_nothing_owed(self, embedder):
        cancellation = a_cancellation()

        with pytest.raises(provider_errors.UpstreamFailed):
            embedder.embed(EmbeddingPrompt("500", TEXTS), cancellation)

        assert cancellation.counted is None

    def test_documented_parameters_reach_the_provider_under_its_names_and_alone(self, embedder, upstream, rules):
        given = {"dimensions": 2, "user": "somebody"}
        known = {name: value for name, value in given.items() if name in rules.options}
        upstream.forget()
        embedded(embedder, "ok", **known)

        (bill,) = upstream.bills()
        form = {"encoding_format": "base64"} if rules.base64 else {}
        assert bill["payload"] == {
            "model": "ok",
            "input": TEXTS,
            **form,
            **{rules.options[name]: value for name, value in known.items()},
        }

    @pytest.mark.parametrize("option", ["dimensions", "user"])
    def test_a_parameter_that_is_not_documented_is_refused_before_anything_is_sent(
        self, embedder, upstream, rules, option
    ):
        if option in rules.options:
            pytest.skip("it is documented")
        upstream.forget()

        with pytest.raises(errors.UnsupportedParameter) as refusal:
            embedded(embedder, "ok", **{option: 2})

        assert refusal.value.param == option
        assert upstream.bills() == []

    def test_tokens_go_out_as_they_came_in_or_are_refused(self, embedder, upstream, rules):
        upstream.forget()
        if rules.tokens:
            embedded(embedder, "ok", [[1, 2, 3], [4]])
            assert upstream.bills()[0]["payload"]["input"] == [[1, 2, 3], [4]]
        else:
            with pytest.raises(errors.UnsupportedParameter, match="tokens"):
                embedded(embedder, "ok", [[1, 2, 3], [4]])
            assert upstream.bills() == []

    def test_dimensions_that_the_model_makes_nothing_of_are_no_answer(self, embedder, rules):
        if "dimensions" not in rules.options:
            pytest.skip("it is not documented")

        with pytest.raises(provider_errors.UpstreamBadContent, match="length"):
            embedded(embedder, "stubborn", dimensions=2)

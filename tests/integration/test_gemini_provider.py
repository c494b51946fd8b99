"""Gemini's wire over real sockets, against a server that speaks it."""

import json
import struct

import pytest

from adapters.ai.deadlines import Deadlines
from adapters.ai.profile import Link
from adapters.ai.providers.gemini import PROFILE
from adapters.ai.transport import Transport
from adapters.ai.wires import wire_of
from domain import provider_errors
from domain.completion import Prompt
from domain.embedding import EmbeddingPrompt
from tests.contracts.chat_model import MESSAGES, WireContract, a_cancellation, completed, run, streamed, text_of
from tests.fakes import RecordingRecorder
from tests.servers.scripted_gemini import SIGNATURE
from tests.servers.scripted_provider import ScriptedProvider

DEADLINES = Deadlines(connect=1, headers=0.8, first_token=1.5, idle=0.8, heartbeat=0.2)
KEY = "AIzaSyUpstream-0123456789"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    provider = ScriptedProvider(tmp_path_factory.mktemp("gemini")).run()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def link(upstream):
    transport = Transport(upstream.root, DEADLINES)
    yield Link(transport, KEY, RecordingRecorder(), DEADLINES.heartbeat)
    transport.close()


class TestGemini(WireContract):
    classes = (2, 3, 5)

    @pytest.fixture
    def chat(self, link):
        return wire_of(PROFILE).chat(PROFILE, link)

    def test_the_credential_and_the_request_id_go_along_and_not_in_the_address(self, chat, upstream):
        upstream.forget()
        completed(chat, "ok")
        bill = upstream.bill("req_ok")

        assert bill["headers"].items() >= {("x-goog-api-key", KEY), ("x-request-id", "req_ok")}
        assert "authorization" not in bill["headers"]

    @pytest.mark.parametrize("model", ["../../v1/files", "ok?alt=json", "ok#x", "a b/c", "grün", "ok%2e"])
    @pytest.mark.parametrize("how", ["complete", "stream"])
    def test_the_name_of_a_model_never_changes_the_path(self, chat, upstream, model, how):
        upstream.forget()
        run(chat, how, Prompt(model, MESSAGES), a_cancellation())

        assert [bill["model"] for bill in upstream.bills()] == [model]

    @pytest.mark.parametrize("model", ["rst-at-end"])
    def test_an_answer_with_its_reason_for_the_end_is_whole(self, chat, model):
        assert streamed(chat, model)[1].finish == "stop"

    @pytest.mark.parametrize(
        ("model", "finish"),
        [
            ("finish-MAX_TOKENS", "length"),
            ("finish-SAFETY", "content_filter"),
            ("finish-RECITATION", "content_filter"),
            ("finish-BLOCKLIST", "content_filter"),
            ("finish-PROHIBITED_CONTENT", "content_filter"),
            ("finish-OTHER", "content_filter"),
            ("tools", "tool_calls"),
        ],
    )
    def test_the_reason_for_the_end_is_told_in_our_words(self, chat, model, finish):
        deltas, closing = streamed(chat, model)

        assert closing.finish == finish == completed(chat, model).finish
        assert deltas[-1].choices[0]["finish_reason"] == finish

    @pytest.mark.parametrize("how", ["complete", "stream"])
    @pytest.mark.parametrize(
        ("model", "error"),
        [
            ("finish-MALFORMED_FUNCTION_CALL", provider_errors.UpstreamFailed),
            ("finish-MISSING_THOUGHT_SIGNATURE", provider_errors.UpstreamRejected),
            ("blocked", provider_errors.ContentFiltered),
            ("403", provider_errors.UpstreamForbidden),
        ],
    )
    def test_its_own_failures_have_their_names(self, chat, how, model, error):
        with pytest.raises(provider_errors.ProviderError) as caught:
            run(chat, how, Prompt(model, MESSAGES), a_cancellation())

        assert isinstance(caught.value, error)

    @pytest.mark.parametrize("how", ["complete", "stream"])
    def test_a_blocked_prompt_that_was_counted_leaves_its_count(self, chat, how):
        cancellation = a_cancellation()
        with pytest.raises(provider_errors.ContentFiltered):
            run(chat, how, Prompt("blocked", MESSAGES), cancellation)

        assert cancellation.counted.input > 0

    @pytest.mark.parametrize(("model", "wait"), [("quota", 7), ("429-ra-9", 9), ("503", None)])
    def test_the_wait_is_what_the_provider_said(self, chat, model, wait):
        with pytest.raises(provider_errors.ProviderError) as caught:
            run(chat, "complete", Prompt(model, MESSAGES), a_cancellation())

        assert caught.value.retry_after == wait

    @pytest.mark.parametrize("how", ["complete", "stream"])
    def test_our_key_is_in_no_error(self, chat, how):
        with pytest.raises(provider_errors.ProviderError) as caught:
            run(chat, how, Prompt("key-echo-400", MESSAGES), a_cancellation())

        assert KEY[:8] not in f"{caught.value} {caught.value.message} {caught.value.param}"

    def test_calls_without_an_id_get_one_and_keep_their_signature(self, chat):
        deltas, _ = streamed(chat, "tools")
        message = completed(chat, "tools").choices[0]["message"]
        delta = deltas[0].choices[0]["delta"]

        assert delta["tool_calls"][0]["id"] == message["tool_calls"][0]["id"] != ""
        assert delta["reasoning_details"] == [{**message["reasoning_details"][0], "index": 0}]
        assert message["reasoning_details"] == [
            {"type": "thought_signature", "signature": SIGNATURE, "tool_call_id": message["tool_calls"][0]["id"]}
        ]

    def test_further_choices_are_candidates(self, chat):
        deltas, _ = streamed(chat, "ok", n=2)

        assert {choice["index"] for delta in deltas for choice in delta.choices} == {0, 1}
        assert len(completed(chat, "ok", n=2).choices) == 2
        assert text_of(deltas) == completed(chat, "ok", n=2).text


def test_texts_become_vectors_in_their_order_however_many_requests_that_takes(link, upstream):
    upstream.forget()
    texts = ["x" * count for count in range(150)]
    made = (
        wire_of(PROFILE)
        .embedder(PROFILE, link)
        .embed(EmbeddingPrompt("gemini-embedding-2", texts, dimensions=2, request_id="req_vectors"), a_cancellation())
    )

    assert [struct.unpack("<2f", vector) for vector in made.vectors] == [(float(count), 0.5) for count in range(150)]
    assert made.usage.input == 149
    sent = [bill["payload"]["requests"] for bill in upstream.bills()]
    assert [len(requests) for requests in sent] == [100, 50]
    assert json.dumps(sent[1][0]) == json.dumps(
        {
            "model": "models/gemini-embedding-2",
            "outputDimensionality": 2,
            "content": {"parts": [{"text": "x" * 100}]},
        }
    )

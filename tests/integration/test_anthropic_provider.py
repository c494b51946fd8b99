"""Anthropic's wire over real sockets, against a server that speaks it."""

import pytest

from adapters.ai.deadlines import Deadlines
from adapters.ai.profile import Link
from adapters.ai.providers.anthropic import PROFILE
from adapters.ai.transport import Transport
from adapters.ai.wires import wire_of
from domain import provider_errors
from domain.completion import Prompt
from tests.contracts.chat_model import (
    MESSAGES,
    WireContract,
    a_cancellation,
    collect,
    completed,
    run,
    streamed,
    text_of,
)
from tests.fakes import RecordingRecorder
from tests.servers.scripted_anthropic import SIGNATURE
from tests.servers.scripted_provider import ScriptedProvider

DEADLINES = Deadlines(connect=1, headers=0.8, first_token=1.5, idle=0.8, heartbeat=0.2)
KEY = "sk-ant-upstream-0123456789"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    provider = ScriptedProvider(tmp_path_factory.mktemp("anthropic")).run()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def transport(upstream):
    transport = Transport(upstream.root, DEADLINES)
    yield transport
    transport.close()


class TestAnthropic(WireContract):
    @pytest.fixture
    def chat(self, transport):
        return wire_of(PROFILE).chat(PROFILE, Link(transport, KEY, RecordingRecorder(), DEADLINES.heartbeat))

    def test_the_credential_the_version_and_the_request_id_go_along(self, chat, upstream):
        upstream.forget()
        completed(chat, "ok")

        assert upstream.bill("req_ok")["headers"].items() >= {
            ("x-api-key", KEY),
            ("anthropic-version", "2023-06-01"),
            ("x-request-id", "req_ok"),
        }
        assert "authorization" not in upstream.bill("req_ok")["headers"]

    @pytest.mark.parametrize("model", ["no-done", "rst-at-end"])
    def test_only_the_end_of_the_message_proves_an_answer(self, chat, model):
        heard = []
        with pytest.raises((provider_errors.UpstreamTruncated, provider_errors.UpstreamReset)):
            collect(chat.stream(Prompt(model, MESSAGES), a_cancellation()), heard)

        assert text_of(heard).startswith("word1")
        assert not any(choice["finish_reason"] for delta in heard for choice in delta.choices)

    @pytest.mark.parametrize(
        ("model", "finish"),
        [
            ("stop-stop-sequence", "stop"),
            ("stop-max-tokens", "length"),
            ("stop-model-context-window-exceeded", "length"),
            ("stop-pause-turn", "length"),
            ("stop-refusal", "content_filter"),
            ("tools", "tool_calls"),
        ],
    )
    def test_the_reason_for_the_end_is_told_in_our_words(self, chat, model, finish):
        deltas, closing = streamed(chat, model)

        assert closing.finish == finish == completed(chat, model).finish
        assert deltas[-1].choices[0]["finish_reason"] == finish

    def test_the_stop_text_that_ended_an_answer_is_told(self, chat):
        deltas, _ = streamed(chat, "stop-stop-sequence")

        assert deltas[-1].choices[0]["stop_sequence"] == "END"
        assert completed(chat, "stop-stop-sequence").choices[0]["stop_sequence"] == "END"

    def test_reasoning_comes_with_what_proves_it(self, chat):
        deltas, _ = streamed(chat, "reasoning")
        details = [detail for delta in deltas for detail in delta.choices[0]["delta"].get("reasoning_details", ())]
        message = completed(chat, "reasoning").choices[0]["message"]

        assert details == [{"type": "thinking", "index": 0, "signature": SIGNATURE}]
        assert message["reasoning_content"] == "Let me think."
        assert message["reasoning_details"] == [
            {"type": "thinking", "thinking": "Let me think.", "signature": SIGNATURE}
        ]

    def test_pings_are_silence_and_no_loss(self, transport):
        recorder = RecordingRecorder()
        chat = wire_of(PROFILE).chat(PROFILE, Link(transport, KEY, recorder, DEADLINES.heartbeat))

        assert text_of(streamed(chat, "pings")[0]).startswith("word1")
        assert recorder.facts == []

    def test_what_fails_before_the_first_text_fails_before_any_delta(self, chat):
        heard = []
        with pytest.raises(provider_errors.UpstreamOverloaded):
            collect(chat.stream(Prompt("overloaded-first", MESSAGES), a_cancellation()), heard)

        assert [delta for delta in heard if delta] == []

    @pytest.mark.parametrize("how", ["complete", "stream"])
    @pytest.mark.parametrize(
        ("model", "error"),
        [("413", provider_errors.UpstreamRejected), ("billing", provider_errors.UpstreamAuth)],
    )
    def test_its_own_failures_have_their_names(self, chat, how, model, error):
        with pytest.raises(error):
            run(chat, how, Prompt(model, MESSAGES), a_cancellation())

    @pytest.mark.parametrize(("model", "wait"), [("429-ra-7", 7), ("529-ra-3", 3), ("429-ra-abc", 1)])
    def test_the_wait_is_what_the_provider_said(self, chat, model, wait):
        with pytest.raises(provider_errors.ProviderError) as caught:
            run(chat, "complete", Prompt(model, MESSAGES), a_cancellation())

        assert caught.value.retry_after == wait

    @pytest.mark.parametrize("how", ["complete", "stream"])
    def test_our_key_is_in_no_error(self, chat, how):
        with pytest.raises(provider_errors.ProviderError) as caught:
            run(chat, how, Prompt("key-echo-400", MESSAGES), a_cancellation())

        assert KEY[:10] not in f"{caught.value} {caught.value.message} {caught.value.param}"

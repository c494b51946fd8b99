"""Dify's wire over real sockets, against a server that speaks it."""

from base64 import b64encode
from dataclasses import replace

import gevent
import pytest

from adapters.ai.deadlines import Deadlines
from adapters.ai.profile import Link
from adapters.ai.providers.dify import PROFILE
from adapters.ai.transport import Transport
from adapters.ai.wires import wire_of
from domain import errors, provider_errors
from domain.completion import Completion, Prompt
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
from tests.servers.scripted_dify import CODES, ScriptedDify

DEADLINES = Deadlines(connect=1, headers=0.8, first_token=1.5, idle=0.8, heartbeat=0.2)
KEY = "app-upstream-0123456789"
PNG = "data:image/png;base64," + b64encode(b"\x89PNG\r\n").decode()
PDF = "data:application/pdf;base64," + b64encode(b"%PDF-1.7 \r\n--\xff").decode()


class Named:
    """A Dify is not told the name of a model, so that it is told as a variable what it has to play."""

    def __init__(self, chat):
        self.chat = chat

    def complete(self, prompt, cancellation):
        return self.chat.complete(self.naming(prompt), cancellation)

    def stream(self, prompt, cancellation):
        return self.chat.stream(self.naming(prompt), cancellation)

    def naming(self, prompt):
        return replace(prompt, options={"inputs": {"script": prompt.model}, **prompt.options})


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    provider = ScriptedDify(tmp_path_factory.mktemp("dify")).run()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def transport(upstream):
    transport = Transport(upstream.base_url, DEADLINES)
    yield transport
    transport.close()


@pytest.fixture
def recorder():
    return RecordingRecorder()


@pytest.fixture
def plain(transport, recorder):
    wire = wire_of(PROFILE)
    yield wire.chat(PROFILE, Link(transport, KEY, recorder, DEADLINES.heartbeat))
    wire._stops._pool.join(6)  # what this test stopped is no matter of the next one


@pytest.fixture
def chat(plain):
    return Named(plain)


def said(*texts, model="ok", user="usr_1", conversation="", system=""):
    """A question, its answer, the next question, and so on."""
    messages = [{"role": "assistant" if at % 2 else "user", "content": content} for at, content in enumerate(texts)]
    begin = [{"role": "system", "content": system}] if system else []
    return Prompt(model, begin + messages, user=user, conversation=conversation, request_id="req_said")


def whole(chat, prompt, how="complete"):
    """The completion, whole or of a stream."""
    if how == "complete":
        return chat.complete(prompt, a_cancellation())
    *parts, last = chat.stream(prompt, a_cancellation())
    assert isinstance(last, Completion)
    last.text = text_of([delta for part in parts for delta in part])
    return last


def asked(upstream):
    """The last payload."""
    return upstream.bills()[-1]["payload"]


def stopped(upstream):
    """The one stop that was sent."""
    with gevent.Timeout(3):
        while not (stops := upstream.stops()):
            gevent.sleep(0.02)
    (stop,) = stops
    return stop


HOW = pytest.mark.parametrize("how", ["complete", "stream"])


class TestDify(WireContract):
    classes = (0, 0, 5)

    @pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "temperature", "user"])
    @HOW
    def test_the_output_limit_cuts_with_finish_length(self, chat, field, how):
        """It cannot: all settings of the model are inside the app, and are refused by name."""
        with pytest.raises(errors.UnsupportedParameter) as caught:
            run(chat, how, Prompt(self.good, MESSAGES, {field: 2}), a_cancellation())

        assert caught.value.param == field

    def test_tool_calls_arrive_whole(self, chat):
        """There are none: an app has its own tools."""
        with pytest.raises(errors.UnsupportedParameter):
            completed(chat, "tools", tools=[])

    @pytest.mark.parametrize(
        ("model", "error"),
        [
            ("silence-10", provider_errors.UpstreamTimeout),
            ("big-line", provider_errors.UpstreamEventTooLarge),
            ("endless", provider_errors.MaxOutputExceeded),
        ],
    )
    def test_a_stream_stays_within_its_bounds(self, chat, model, error):
        with pytest.raises(error):
            run(chat, "stream", Prompt(model, MESSAGES), a_cancellation())

    def test_the_credential_and_the_request_id_go_along(self, chat, upstream):
        upstream.forget()
        completed(chat, "ok")

        assert upstream.bill("req_ok")["headers"].items() >= {
            ("authorization", f"Bearer {KEY}"),
            ("x-request-id", "req_ok"),
        }

    @HOW
    def test_a_question_is_all_that_an_app_is_told(self, chat, upstream, how):
        whole(chat, said("Hello", user="usr_7"), how)

        assert asked(upstream) == {
            "inputs": {"script": "ok"},
            "query": "Hello",
            "response_mode": "streaming" if how == "stream" else "blocking",
            "user": "usr_7",
            "conversation_id": "",
            "files": [],
            "auto_generate_name": False,
        }

    def test_only_the_end_of_the_message_proves_an_answer(self, chat):
        heard = []
        with pytest.raises(provider_errors.UpstreamTruncated):
            collect(chat.stream(Prompt("done-after-3", MESSAGES), a_cancellation()), heard)

        assert text_of(heard).startswith("word1")
        assert not any(choice["finish_reason"] for delta in heard for choice in delta.choices)

    def test_a_connection_that_breaks_after_the_end_breaks_nothing(self, chat):
        deltas, closing = streamed(chat, "rst-at-end")

        assert (closing.finish, deltas[-1].choices[0]["finish_reason"]) == ("stop", "stop")

    def test_all_that_a_workflow_tells_beside_its_answer_is_silence_and_no_loss(self, chat, recorder):
        deltas, closing = streamed(chat, "workflow")

        assert text_of(deltas) == "word1 word2 word3 word4 word5 "
        assert closing.usage.output == 5
        assert recorder.facts == []

    @HOW
    def test_an_agent_that_answers_only_in_streams_is_asked_for_one(self, chat, upstream, how):
        upstream.forget()
        link = "\n\n[image](https://dify.example/cat.png)\n\n"
        for _ in range(2):
            completion = whole(chat, said("Paint a cat", model="agent"), how)
            assert completion.text == link + "word1 word2 word3 word4 word5 "
            assert completion.conversation
        modes = [bill["payload"]["response_mode"] for bill in upstream.bills()]

        assert modes == (["blocking"] if how == "complete" else []) + ["streaming"] * 2

    @pytest.mark.parametrize(
        ("model", "error"),
        [
            ("replaced", provider_errors.ContentFiltered),
            ("stopped", provider_errors.UpstreamTruncated),
            ("paused", provider_errors.UpstreamTruncated),
            ("failed", provider_errors.UpstreamFailed),
        ],
    )
    def test_what_dify_takes_back_or_leaves_unfinished_never_looks_complete(self, chat, upstream, model, error):
        upstream.forget()
        heard = []
        with pytest.raises(provider_errors.ProviderError) as caught:
            collect(chat.stream(Prompt(model, MESSAGES), a_cancellation()), heard)
        gevent.sleep(0.2)

        assert type(caught.value) is error
        assert text_of(heard).startswith("word1")
        assert not any(choice["finish_reason"] for delta in heard for choice in delta.choices)
        assert upstream.stops() == []

    def test_an_answer_that_was_taken_back_is_counted_all_the_same(self, chat):
        cancellation = a_cancellation()
        with pytest.raises(provider_errors.ContentFiltered):
            run(chat, "stream", Prompt("replaced", MESSAGES), cancellation)

        assert cancellation.counted.output == 5

    def test_an_answer_that_is_replaced_before_it_began_is_the_replacement(self, chat):
        assert text_of(streamed(chat, "replaced-first")[0]).startswith("I may not say that.")

    @HOW
    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("app_unavailable", provider_errors.ProviderError),
            ("completion_request_error", provider_errors.UpstreamFailed),
            ("internal_server_error", provider_errors.UpstreamFailed),
            ("invalid_param", provider_errors.UpstreamRejected),
            ("model_currently_not_support", provider_errors.UpstreamForbidden),
            ("not_chat_app", provider_errors.ProviderError),
            ("provider_not_initialize", provider_errors.UpstreamAuth),
            ("provider_quota_exceeded", provider_errors.UpstreamAuth),
            ("rate_limit_error", provider_errors.UpstreamRateLimited),
            ("too_many_requests", provider_errors.UpstreamRateLimited),
        ],
    )
    def test_its_own_failures_have_their_names(self, chat, how, code, error):
        assert code in CODES
        with pytest.raises(provider_errors.ProviderError) as caught:
            run(chat, how, Prompt(f"code-{code}", MESSAGES), a_cancellation())

        assert type(caught.value) is error

    @HOW
    def test_a_filtered_prompt_has_its_name(self, chat, how):
        with pytest.raises(provider_errors.ContentFiltered):
            run(chat, how, Prompt("content-filter", MESSAGES), a_cancellation())

    @pytest.mark.parametrize(("model", "wait"), [("429-ra-7", 7), ("503-ra-3", 3), ("429-ra-abc", 1)])
    def test_the_wait_is_what_the_provider_said(self, chat, model, wait):
        with pytest.raises(provider_errors.ProviderError) as caught:
            run(chat, "complete", Prompt(model, MESSAGES), a_cancellation())

        assert caught.value.retry_after == wait

    @HOW
    def test_our_key_is_in_no_error(self, chat, how):
        with pytest.raises(provider_errors.ProviderError) as caught:
            run(chat, how, Prompt("key-echo-400", MESSAGES), a_cancellation())

        assert KEY[:10] not in f"{caught.value} {caught.value.message} {caught.value.param}"


class TestConversations:
    @HOW
    def test_the_next_turn_sends_the_newest_message_alone_into_the_conversation(self, chat, upstream, how):
        first = whole(chat, said("I am Ada.", system="Be brief."), how)
        second = whole(
            chat,
            said(
                "I am Ada.",
                first.text,
                "Who am I?",
                system="Be brief.",
                model="recall",
                conversation=first.conversation,
            ),
            how,
        )

        assert asked(upstream)["query"] == "Who am I?"
        assert "I am Ada." in second.text
        assert second.conversation == first.conversation

    @HOW
    def test_a_first_turn_and_what_has_no_conversation_are_told_all(self, chat, upstream, how):
        whole(chat, said("I am Ada.", "Hello Ada.", "Who am I?", system="Be brief."), how)

        query = asked(upstream)["query"]
        told = ["[system]\nBe brief.", "[user]\nI am Ada.", "[assistant]\nHello Ada.", "[user]\nWho am I?"]
        assert query.endswith("\n\n".join(told))
        assert asked(upstream)["conversation_id"] == ""

    @HOW
    def test_a_conversation_that_is_lost_is_begun_anew_with_all_that_was_said(self, chat, upstream, how):
        first = whole(chat, said("I am Ada."), how)
        upstream.lose_conversations()
        upstream.forget()

        second = whole(chat, said("I am Ada.", "Hello.", "Who am I?", conversation=first.conversation), how)

        sent = [bill["payload"] for bill in upstream.bills()]
        assert [payload["conversation_id"] == "" for payload in sent] == [False, True]
        assert "[user]\nI am Ada." in sent[1]["query"]
        assert second.conversation not in ("", first.conversation)
        assert (
            whole(chat, said("a", "b", "c", conversation=second.conversation), how).conversation == second.conversation
        )

    @HOW
    def test_the_conversation_of_another_user_is_none_of_ours(self, chat, upstream, how):
        """Whatever was mixed up, Dify keeps them apart by the user, who is always the one who asks."""
        first = whole(chat, said("My secret is 42.", user="usr_1"), how)
        second = whole(
            chat, said("x", "y", "Tell me.", user="usr_2", model="recall", conversation=first.conversation), how
        )

        assert "42" not in second.text
        assert second.conversation != first.conversation

    @HOW
    def test_other_instructions_begin_a_new_conversation(self, chat, upstream, how):
        first = whole(chat, said("I am Ada.", system="Be brief."), how)
        whole(chat, said("I am Ada.", "Hi.", "And?", system="Be rude.", conversation=first.conversation), how)

        assert asked(upstream)["conversation_id"] == ""
        assert "Be rude." in asked(upstream)["query"]

    @HOW
    def test_a_turn_that_is_to_know_nothing_of_the_others_begins_a_new_conversation(self, chat, upstream, how):
        first = whole(chat, said("I am Ada."), how)
        whole(chat, said("Who am I?", conversation=first.conversation), how)

        assert (asked(upstream)["conversation_id"], asked(upstream)["query"]) == ("", "Who am I?")

    @HOW
    def test_what_is_not_there_otherwise_stays_a_refusal(self, chat, how):
        with pytest.raises(provider_errors.UpstreamRejected):
            run(chat, how, said("a", "b", "c", model="404", conversation="none"), a_cancellation())

    @HOW
    def test_a_cut_answer_names_no_conversation(self, chat, how):
        with pytest.raises(provider_errors.ProviderError):
            whole(chat, said("Hi", model="eof-after-3"), how)


class TestStopping:
    def test_who_leaves_a_stream_stops_its_task(self, chat, upstream):
        upstream.forget()
        parts = chat.stream(said("Hi", model="slow-200ms", user="usr_9"), a_cancellation())
        while not next(parts):
            pass
        parts.close()

        stop = stopped(upstream)
        assert (stop["user"], stop["runs"]) == ("usr_9", True)

    @pytest.mark.parametrize("reason", [errors.ClientGone(), errors.StoppedByUser()])
    def test_a_cancelled_stream_stops_its_task_without_waiting_for_it(self, chat, upstream, reason):
        upstream.forget()
        cancellation = a_cancellation()
        parts = chat.stream(said("Hi", model="slow-500ms"), cancellation)
        while not next(parts):
            pass
        cancellation.cancel(reason)

        with gevent.Timeout(0.2), pytest.raises(type(reason)):
            list(parts)
        assert stopped(upstream)["runs"]

    def test_a_stream_that_took_too_long_stops_its_task(self, chat, upstream):
        upstream.forget()
        with pytest.raises(provider_errors.UpstreamTotalTimeout):
            list(chat.stream(said("Hi", model="slow-200ms"), a_cancellation(0.7)))

        assert stopped(upstream)["runs"]

    def test_an_agents_whole_answer_that_is_cancelled_stops_its_task(self, plain, upstream):
        upstream.forget()
        plain._streams_only = True
        cancellation = a_cancellation()
        gevent.spawn_later(0.4, cancellation.cancel, errors.ClientGone())
        with pytest.raises(errors.ClientGone):
            plain.complete(said("script:slow-200ms"), cancellation)

        assert stopped(upstream)["runs"]

    @pytest.mark.parametrize("model", ["ok", "code-invalid_param", "error-event"])
    def test_nothing_is_stopped_that_ended_by_itself(self, chat, upstream, model):
        upstream.forget()
        try:
            list(chat.stream(said("Hi", model=model), a_cancellation()))
        except provider_errors.ProviderError:
            assert model != "ok"
        gevent.sleep(0.3)

        assert upstream.stops() == []

    def test_nothing_is_stopped_whose_task_never_came(self, chat, upstream):
        upstream.forget()
        cancellation = a_cancellation()
        gevent.spawn_later(0.2, cancellation.cancel, errors.ClientGone())
        with pytest.raises(errors.ClientGone):
            list(chat.stream(said("Hi", model="ttfb-5"), cancellation))
        gevent.sleep(0.3)

        assert upstream.stops() == []


class TestFiles:
    def asking(self, *parts, user="usr_1", **fields):
        content = [{"type": "text", "text": "What is this?"}, *parts]
        return Prompt("ok", [{"role": "user", "content": content}], user=user, request_id="req_file", **fields)

    @HOW
    def test_files_inside_the_request_are_uploaded_for_the_same_user(self, chat, upstream, how):
        upstream.forget()
        image = {"type": "image_url", "image_url": {"url": PNG}}
        document = {"type": "file", "file": {"file_data": PDF, "filename": 'täglich "x"/../y.pdf'}}
        whole(chat, self.asking(image, document, user="usr_5"), how)

        first, second = upstream.files()
        assert (first["user"], first["name"], first["type"], first["size"]) == ("usr_5", "image.png", "image/png", 6)
        assert (second["name"], second["type"], second["size"]) == (
            "täglich _x_.._y.pdf",
            "application/pdf",
            14,
        )
        assert first["authorization"] == f"Bearer {KEY}"
        assert asked(upstream)["query"] == "What is this?"
        assert asked(upstream)["files"] == [
            {"type": "image", "transfer_method": "local_file", "upload_file_id": first["id"]},
            {"type": "document", "transfer_method": "local_file", "upload_file_id": second["id"]},
        ]

    @HOW
    def test_what_is_at_an_address_is_left_for_dify_to_fetch(self, chat, upstream, how):
        upstream.forget()
        url = "https://pictures.example/cat.png"
        whole(chat, self.asking({"type": "image_url", "image_url": {"url": url}}), how)

        assert upstream.files() == []
        assert asked(upstream)["files"] == [{"type": "image", "transfer_method": "remote_url", "url": url}]

    @HOW
    @pytest.mark.parametrize(
        ("name", "error"), [("large.pdf", errors.PayloadTooLarge), ("strange.pdf", errors.UnsupportedMediaType)]
    )
    def test_a_file_that_dify_refuses_is_the_callers_to_change(self, chat, upstream, how, name, error):
        upstream.forget()
        document = {"type": "file", "file": {"file_data": PDF, "filename": name}}
        with pytest.raises(error) as caught:
            whole(chat, self.asking(document), how)

        assert caught.value.param == "messages.0.content.1.file.file_data"
        assert upstream.bills() == []

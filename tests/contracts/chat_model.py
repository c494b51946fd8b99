"""What every `ChatModel` keeps, whatever is behind it."""

from collections.abc import Iterator
from time import monotonic

import gevent
import pytest

from application.cancellation import Cancellation
from application.model_ports import ChatModel
from domain import errors, provider_errors
from domain.completion import Completion, Delta, Prompt
from domain.usage import Source
from tests.servers.program import wait_until
from tests.servers.scripted_provider import ScriptedProvider

MESSAGES = [{"role": "user", "content": "one two three four five six seven eight"}]
Heard = tuple[list[Delta], Completion]


def a_cancellation(seconds: float = 20) -> Cancellation:
    return Cancellation(seconds, monotonic)


def streamed(chat: ChatModel, model: str, **options: object) -> Heard:
    """All deltas and the closing; the closing comes once and last."""
    *parts, last = chat.stream(Prompt(model, MESSAGES, options, f"req_{model}"), a_cancellation())
    assert isinstance(last, Completion)
    assert all(isinstance(part, list) for part in parts)
    return [delta for part in parts for delta in part if isinstance(delta, Delta)], last


def completed(chat: ChatModel, model: str, **options: object) -> Completion:
    return chat.complete(Prompt(model, MESSAGES, options, f"req_{model}"), a_cancellation())


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


class ChatModelContract:
    """Subclass it, name a model that answers and one that takes its time, and give it a `chat` fixture."""

    good: str
    slow: str

    def test_a_stream_closes_with_exactly_one_completion(self, chat):
        deltas, closing = streamed(chat, self.good)

        assert text_of(deltas)
        assert (closing.choices, closing.finish) == ([], "stop")

    def test_streaming_and_waiting_give_the_same_answer(self, chat):
        deltas, closing = streamed(chat, self.good)
        completion = completed(chat, self.good)

        assert completion.text == text_of(deltas) == completion.choices[0]["message"]["content"]
        assert (completion.finish, completion.usage) == (closing.finish, closing.usage)

    def test_the_provider_counts_the_tokens(self, chat):
        usage = completed(chat, self.good).usage

        assert usage.source is Source.PROVIDER
        assert usage.prompt_tokens > 0
        assert usage.completion_tokens > 0

    @pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
    def test_the_output_limit_cuts_with_finish_length(self, chat, field):
        deltas, closing = streamed(chat, self.good, **{field: 2})

        assert closing.finish == "length"
        assert closing.usage.completion_tokens <= 2
        assert completed(chat, self.good, **{field: 2}).text == text_of(deltas)

    @pytest.mark.parametrize("how", ["complete", "stream"])
    def test_a_call_that_is_cancelled_already_raises_the_reason(self, chat, how):
        cancellation = a_cancellation()
        cancellation.cancel(errors.StoppedByUser())

        with pytest.raises(errors.StoppedByUser):
            run(chat, how, Prompt(self.good, MESSAGES), cancellation)

    def test_a_stream_that_is_cancelled_raises_the_reason(self, chat):
        cancellation = a_cancellation()
        parts = chat.stream(Prompt(self.slow, MESSAGES), cancellation)
        next(parts)
        cancellation.cancel(errors.ClientGone())

        with pytest.raises(errors.ClientGone):
            list(parts)


class WireContract(ChatModelContract):
    """Further promises of a provider on any wire. Its `chat` talks to the fixture `upstream`, without retries."""

    good = "ok"
    slow = "slow-100ms"
    classes = (2, 3, 2)
    """Cached, reasoning and other output tokens of the model `classes`, of which it says that it wrote 5."""

    def test_tool_calls_arrive_whole(self, chat):
        deltas, closing = streamed(chat, "tools")
        calls = [call for delta in deltas for call in delta.choices[0]["delta"].get("tool_calls", ())]
        arguments = "".join(call["function"]["arguments"] for call in calls)
        (whole,) = completed(chat, "tools").choices[0]["message"]["tool_calls"]

        assert closing.finish == "tool_calls"
        assert (calls[0]["id"], arguments) == (whole["id"], whole["function"]["arguments"])

    def test_reasoning_is_not_part_of_the_text(self, chat):
        deltas, _ = streamed(chat, "reasoning")

        assert "".join(delta.reasoning for delta in deltas) == "Let me think."
        assert "think" not in text_of(deltas)

    @pytest.mark.parametrize("model", ["unicode", "comments", "crlf-split"])
    def test_the_oddities_of_servers_change_nothing(self, chat, model):
        deltas, closing = streamed(chat, model)

        assert text_of(deltas) == completed(chat, model).text
        assert closing.finish == "stop"

    def test_tokens_are_in_disjoint_classes(self, chat):
        for usage in (streamed(chat, "classes")[1].usage, completed(chat, "classes").usage):
            assert (usage.cached_input, usage.reasoning, usage.output) == self.classes

    @pytest.mark.parametrize(
        ("model", "tokens"), [("usage-twice", 5), ("zero-usage", 0), ("no-usage", None), ("absurd-usage", None)]
    )
    def test_usage_is_what_the_provider_said_last_or_nothing(self, chat, model, tokens):
        for usage in (streamed(chat, model)[1].usage, completed(chat, model).usage):
            assert (usage.completion_tokens if usage else None) == tokens

    @pytest.mark.parametrize(
        ("model", "error"),
        [
            ("eof-after-3", provider_errors.UpstreamTruncated),
            ("done-after-3", provider_errors.UpstreamTruncated),
            ("rst-after-3", provider_errors.UpstreamReset),
            ("stall-after-3", provider_errors.UpstreamIdleTimeout),
            ("error-event", provider_errors.UpstreamFailed),
            ("bad-json-events-5", provider_errors.UpstreamMalformed),
        ],
    )
    def test_a_stream_that_breaks_off_delivers_what_came_and_raises(self, chat, model, error):
        heard: list[Delta] = []
        with pytest.raises(error):
            collect(chat.stream(Prompt(model, MESSAGES), a_cancellation()), heard)

        assert text_of(heard).startswith("word1 word2 word3")

    @pytest.mark.parametrize("how", ["complete", "stream"])
    @pytest.mark.parametrize(
        ("model", "error"),
        [
            ("rst", provider_errors.UpstreamReset),
            ("close", provider_errors.UpstreamReset),
            ("ttfb-10", provider_errors.UpstreamTimeout),
            ("400", provider_errors.UpstreamRejected),
            ("404", provider_errors.UpstreamRejected),
            ("429-ra-7", provider_errors.UpstreamRateLimited),
            ("500", provider_errors.UpstreamFailed),
            ("503-ra-7", provider_errors.UpstreamOverloaded),
            ("504", provider_errors.UpstreamFailed),
            ("529", provider_errors.UpstreamOverloaded),
            ("auth", provider_errors.UpstreamAuth),
            ("context-length", provider_errors.ContextLengthExceeded),
            ("context-size", provider_errors.ContextLengthExceeded),
            ("error-as-json", provider_errors.UpstreamRejected),
            ("html", provider_errors.UpstreamBadContent),
            ("not-http", provider_errors.UpstreamBadContent),
            ("redirect", provider_errors.UpstreamRedirect),
            ("gzip", provider_errors.UpstreamTooLarge),
            ("big-head", provider_errors.UpstreamTooLarge),
        ],
    )
    def test_each_failure_has_its_name(self, chat, how, model, error):
        with pytest.raises(provider_errors.ProviderError) as caught:
            run(chat, how, Prompt(model, MESSAGES), a_cancellation())

        assert type(caught.value) is error
        assert "sk-upstream" not in caught.value.message

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
            run(chat, "stream", Prompt(model, MESSAGES, {"max_tokens": 100}), a_cancellation())

    @pytest.mark.parametrize("model", ["bad-json", "deep-json", "eof-after-3"])
    def test_an_answer_that_is_no_json_is_told_apart(self, chat, model):
        with pytest.raises(provider_errors.UpstreamBadJson):
            completed(chat, model)

    def test_silence_is_reported_while_it_lasts(self, chat):
        parts = list(chat.stream(Prompt("silence-1", MESSAGES), a_cancellation()))

        assert parts[0] == parts[1] == []

    def test_the_total_deadline_ends_a_stream_that_never_stops_trickling(self, chat):
        with pytest.raises(provider_errors.UpstreamTotalTimeout):
            run(chat, "stream", Prompt("drip", MESSAGES), a_cancellation(0.7))

    @pytest.mark.parametrize(
        ("how", "model"), [("complete", "ttfb-10"), ("stream", "ttfb-10"), ("stream", "slow-9000ms")]
    )
    def test_cancelling_wakes_the_caller_and_closes_the_upstream_at_once(self, chat, upstream, how, model):
        request_id = f"req_cancel_{how}_{model}_{id(chat)}"
        cancellation = a_cancellation()
        gevent.spawn_later(0.3, cancellation.cancel, errors.ClientGone())

        with gevent.Timeout(1.0), pytest.raises(errors.ClientGone):
            run(chat, how, Prompt(model, MESSAGES, {}, request_id), cancellation)
        # On a busy machine the request may reach the provider only now.
        wait_until(lambda: upstream.ended(request_id) == "client_gone", 3, "upstream closed")

    def test_leaving_a_stream_closes_the_upstream(self, chat, upstream):
        request_id = f"req_left_{id(chat)}"
        parts = chat.stream(Prompt("slow-200ms", MESSAGES, {}, request_id), a_cancellation())
        next(parts)
        parts.close()

        # On a busy machine the request may reach the provider only now.
        wait_until(lambda: upstream.ended(request_id) == "client_gone", 3, "upstream closed")


class OpenAIWireContract(WireContract):
    """What is OpenAI's wire's own."""

    def test_log_probabilities_and_further_choices_pass_through(self, chat):
        deltas, _ = streamed(chat, "logprobs", n=2)

        assert {choice["index"] for delta in deltas for choice in delta.choices} == {0, 1}
        assert any(choice["logprobs"] for delta in deltas for choice in delta.choices)
        assert len(completed(chat, "logprobs", n=2).choices) == 2

    @pytest.mark.parametrize("model", ["no-role", "null-content", "no-done", "rst-at-end"])
    def test_the_oddities_of_servers_of_this_wire_change_nothing(self, chat, model):
        deltas, closing = streamed(chat, model)

        assert text_of(deltas) == completed(chat, model).text
        assert closing.finish == "stop"

    @pytest.mark.parametrize("how", ["complete", "stream"])
    def test_a_filtered_prompt_has_its_name(self, chat, how):
        with pytest.raises(provider_errors.ContentFiltered):
            run(chat, how, Prompt("content-filter", MESSAGES), a_cancellation())

    def test_every_option_reaches_the_provider_unchanged_and_alone(self, chat, upstream, profile):
        """A recorded conversation cannot show this: it keeps matching after a field is no longer sent."""
        plain = payload(chat, upstream, f"req_probe_{id(chat)}", {})
        for option in sorted(profile.options):
            value = 1 if option == "n" else 9 if option.startswith("max_") else {"probe": option}
            name = (profile.max_tokens_field or option) if option.startswith("max_") else option
            name = profile.quirks.renames.get(name, name)

            got = payload(chat, upstream, f"req_probe_{option}_{id(chat)}", {option: value})

            assert {key: got[key] for key in got.keys() - plain.keys()} == {name: value}
            assert {key: got[key] for key in plain} == plain


def run(chat: ChatModel, how: str, prompt: Prompt, cancellation: Cancellation) -> None:
    if how == "complete":
        chat.complete(prompt, cancellation)
    else:
        for _ in chat.stream(prompt, cancellation):
            pass


def collect(parts: Iterator[list[Delta] | Completion], heard: list[Delta]) -> None:
    for part in parts:
        heard += part if isinstance(part, list) else []


def payload(chat: ChatModel, upstream: ScriptedProvider, request_id: str, options: dict) -> dict:
    """What the provider received for a call with these options."""
    chat.complete(Prompt("ok", MESSAGES, options, request_id), a_cancellation())
    return upstream.bill(request_id)["payload"]

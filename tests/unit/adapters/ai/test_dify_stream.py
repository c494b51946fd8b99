import json

import pytest

from adapters.ai.dify_stream import StreamDecoder, Task
from adapters.ai.providers.dify import PROFILE
from domain import provider_errors
from domain.completion import Delta, Prompt
from domain.usage import Source, Usage

PROMPT = Prompt("app", [{"role": "user", "content": "Hello"}])
COUNTED = {"metadata": {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}}


class Stream:
    def __init__(self):
        self.task = Task()
        self.decoder = StreamDecoder(PROMPT, PROFILE, self.task)

    def hear(self, *events):
        return self.decoder.feed(
            [json.dumps({"task_id": "t-1", "conversation_id": "c-1", **it}).encode() for it in events]
        )


@pytest.fixture
def stream():
    return Stream()


def message(text, event="message"):
    return {"event": event, "answer": text}


def end(**fields):
    return {"event": "message_end", **COUNTED, **fields}


def test_a_whole_stream_closes_with_its_count_and_its_conversation(stream):
    deltas = stream.hear({"event": "workflow_started"}, message("po"), message("ng"), end())
    closing = stream.decoder.close()

    assert deltas == [
        Delta([{"index": 0, "delta": {"role": "assistant", "content": "po"}, "finish_reason": None}], "po"),
        Delta([{"index": 0, "delta": {"content": "ng"}, "finish_reason": None}], "ng"),
        Delta([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
    ]
    assert closing.usage == stream.decoder.counted == Usage(3, output=2, source=Source.PROVIDER)
    assert (closing.choices, closing.text, closing.finish, closing.model) == ([], "", "stop", "app")
    assert closing.conversation.startswith("c-1~")
    assert (stream.task.id, stream.task.over) == ("t-1", True)


def test_nothing_after_the_end_of_the_message_counts(stream):
    deltas = stream.hear(
        message("a"), end(), {"event": "workflow_finished", "data": {"status": "stopped"}}, message("b")
    )

    assert "".join(delta.text for delta in deltas) == "a"
    assert stream.decoder.close().finish == "stop"


@pytest.mark.parametrize("metadata", [None, {}, {"usage": {"total_tokens": 9}}])
def test_a_count_that_is_missing_is_none(stream, metadata):
    stream.hear(message("a"), end(metadata=metadata))

    assert stream.decoder.close().usage is None


def test_an_answer_without_any_text_is_whole_as_well(stream):
    (delta,) = stream.hear(end())

    assert delta.choices[0]["delta"] == {"role": "assistant"}
    assert stream.decoder.close().finish == "stop"


def test_an_agents_text_is_text_and_what_it_thinks_and_its_tools_say_is_not(stream):
    thought = {"event": "agent_thought", "thought": "Hello", "observation": "secret", "tool": "t"}
    deltas = stream.hear(thought, message("Hello", "agent_message"), thought, end())

    assert "".join(delta.text + delta.reasoning for delta in deltas) == "Hello"
    assert stream.decoder.unknown == 0


def test_a_chain_of_thought_is_reasoning(stream):
    deltas = stream.hear(
        {"event": "reasoning_chunk", "data": {"reasoning": "Hm."}},
        {"event": "reasoning_chunk", "data": {"reasoning": "", "is_final": True}},
        message("Yes."),
    )

    assert [(delta.text, delta.reasoning) for delta in deltas] == [("", "Hm."), ("Yes.", "")]
    assert deltas[0].choices[0]["delta"] == {"role": "assistant", "reasoning_content": "Hm."}


@pytest.mark.parametrize(("kind", "named"), [("image", "image"), ("document", "file"), (None, "file")])
def test_a_file_that_a_tool_made_is_a_link(stream, kind, named):
    (delta,) = stream.hear(
        {"event": "message_file", "type": kind, "belongs_to": "assistant", "url": "https://x.example/a?b=1"}
    )

    assert delta.text == f"\n\n[{named}](https://x.example/a?b=1)\n\n"


@pytest.mark.parametrize(
    "url", ["/files/a.png", "javascript:alert(1)", "https://x.example/a) [b](c", "", None, "https://" + "x" * 3000]
)
def test_an_address_that_is_none_is_no_link_and_is_counted(stream, url):
    assert stream.hear({"event": "message_file", "belongs_to": "assistant", "url": url}) == []
    assert stream.decoder.unknown == 1


def test_the_users_own_file_is_not_told_back(stream):
    assert stream.hear({"event": "message_file", "belongs_to": "user", "url": "https://x.example/a"}) == []


def test_text_that_was_relayed_and_is_replaced_makes_the_answer_void_once_it_is_counted(stream):
    deltas = stream.hear(message("bad"), {"event": "message_replace", "answer": "good"}, message("more"))
    assert [delta.text for delta in deltas] == ["bad"]
    assert stream.decoder.failure is None

    assert stream.hear(end()) == []
    assert stream.decoder.counted == Usage(3, output=2, source=Source.PROVIDER)
    with pytest.raises(provider_errors.ContentFiltered):
        stream.decoder.close()


def test_a_stream_that_ends_after_a_replacement_is_not_whole(stream):
    stream.hear(message("bad"), {"event": "message_replace", "answer": "good"})

    with pytest.raises(provider_errors.UpstreamTruncated):
        stream.decoder.close()


def test_nothing_is_said_after_the_text_is_void(stream):
    stream.hear(message("bad"), {"event": "message_replace", "answer": "good"})

    assert (
        stream.hear(
            {"event": "reasoning_chunk", "data": {"reasoning": "Hm."}},
            {"event": "message_file", "belongs_to": "assistant", "url": "https://x.example/a"},
        )
        == []
    )


def test_a_replacement_of_nothing_is_the_answer(stream):
    deltas = stream.hear({"event": "message_replace", "answer": "I may not."}, end())

    assert "".join(delta.text for delta in deltas) == "I may not."
    assert stream.decoder.close().finish == "stop"


@pytest.mark.parametrize(
    ("events", "error", "over"),
    [
        ([], provider_errors.UpstreamTruncated, False),
        ([{"event": "workflow_finished", "data": {"status": "succeeded"}}], provider_errors.UpstreamTruncated, False),
        (
            [{"event": "workflow_finished", "data": {"status": "stopped"}}, end()],
            provider_errors.UpstreamTruncated,
            True,
        ),
        ([{"event": "workflow_paused"}], provider_errors.UpstreamTruncated, True),
        ([{"event": "error", "status": 500, "code": "x", "message": "y"}], provider_errors.UpstreamFailed, True),
        ([{"event": "error", "status": 400, "code": "invalid_param"}], provider_errors.UpstreamRejected, True),
    ],
)
def test_only_the_end_of_the_message_proves_a_whole_answer(stream, events, error, over):
    deltas = stream.hear(message("a"), *events)

    with pytest.raises(error):
        stream.decoder.close()
    assert not any(choice["finish_reason"] for delta in deltas for choice in delta.choices)
    assert stream.task.over is over


def test_a_workflow_of_which_a_part_failed_still_answers(stream):
    stream.hear(message("a"), {"event": "workflow_finished", "data": {"status": "partial-succeeded"}}, end())

    assert stream.decoder.close().finish == "stop"


def test_known_events_without_text_are_no_loss_and_others_are_counted(stream):
    known = [
        "ping",
        "node_started",
        "node_finished",
        "tts_message",
        "tts_message_end",
        "iteration_next",
        "loop_started",
    ]
    stream.hear(*({"event": event} for event in known))
    assert stream.decoder.unknown == 0

    stream.hear({"event": "execute"}, {"answer": "x"}, {"event": 7})
    assert stream.decoder.unknown == 3


@pytest.mark.parametrize("event", [message(7), message(None), message(""), {"event": "reasoning_chunk", "data": 7}])
def test_an_event_of_another_shape_says_nothing(stream, event):
    assert stream.hear(event) == []


def test_an_endless_answer_is_cut_and_can_be_stopped(stream):
    stream.hear(*(message("x" * 1_000_000) for _ in range(5)))

    assert type(stream.decoder.failure) is provider_errors.MaxOutputExceeded
    assert (stream.task.id, stream.task.over) == ("t-1", False)

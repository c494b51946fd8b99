from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.context import Window, assemble, outgrown
from domain.errors import ContextOverflow, InvalidRequest
from domain.session import SessionConfig, Strategy, Summary
from tests.builders import NOW, a_history, a_session

SUMMARY = Summary("sess_1", 2, 2, "They said hello.", NOW)


def a_long_session(count: int, context: Strategy = Strategy.SUMMARY, **config: object):
    return a_session(message_count=count, config=SessionConfig(context=context, **config))


def test_a_summary_stands_for_what_it_covers():
    context = assemble(a_long_session(4), a_history("one", "two", "three", "four"), "five", Window(None), SUMMARY)

    assert [message["content"] for message in context.messages][1:] == ["three", "four", "five"]
    assert context.messages[0] == {
        "role": "system",
        "content": "Summary of the earlier conversation, for your information:\nThey said hello.",
    }
    assert (context.summarized_messages, context.dropped_messages) == (2, 0)


def test_a_system_prompt_and_a_summary_are_one_message():
    session = a_long_session(2, system_prompt="Be brief.")
    context = assemble(session, a_history("one", "two"), "three", Window(None), SUMMARY)

    assert [message["role"] for message in context.messages] == ["system", "user"]
    assert context.messages[0]["content"].startswith("Be brief.\n\nSummary of")


def test_what_neither_fits_nor_is_summarised_is_told():
    session = a_long_session(6, history=2)
    context = assemble(session, a_history(*"123456"), "seven", Window(None), SUMMARY)

    assert (context.summarized_messages, context.dropped_messages) == (2, 2)


def test_a_session_that_wants_it_is_refused_what_does_not_fit():
    session = a_long_session(4, Strategy.ERROR, history=2)

    with pytest.raises(ContextOverflow, match="2 messages"):
        assemble(session, a_history("one", "two", "three", "four"), "five", Window(None))


def test_a_session_that_wants_an_error_goes_on_while_everything_fits():
    session = a_long_session(2, Strategy.ERROR)

    assert assemble(session, a_history("one", "two"), "three", Window(None)).dropped_messages == 0


def test_tokens_are_counted_as_the_window_counts_them():
    context = assemble(a_session(), [], "one two", Window(None, lambda text: len(text.split()), "words"))

    assert (context.tokens, context.method) == (2 + 4, "words")


# ── what a summary has to take in ────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_outgrown_while_everything_fits():
    assert outgrown(a_long_session(2), a_history("one", "two"), "three", Window(None), None) == []


def test_a_summary_takes_in_more_than_does_not_fit_this_time():
    history = a_history(*(str(number) for number in range(10)))

    taken = outgrown(a_long_session(10, history=4), history, "next", Window(None), None)

    assert [message.content for message in taken] == [str(number) for number in range(8)], "two of four stay"


def test_what_a_summary_covers_is_not_taken_in_again():
    history = a_history(*(str(number) for number in range(10)))

    taken = outgrown(a_long_session(10, history=4), history, "next", Window(None), SUMMARY)

    assert [message.seq for message in taken] == list(range(3, 9))


def test_a_question_that_does_not_fit_is_not_summarised_for():
    assert outgrown(a_long_session(2), a_history("one", "two"), "word " * 10_000, Window(1_000), None) == []


def test_an_answer_is_taken_in_with_its_question():
    history = a_history(*(str(number) for number in range(10)))

    taken = outgrown(a_long_session(10, history=3), history, "next", Window(None), None)

    assert [message.content for message in taken] == [str(number) for number in range(10)]


def test_a_summary_that_leaves_no_room_for_the_question_is_left_out_and_another_would_not_help():
    session, history = a_long_session(4), a_history("one", "two", "three", "four")
    long = replace(SUMMARY, text="word " * 400)

    context = assemble(session, history, "five", Window(500), long)

    assert [message["content"] for message in context.messages] == ["one", "two", "three", "four", "five"]
    assert (context.summarized_messages, context.dropped_messages) == (0, 0)
    assert outgrown(session, history, "five", Window(500), long) == []
    with pytest.raises(InvalidRequest):
        assemble(session, history, "five" * 1_000, Window(500), long)


def test_what_was_too_much_for_the_summary_is_told_as_dropped():
    partial = replace(SUMMARY, seq=4, messages=1)

    context = assemble(a_long_session(6), a_history(*"123456"), "seven", Window(None), partial)

    assert (context.summarized_messages, context.dropped_messages, len(context.messages)) == (1, 3, 4)


@given(st.lists(st.text("ab ", max_size=200), max_size=10), st.integers(200, 2_000))
def test_the_tokens_that_are_told_are_those_of_what_is_sent(texts: list[str], size: int):
    window = Window(size)

    context = assemble(a_long_session(len(texts)), a_history(*texts), "next", window)

    assert context.tokens == sum(window.tokens(message["content"]) for message in context.messages)


@given(st.lists(st.text("ab ", max_size=200), max_size=30), st.integers(200, 900), st.integers(0, 30))
def test_after_a_summary_nothing_is_lost(texts: list[str], size: int, history: int):
    messages = a_history(*texts)
    session = a_long_session(len(messages), history=history)
    taken = outgrown(session, messages, "next", Window(size), None)
    summary = Summary("sess_1", taken[-1].seq, len(taken), "S", NOW) if taken else None

    context = assemble(session, messages, "next", Window(size + 50), summary)

    assert context.dropped_messages == 0
    sent = len(context.messages) - 1 - (summary is not None)
    assert context.summarized_messages + sent + context.dropped_messages == len(messages)


def test_a_strategy_that_was_stored_as_text_is_the_same():
    session = replace(a_session(message_count=2), config=SessionConfig(history=0, context="error"))  # type: ignore[arg-type]

    with pytest.raises(ContextOverflow):
        assemble(session, a_history("one", "two"), "three", Window(None))

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.context import Window, assemble
from domain.errors import InvalidRequest
from domain.session import SessionConfig, title_from
from tests.builders import a_history, a_message, a_session


def test_a_turn_sends_the_system_prompt_the_history_and_the_question():
    session = a_session(config=SessionConfig(system_prompt="Be brief."), message_count=2)

    context = assemble(session, a_history("Hello", "Hi"), "How are you?", Window(8_192))

    assert context.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "How are you?"},
    ]
    assert context.dropped_messages == 0


def test_a_first_turn_sends_the_question_alone():
    context = assemble(a_session(), [], "Hello", Window(None))

    assert context.messages == [{"role": "user", "content": "Hello"}]
    assert context.tokens == 2 + 4


def test_a_session_may_send_no_history_at_all():
    session = a_session(config=SessionConfig(history=0), message_count=2)

    context = assemble(session, a_history("Hello", "Hi"), "How are you?", Window(None))

    assert len(context.messages) == 1
    assert context.dropped_messages == 2


def test_only_the_newest_messages_within_the_history_are_sent():
    session = a_session(config=SessionConfig(history=2), message_count=4)

    context = assemble(session, a_history("one", "two", "three", "four"), "five", Window(None))

    assert [message["content"] for message in context.messages] == ["three", "four", "five"]
    assert context.dropped_messages == 2


def test_messages_that_were_never_read_count_as_dropped():
    session = a_session(message_count=100)

    assert assemble(session, a_history("one", "two"), "three", Window(None)).dropped_messages == 98


def test_the_oldest_messages_give_way_when_the_window_is_small():
    session = a_session(config=SessionConfig(max_tokens=10), message_count=4)
    history = a_history("a" * 200, "b" * 40, "c" * 40, "d" * 40)

    context = assemble(session, history, "question", Window(60))

    assert [message["content"][0] for message in context.messages] == ["c", "d", "q"]
    assert context.dropped_messages == 2


def test_nothing_older_is_sent_behind_a_message_that_does_not_fit():
    session = a_session(config=SessionConfig(max_tokens=10), message_count=3)

    context = assemble(session, a_history("short", "long" * 100, "last"), "question", Window(100))

    assert [message["content"] for message in context.messages] == ["last", "question"]


@pytest.mark.parametrize(
    ("max_tokens", "window", "room"), [(None, 8_000, 6_000), (None, 100_000, 95_904), (1_000, 8_000, 7_000)]
)
def test_the_answer_keeps_its_room(max_tokens: int | None, window: int, room: int):
    session = a_session(config=SessionConfig(max_tokens=max_tokens))
    fits = "a" * ((room - 5) * 4)

    assert assemble(session, [], fits, Window(window)).tokens == room
    with pytest.raises(InvalidRequest):
        assemble(session, [], fits + "aaaa", Window(window))


def test_a_question_that_cannot_fit_is_refused_by_name():
    with pytest.raises(InvalidRequest, match="context window") as refusal:
        assemble(a_session(), [], "word " * 10_000, Window(1_000))

    assert refusal.value.param == "message"


@given(
    st.lists(st.text(max_size=200), max_size=12),
    st.text(max_size=100),
    st.integers(100, 2_000),
    st.integers(0, 12),
    st.none() | st.text(max_size=100),
)
def test_a_context_fits_is_in_order_and_accounts_for_every_message(
    texts: list[str], question: str, window: int, history: int, system: str | None
):
    session = a_session(config=SessionConfig(history=history, system_prompt=system), message_count=len(texts))
    recent = a_history(*texts)
    try:
        context = assemble(session, recent, question, Window(window))
    except InvalidRequest:
        return

    kept = context.messages[bool(system) : -1]
    assert context.tokens <= window
    assert context.messages[-1] == {"role": "user", "content": question}
    assert kept == [{"role": m.role, "content": m.content} for m in recent[len(texts) - len(kept) :]]
    assert len(kept) + context.dropped_messages == len(texts)
    assert len(kept) <= history


def test_only_chosen_parameters_are_sent():
    assert SessionConfig().options() == {}
    assert SessionConfig(temperature=0.0, max_tokens=5, top_p=1.0).options() == {
        "temperature": 0.0,
        "max_tokens": 5,
        "top_p": 1.0,
    }


def test_a_session_names_its_model_as_a_client_would():
    assert a_session(provider="acme", model="vendor/large").model_id == "acme/vendor/large"


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("Hello", "Hello"),
        ("  Tell me\n\nabout   it ", "Tell me about it"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("word " * 20, "word word word word word word word word word word word word…"),
        ("   ", ""),
    ],
)
def test_a_title_is_the_start_of_the_first_message_on_one_line(message: str, title: str):
    assert title_from(message) == title


@given(st.text())
def test_a_title_is_short_and_has_one_line(message: str):
    title = title_from(message)

    assert len(title) <= 60
    assert len(title.splitlines()) <= 1


def test_a_message_is_complete_unless_it_says_otherwise():
    assert a_message().state == "complete"

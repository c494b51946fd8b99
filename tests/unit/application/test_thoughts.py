import pytest

from application.thoughts import Thoughts, unproven
from domain.provider_errors import MaxOutputExceeded


def a_piece(text: str | None, index: int | None = 0, **more: object) -> dict:
    return {"type": "reasoning.text", "index": index, "text": text, **more}


def test_pieces_of_one_thought_are_put_together():
    thoughts = Thoughts()

    assert thoughts.take([a_piece("Let ", signature=None), a_piece("Other", 1)])
    assert thoughts.take([a_piece("me."), "odd", a_piece(None, signature="s")])

    assert thoughts.end() == [a_piece("Let me.", signature="s"), a_piece("Other", 1)]
    assert not thoughts


def test_what_has_no_text_and_continues_nothing_is_not_kept():
    thoughts = Thoughts()

    for pieces in ([{"type": "thinking", "signature": "s"}], [a_piece("")], [], None, "odd"):
        assert not thoughts.take(pieces)
    assert thoughts.end() == []


def test_texts_without_an_index_are_one_and_everything_else_stays_apart():
    sealed = {"type": "reasoning.encrypted", "data": "a"}, {"type": "reasoning.encrypted", "data": "b"}
    thoughts = Thoughts()

    thoughts.take([a_piece("a", None), a_piece("b", None), *sealed])

    assert thoughts.end() == [a_piece("ab", None), *sealed]


def test_more_than_any_honest_answer_has_is_refused():
    with pytest.raises(MaxOutputExceeded):
        Thoughts().take([a_piece("x" * 500_000) for _ in range(10)])


def test_only_what_was_thought_is_proven_by_a_signature():
    other = {"type": "thought_signature", "signature": "s"}

    assert unproven([{"type": "thinking", "signature": "s", "index": 0}, other]) == [
        {"type": "thinking", "index": 0},
        other,
    ]

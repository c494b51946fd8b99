import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.escapes import plain, unescaped


@given(st.text())
def test_a_text_in_json_is_read_as_it_was_before(text: str):
    for written in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        assert unescaped(written[1:-1]).text == text


@given(st.lists(st.sampled_from(["\\n", "\\\\", "\\u0041", "\\ud83d\\ude00", "\\ud83d", "\\", "u00", "a", '"'])))
def test_the_places_are_where_each_character_is_written(pieces: list[str]):
    text = "".join(pieces)
    read, places = unescaped(text)

    assert len(places) == len(read) + 1
    assert (places[0], places[-1]) == (0, len(text))
    assert list(places) == sorted(set(places))


def test_what_has_no_escapes_is_read_as_it_is():
    assert unescaped("as it is") == plain("as it is") == ("as it is", range(9))


@pytest.mark.parametrize("text", ["\\", "\\u", "\\u00", "\\u004", "\\ud83d"])
def test_an_escape_that_is_not_all_there_is_one_unknown_character(text: str):
    assert unescaped(f"a{text}") == ("a\ufffd", [0, 1, len(text) + 1])


def test_what_is_no_escape_is_read_as_it_is():
    assert unescaped("\\x \\u12g4").text == "\\x \\u12g4"

import orjson
import pytest
from hypothesis import given as given_by
from hypothesis import strategies as st

from adapters.ai.conversation import (
    UNREADABLE,
    calls_of,
    chosen,
    details_of,
    file_of,
    given,
    inline,
    parts_of,
    room_for,
    schema_of,
    stops,
    texts_of,
)
from adapters.ai.profile import Profile
from domain.completion import ModelCard, Prompt
from domain.errors import InvalidRequest, UnsupportedParameter

PLAIN = Profile("acme", "http://acme.example", models=(ModelCard("large", 1_000, 100),))


def test_options_without_a_value_are_not_given_and_unknown_ones_are_refused_by_name():
    assert given({"n": 1, "seed": None, "odd": None}, {"n", "seed"}) == {"n": 1}
    with pytest.raises(UnsupportedParameter) as caught:
        given({"n": 1}, {"seed"})
    assert caught.value.param == "n"


def test_room_grows_with_what_was_asked_for_or_what_the_model_may_say():
    rooms = [
        room_for(Prompt(model, [], options), PLAIN)
        for model, options in [("large", {"max_tokens": 10}), ("large", {}), ("unheard-of", {})]
    ]

    assert rooms == sorted(set(rooms))


def test_one_stop_text_is_a_list_of_one():
    assert stops("END") == stops(["END"]) == ["END"]


@pytest.mark.parametrize("content", ["", " \n", None, [], [{"type": "text", "text": "\t"}]])
def test_white_space_is_no_part(content):
    assert list(parts_of({"content": content}, "messages.0")) == []


def test_a_part_knows_where_it_is_even_behind_ones_that_are_left_out():
    (part,) = parts_of({"content": [{"type": "text", "text": ""}, {"type": "refusal", "refusal": "No."}]}, "messages.3")

    assert (part.kind, part.text, part.path) == ("refusal", "No.", "messages.3.content.1")


def test_where_only_text_goes_nothing_else_does():
    with pytest.raises(UnsupportedParameter, match=r"messages\.0\.content\.0"):
        texts_of({"content": [{"type": "image_url"}]}, "messages.0")


@given_by(st.text())
def test_the_input_of_a_call_is_an_object_whatever_was_written(arguments):
    (call,) = calls_of({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": arguments}}]}, "messages.0")
    value = orjson.loads(orjson.dumps(call.input))

    assert isinstance(value, dict)
    assert value in ({UNREADABLE: arguments}, {}) or value == orjson.loads(arguments)


def test_reasoning_of_other_kinds_is_left_out():
    details = [{"type": "a"}, 7, {"type": "b"}, {}]

    assert details_of({"reasoning_details": details}, "b") == [{"type": "b"}]
    assert details_of({"reasoning_details": None}, "b") == []


def test_a_data_url_is_a_type_and_its_data():
    file = inline("data:Text/CSV;charset=utf-8;base64,w7w=", "x")

    assert (file.media_type, file.encoded, file.text) == ("text/csv", "w7w=", "ü")
    assert inline("data:;base64,/w==", "x").text is None
    assert inline("data:;base64,/w=", "x").text is None


@pytest.mark.parametrize("url", ["", "data:image/png,x", "data:image/png;base64,", "https://a/;base64,AA=="])
def test_what_is_no_data_url_is_invalid_by_its_place(url):
    with pytest.raises(InvalidRequest) as caught:
        inline(url, "messages.0.content.0.image_url.url")

    assert caught.value.param == "messages.0.content.0.image_url.url"


def test_a_file_has_its_data_and_perhaps_a_name():
    (named,) = parts_of(
        {"content": [{"type": "file", "file": {"file_data": "data:a/b;base64,AA==", "filename": "n"}}]}, "m"
    )
    (empty,) = parts_of({"content": [{"type": "file", "file": None}]}, "m")

    assert file_of(named)[1] == "n"
    with pytest.raises(InvalidRequest):
        file_of(empty)


@pytest.mark.parametrize("choice", ["odd", None, {}, {"type": "custom", "custom": {"name": "c"}}])
def test_a_choice_that_is_no_function_is_refused(choice):
    with pytest.raises(UnsupportedParameter):
        chosen(choice)


@pytest.mark.parametrize("wanted", [{}, {"json_schema": None}, {"json_schema": {"schema": None}}])
def test_a_format_without_a_schema_is_refused(wanted):
    with pytest.raises(UnsupportedParameter):
        schema_of(wanted)

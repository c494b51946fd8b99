import pytest

from domain.members import object_of, objects_of, text_of


@pytest.mark.parametrize("value", [None, 7, True, [1], {"a": 1}])
def test_what_is_no_text_is_empty(value):
    assert text_of({"a": value}, "a") == text_of({}, "a") == ""


@pytest.mark.parametrize("value", [None, 7, "x", [1]])
def test_what_is_no_object_is_empty(value):
    assert object_of({"a": value}, "a") == object_of({}, "a") == {}


def test_of_a_list_only_the_objects_count():
    assert objects_of({"a": [{"b": 1}, 7, None]}, "a") == [{"b": 1}]
    assert objects_of({"a": {"b": 1}}, "a") == objects_of({}, "a") == []


def test_what_is_there_is_told_as_it_is():
    inner = {"b": 1}

    assert (text_of({"a": "x"}, "a"), object_of({"a": inner}, "a")) == ("x", inner)

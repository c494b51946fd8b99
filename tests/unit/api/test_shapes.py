import pytest

from api.shapes import Compiler, Mismatch
from domain.errors import InvalidRequest, UnknownField

COMPONENTS = {
    "Text": {
        "type": "object",
        "properties": {"type": {"type": "string", "enum": ["text"]}, "text": {"type": "string", "maxLength": 5}},
        "required": ["type", "text"],
        "additionalProperties": False,
    },
    "Image": {
        "type": "object",
        "properties": {"type": {"type": "string"}, "url": {"type": "string", "pattern": "^x$"}},
    },
    "Part": {
        "type": "object",
        "oneOf": [{"$ref": "#/components/schemas/Text"}, {"$ref": "#/components/schemas/Image"}],
        "discriminator": {
            "propertyName": "type",
            "mapping": {"text": "#/components/schemas/Text", "image": "#/components/schemas/Image"},
        },
    },
}
PART = {"$ref": "#/components/schemas/Part"}


def refusal(schema, value) -> InvalidRequest | None:
    try:
        Compiler(COMPONENTS).check(schema)(value)
    except Mismatch as mismatch:
        return mismatch.refusal()
    return None


@pytest.mark.parametrize(
    ("schema", "fits", "misfits"),
    [
        ({"type": "string"}, ["", "a"], [1, None, [], {}, True]),
        ({"type": "integer"}, [0, -1, 2**63], [True, 1.0, "1", None]),
        ({"type": "number"}, [0, 1.5], [True, "1", None]),
        ({"type": "boolean"}, [True, False], [0, 1, "true", None]),
        ({"type": "null"}, [None], [0, False, ""]),
        ({"type": ["string", "null"]}, ["a", None], [1, True]),
        ({"type": ["string", "null"], "enum": ["a", None]}, ["a", None], ["b", 1]),
        ({"type": "string", "enum": ["a", "b"]}, ["a"], ["c", 1, ["a"]]),
        ({"type": "string", "minLength": 1, "maxLength": 2}, ["a", "ab"], ["", "abc"]),
        ({"type": "string", "pattern": "^[a-z]+$"}, ["ab"], ["", "A", "ab\n"]),
        ({"type": "number", "minimum": 0, "maximum": 2}, [0, 2, 1.5], [-0.1, 2.1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3]]),
        ({"type": "object"}, [{}, {"a": {"b": [1]}}], [[], "a", None]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "1"}]),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": PART}]}, ["a", []], [1, {}, [1]]),
        ({"anyOf": [{"type": "string"}, PART]}, ["a", {"type": "image"}], [1, {"type": "text"}, {}]),
        ({}, [1, "a", None, {"x": [1]}], []),
        (
            PART,
            [{"type": "text", "text": "a"}, {"type": "image", "other": 1}],
            [{}, {"type": 1}, {"type": "audio"}, "a"],
        ),
    ],
    ids=str,
)
def test_a_schema_accepts_what_it_says_and_nothing_else(schema, fits, misfits):
    assert [value for value in fits if refusal(schema, value)] == []
    assert [value for value in misfits if not refusal(schema, value)] == []


@pytest.mark.parametrize(
    ("value", "param", "message"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": 1}], "1.text", "must be a string"),
        ([{"type": "text", "text": "too long"}], "0.text", "has 8 characters; at most 5 are accepted"),
        ([{"type": "text"}], "0.text", "is required"),
        ([{"type": "audio"}], "0.type", "must be one of text, image"),
        (["a"], "0", "must be an object"),
        ("a", None, "must be an array"),
        ([{"type": "image", "url": "y"}], "0.url", "does not have the form"),
    ],
)
def test_a_refusal_names_the_field_and_says_what_is_right(value, param, message):
    error = refusal({"type": "array", "items": PART}, value)

    assert error.param == param
    assert message in error.message


def test_an_unknown_member_has_an_error_of_its_own():
    error = refusal({"type": "array", "items": PART}, [{"type": "text", "text": "a", "api_base": 1}])

    assert isinstance(error, UnknownField)
    assert error.param == "0.api_base"


def test_a_long_name_is_cut_in_the_refusal():
    error = refusal(COMPONENTS["Text"], {"x" * 10_000: 1})

    assert error.param == "x" * 60

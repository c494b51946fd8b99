from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.v1.responses_reasoning import Reasoning, packed, reasoning_of, unpacked
from api.v1.responses_tools import custom_arguments, custom_input
from domain.errors import InvalidRequest

SAFE = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
BLOCKS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("thinking"), "thinking": SAFE, "signature": SAFE}),
        st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": SAFE}),
        st.dictionaries(SAFE, SAFE),
    ),
    max_size=3,
)


@settings(deadline=None)
@given(SAFE, BLOCKS)
def test_what_is_packed_comes_out_as_it_went_in(text, details):
    assert unpacked(packed(Reasoning(text, details)), "") == Reasoning(text, details)


def test_a_text_that_the_blocks_tell_already_is_packed_once():
    block = {"type": "thinking", "thinking": "x" * 3_000, "signature": "s"}

    assert len(packed(Reasoning("x" * 3_000, [block]))) < 4_500


def test_what_another_service_packed_is_nothing_to_us():
    assert unpacked("gAAAAABo", "") is None
    assert unpacked("", "") is None


@pytest.mark.parametrize(
    "inner",
    [
        b"%",
        b64encode(b"{"),
        b64encode(b"[]"),
        b64encode(b'{"details": {}}'),
        b64encode(b'{"details": ["text"]}'),
        b64encode(b'{"details": [' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"]}"),
        b64encode(b'{"text": "\xff"}'),
        "ä".encode(),
    ],
    ids=["no base64", "cut", "list", "object", "text", "deep", "latin", "letter"],
)
def test_what_was_changed_on_the_way_is_refused_by_its_path(inner):
    with pytest.raises(InvalidRequest) as refused:
        unpacked("parley.1." + inner.decode("utf-8"), "input.3.encrypted_content")

    assert refused.value.param == "input.3.encrypted_content"


@pytest.mark.parametrize(
    ("message", "reasoning"),
    [
        ({}, Reasoning()),
        ({"reasoning_content": "a"}, Reasoning("a")),
        ({"reasoning": "a"}, Reasoning("a")),
        ({"reasoning_content": None, "reasoning_details": None}, Reasoning()),
        (
            {"reasoning_details": [{"type": "thinking", "thinking": "a"}, "odd"]},
            Reasoning("a", [{"type": "thinking", "thinking": "a"}]),
        ),
    ],
    ids=str,
)
def test_reasoning_of_a_message_has_either_name(message, reasoning):
    assert reasoning_of(message) == reasoning


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_the_input_of_a_custom_tool_survives_as_arguments(text):
    assert custom_input(custom_arguments(text)) == text


@pytest.mark.parametrize("arguments", ["", "*** Begin Patch", "[1]", '{"input": 1}', '{"other": "x"}'])
def test_a_model_that_wrote_no_such_arguments_meant_the_text_itself(arguments):
    assert custom_input(arguments) == arguments

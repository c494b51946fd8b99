import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import tokens
from domain.embedding import as_messages, packed, unpacked


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=50))
def test_what_is_packed_comes_out_again(numbers):
    assert list(unpacked(packed(numbers))) == numbers


def test_a_vector_is_little_endian_32_bit_floats():
    assert packed([1.0, -0.5]) == struct.pack("<2f", 1.0, -0.5)
    assert packed([]) == b""


@pytest.mark.parametrize("numbers", [["0.5"], [None], [[0.5]], [1e300], [float("1e39")]])
def test_what_is_no_32_bit_number_is_not_packed(numbers):
    with pytest.raises(ValueError, match="32-bit"):
        packed(numbers)


@pytest.mark.parametrize("vector", [b"\0\0\0", b"\0" * 5])
def test_a_vector_that_ends_amid_a_number_is_none(vector):
    with pytest.raises(ValueError, match="amid"):
        unpacked(vector)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_vector_with_a_number_that_is_not_finite_is_none(number, place):
    numbers = [0.0, 1.0]
    numbers.insert(place, number)

    with pytest.raises(ValueError, match="finite"):
        unpacked(packed(numbers))


def test_infinities_that_cancel_each_other_out_are_found():
    with pytest.raises(ValueError, match="finite"):
        unpacked(packed([float("inf"), float("-inf")]))


def test_the_largest_numbers_there_are_are_finite_together():
    most = 3.4028234663852886e38

    assert unpacked(packed([most] * 4_096)) == (most,) * 4_096


@pytest.mark.parametrize(("inputs", "estimate"), [(["x" * 8], 3), (["x" * 8, "y"], 4), ([[1, 2, 3]], 3), ([[7]], 1)])
def test_inputs_are_estimated_by_their_texts_and_by_the_number_of_their_tokens(inputs, estimate):
    per_message = tokens.estimate_messages([{"role": "user", "content": ""}])

    assert tokens.estimate_messages(as_messages(inputs)) == per_message + estimate

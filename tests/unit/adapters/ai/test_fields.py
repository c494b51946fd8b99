import pytest

from adapters.ai.fields import count_of


@pytest.mark.parametrize(("value", "count"), [(0, 0), (7, 7), (-1, None), (10**12, None), (1.0, None), (True, None)])
def test_a_count_is_a_plausible_whole_number(value, count):
    assert count_of({"a": value}, "a") == count
    assert count_of({}, "a") is None

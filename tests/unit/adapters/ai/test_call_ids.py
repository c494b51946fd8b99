from hypothesis import given
from hypothesis import strategies as st

from adapters.ai.call_ids import CallIds


def test_a_providers_own_id_is_kept():
    assert CallIds("req_7").give("toolu_1") == "toolu_1"


@given(st.lists(st.sampled_from(["", "a", "b", "call_7_0_0", "call_7_0_1", "x" * 257]) | st.text(max_size=3)))
def test_no_two_calls_have_the_same_id(own):
    ids = CallIds("req_7")
    given_out = [ids.give(text) for text in own]

    assert len(set(given_out)) == len(own) == len(ids)
    assert all(0 < len(given_id) <= 256 for given_id in given_out)

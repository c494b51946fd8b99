from hypothesis import given
from hypothesis import strategies as st

from domain.guardrail import MASK, Span, masked, merged

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)).map(lambda it: Span(it[0], it[0] + it[1])))


def test_overlapping_spans_become_one_and_neighbours_stay_two():
    assert merged([Span(5, 9), Span(0, 3), Span(2, 4), Span(4, 5)]) == [Span(0, 4), Span(4, 5), Span(5, 9)]


def test_each_span_is_replaced_by_the_mark():
    assert masked("call 555 or 777", [Span(12, 15), Span(5, 8)]) == f"call {MASK} or {MASK}"


def test_a_text_without_spans_stays_as_it_is():
    assert masked("nothing", []) == "nothing"


@given(SPANS)
def test_nothing_of_a_span_is_left_and_everything_else_is(spans: list[Span]):
    text = "".join(chr(0x4E00 + at) for at in range(60))
    hidden = {at for span in spans for at in range(span.start, span.end)}

    shown = masked(text, spans).replace(MASK, "")

    assert shown == "".join(letter for at, letter in enumerate(text) if at not in hidden)

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.usage import NANO, Price, PriceBook, Usage

tokens = st.integers(0, 10**9)
money = st.integers(0, 10**15)
usages = st.builds(Usage, tokens, tokens, tokens, tokens, tokens)
prices = st.builds(Price, money, money, st.none() | money, st.none() | money, st.none() | money)

MILLION = 1_000_000


@given(usages)
def test_every_token_is_in_exactly_one_class(usage: Usage):
    classes = (usage.input, usage.cached_input, usage.cache_write, usage.output, usage.reasoning)

    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens == sum(classes)


@given(prices, usages)
def test_a_cost_is_the_exact_sum_rounded_once(price: Price, usage: Usage):
    exact = Fraction(
        usage.input * price.input
        + usage.cached_input * (price.input if price.cached_input is None else price.cached_input)
        + usage.cache_write * (price.input if price.cache_write is None else price.cache_write)
        + usage.output * price.output
        + usage.reasoning * (price.output if price.reasoning is None else price.reasoning),
        MILLION,
    )

    assert abs(price.cost(usage) - exact) <= Fraction(1, 2)


@given(prices, usages, usages)
def test_two_calls_cost_what_their_sum_costs_but_for_the_rounding(price: Price, one: Usage, two: Usage):
    both = Usage(
        one.input + two.input,
        one.cached_input + two.cached_input,
        one.cache_write + two.cache_write,
        one.output + two.output,
        one.reasoning + two.reasoning,
    )

    assert abs(price.cost(one) + price.cost(two) - price.cost(both)) <= 1


@given(prices, usages)
def test_more_tokens_never_cost_less(price: Price, usage: Usage):
    more = Usage(usage.input + 1, usage.cached_input, usage.cache_write, usage.output, usage.reasoning + 1)

    assert price.cost(more) >= price.cost(usage) >= 0


@given(prices, usages)
def test_no_classes_of_tokens_cost_more_than_the_dearest(price: Price, usage: Usage):
    most = PriceBook("v1", {"acme/large": price}).cost_at_most(
        "acme/large", Usage(input=usage.prompt_tokens, output=usage.completion_tokens)
    )

    assert most is not None
    assert most >= price.cost(usage)


@pytest.mark.parametrize(("tokens_in", "nanos"), [(499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2)])
def test_half_a_nano_unit_rounds_up(tokens_in: int, nanos: int):
    assert Price(input=1, output=0).cost(Usage(input=tokens_in)) == nanos


def test_a_class_with_its_own_price_is_billed_with_it():
    price = Price(input=10, output=100, cached_input=1, cache_write=20, reasoning=1_000)

    usage = Usage(input=MILLION, cached_input=MILLION, cache_write=MILLION, output=MILLION, reasoning=MILLION)

    assert price.cost(usage) == 10 + 1 + 20 + 100 + 1_000


def test_a_class_without_a_price_costs_what_its_parent_costs():
    price = Price(input=10, output=100)

    usage = Usage(cached_input=MILLION, cache_write=MILLION, reasoning=MILLION)

    assert price.cost(usage) == 10 + 10 + 100


def test_a_class_that_is_free_is_free():
    price = Price(input=10, output=100, cached_input=0, cache_write=0, reasoning=0)

    assert price.cost(Usage(cached_input=MILLION, cache_write=MILLION, reasoning=MILLION)) == 0


def test_a_price_list_in_units_per_million_tokens_comes_out_in_nano_units():
    price = Price(input=15 * NANO // 100, output=60 * NANO // 100)

    assert price.cost(Usage(input=1_000, output=1_000)) == 750_000


def test_expected_tokens_cost_nothing_more_where_no_class_is_dearer():
    price = Price(input=3 * MILLION, output=5 * MILLION, cached_input=MILLION, reasoning=4 * MILLION, image=7)

    assert price.dearest.cost(Usage(input=1, output=1, images=2)) == 3 + 5 + 14


def test_a_model_without_a_price_has_no_cost_instead_of_none_at_all():
    book = PriceBook("v1", {"acme/free": Price(0, 0)})

    assert book.cost("acme/free", Usage(input=9)) == 0
    assert book.cost("acme/large", Usage(input=9)) is None
    assert book.cost("acme/large", Usage()) is None

from domain.ledger import Kind, State
from tests.builders import an_entry


def test_the_words_of_the_ledger_are_what_is_stored():
    assert [kind.value for kind in Kind] == ["attempt", "final", "adjust"]
    assert [state.value for state in State] == ["completed", "partial", "failed", "abandoned"]


def test_an_entry_without_a_price_costs_an_unknown_sum():
    entry = an_entry(cost=None, charged=None)

    assert (entry.cost, entry.charged) == (None, None)

from collections import Counter
from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.ranking import by_affinity, by_latency, by_weight
from tests.examples import examples

WEIGHTS = st.lists(st.integers(1, 20), min_size=1, max_size=8)


def a_dice(seed: int = 7) -> Random:
    return Random(seed)  # noqa: S311 - chance, no secret


def chances(dice: Random, number: int) -> list[float]:
    return [dice.random() for _ in range(number)]


@given(WEIGHTS, st.randoms(use_true_random=False))
def test_every_rule_keeps_all_and_doubles_none(weights, dice):
    everybody = list(range(len(weights)))
    names = [f"acme/{number}" for number in everybody]

    assert sorted(by_weight(weights, chances(dice, len(weights)))) == everybody
    assert sorted(by_affinity("ada", names, weights)) == everybody
    assert sorted(by_latency(weights, dice.random)) == everybody


@given(WEIGHTS, st.integers(0, 1000))
@settings(max_examples=examples(30), deadline=None)
def test_by_weight_each_is_first_as_often_as_its_share(weights, seed):
    dice, rounds = a_dice(seed), 4_000
    first = Counter(by_weight(weights, chances(dice, len(weights)))[0] for _ in range(rounds))

    for index, weight in enumerate(weights):
        assert first[index] / rounds == pytest.approx(weight / sum(weights), abs=0.04)


@given(WEIGHTS)
@settings(max_examples=examples(30), deadline=None)
def test_by_affinity_the_shares_are_the_weights_too(weights):
    names, rounds = [f"acme/{number}" for number in range(len(weights))], 4_000
    first = Counter(by_affinity(f"sess_{number}", names, weights)[0] for number in range(rounds))

    for index, weight in enumerate(weights):
        assert first[index] / rounds == pytest.approx(weight / sum(weights), abs=0.04)


@given(st.text(), WEIGHTS)
def test_the_same_affinity_has_the_same_order(affinity, weights):
    names = [f"acme/{number}" for number in range(len(weights))]

    assert by_affinity(affinity, names, weights) == by_affinity(affinity, names, weights)


@given(st.text(), st.lists(st.integers(1, 20), min_size=2, max_size=8))
def test_who_comes_moves_nobody_else(affinity, weights):
    """Whoever is not called by the new one is called by the same one as before, and the rest keep their order."""
    names = [f"acme/{number}" for number in range(len(weights))]
    new = len(names) - 1

    before = by_affinity(affinity, names[:-1], weights[:-1])
    after = by_affinity(affinity, names, weights)

    assert [index for index in after if index != new] == before


def test_only_the_share_of_the_new_one_moves():
    names, rounds = ["acme/0", "acme/1", "acme/2", "acme/3"], 4_000
    moved = sum(
        by_affinity(f"sess_{number}", names[:3], [1, 1, 1])[0] != by_affinity(f"sess_{number}", names, [1, 1, 1, 1])[0]
        for number in range(rounds)
    )

    assert moved / rounds == pytest.approx(1 / 4, abs=0.04)


def test_of_two_the_quicker_one_comes_first():
    dice = a_dice()

    assert {tuple(by_latency([0.9, 0.1], dice.random)) for _ in range(50)} == {(1, 0)}


def test_the_slowest_of_many_is_never_first_and_the_quickest_is_most_often():
    dice = a_dice()
    first = Counter(by_latency([0.4, 0.1, 0.3, 0.2], dice.random)[0] for _ in range(4_000))

    assert first[0] == 0
    assert first.most_common(1)[0][0] == 1
    assert first[2] > 0, "power of two choices does not send everybody to the same one"


def test_an_unknown_one_is_tried_before_a_slow_one():
    dice = a_dice()

    assert by_latency([0.5, None], dice.random) == [1, 0]


def test_equals_share():
    dice = a_dice()
    first = Counter(by_latency([None, None, None], dice.random)[0] for _ in range(3_000))

    assert all(first[index] / 3_000 == pytest.approx(1 / 3, abs=0.04) for index in range(3))


def test_chance_is_asked_for_no_more_than_needed():
    numbers = count()

    assert by_latency([0.3], lambda: float(next(numbers))) == [0]
    assert next(numbers) == 0

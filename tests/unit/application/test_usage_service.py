from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import Forbidden
from domain.ledger import Kind, UsageTotal
from domain.usage import Usage
from domain.user import Scope
from tests.builders import a_principal, an_entry
from tests.world import World

SATURDAY = datetime(2026, 11, 21, 12, tzinfo=UTC)


def use(world: World, number: int, **fields) -> None:
    """One request with `number` input tokens, and the attempt that belongs to it."""
    fields = {"request_id": f"req_{len(world.begin.rows.ledger):03d}", "charged": number, **fields}
    final = an_entry(usage=Usage(input=number), **fields)
    for entry in (final, replace(final, kind=Kind.ATTEMPT, attempt=1)):
        world.begin.rows.ledger[entry.request_id, entry.attempt, entry.kind] = entry


def summary(world: World):
    return world.usage.summary(a_principal())


def test_use_is_summed_by_day_week_month_and_ever(world: World):
    for days, number in [(0, 1), (5, 10), (6, 100), (20, 1_000), (21, 10_000), (400, 100_000)]:
        use(world, number, started_at=SATURDAY - timedelta(days=days))

    found = summary(world)

    assert found.today.input == 1
    assert found.week.input == 11, "a week begins on Monday"
    assert found.month.input == 1_111, "a month begins on its first day"
    assert found.total.input == 111_111
    assert (found.total.requests, found.total.cost) == (6, 111_111)


def test_use_is_listed_by_day_model_and_key(world: World):
    use(world, 1, started_at=SATURDAY - timedelta(days=1))
    use(world, 10, model_used="acme/small")
    use(world, 100, key_id="key_2")
    use(world, 1_000, started_at=SATURDAY - timedelta(days=31))

    found = summary(world)

    assert [(str(day), total.input) for day, total in found.days] == [("2026-11-20", 1), ("2026-11-21", 110)]
    assert [(model, total.input) for model, total in found.models] == [("acme/large", 101), ("acme/small", 10)]
    assert [(key, total.input) for key, total in found.keys] == [("key_1", 11), ("key_2", 100)]


def test_every_class_of_tokens_is_summed(world: World):
    final = an_entry(usage=Usage(1, 2, 3, 4, 5))
    world.begin.rows.ledger |= {
        (name, 0, Kind.FINAL): replace(final, request_id=name, charged=None) for name in ("req_1", "req_2")
    }

    assert summary(world).today == UsageTotal(2, 2, 4, 6, 8, 10, cost=0, unpriced=2)


def test_who_used_nothing_has_used_nothing(world: World):
    found = summary(world)

    assert found.today == found.week == found.month == found.total == UsageTotal()
    assert found.days == found.models == found.keys == []


def test_nobody_sees_the_use_of_others(world: World):
    use(world, 1, user_id="usr_2")

    assert summary(world).total == UsageTotal()
    assert world.usage.records(a_principal(), 9, None) == []


def test_records_are_the_final_rows_newest_first_in_pages(world: World):
    for number in (1, 2, 3):
        use(world, number)

    first = world.usage.records(a_principal(), 2, None)
    second = world.usage.records(a_principal(), 2, first[-1].request_id)

    assert [entry.usage.input for entry in first + second] == [3, 2, 1]


@pytest.mark.parametrize(
    "read", [lambda usage, who: usage.summary(who), lambda usage, who: usage.records(who, 9, None)]
)
def test_a_key_for_chat_alone_does_not_see_the_bill(world: World, read):
    with pytest.raises(Forbidden):
        read(world.usage, a_principal(scopes=frozenset({Scope.CHAT})))


def test_a_key_sees_its_own_use_and_no_other_keys(world: World):
    use(world, 1, started_at=SATURDAY)
    use(world, 10, started_at=SATURDAY - timedelta(days=1))
    use(world, 100, started_at=SATURDAY, key_id="key_other")
    use(world, 1_000, started_at=SATURDAY - timedelta(days=40))

    found = world.usage.of_key(a_principal())

    assert (found.today.input, found.month.input) == (1, 11)

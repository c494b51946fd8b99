"""What every `UsageLog` tells about everybody. Provide the fixtures `begin` and `apply` on an empty store."""

from datetime import timedelta

import pytest

from application.store import GroupBy, UsageFilter
from domain.ledger import Kind, State, UsageTotal
from domain.usage import Usage
from tests.builders import NOW, a_key, a_settled, a_token, a_user, an_entry

TODAY, YESTERDAY = NOW.date(), NOW.date() - timedelta(days=1)
ENTRIES = (
    an_entry(request_id="req_1", charged=1),
    an_entry(request_id="req_1", attempt=1, kind=Kind.ATTEMPT, charged=999),
    an_entry(request_id="req_2", charged=10, key_id="key_2", state=State.FAILED),
    an_entry(request_id="req_3", charged=100, key_id="key_3", user_id="usr_2"),
    an_entry(request_id="req_4", charged=1_000, model_used="acme/small", started_at=NOW - timedelta(days=1)),
    an_entry(request_id="req_5", charged=None, key_id="login_1", model_used="acme/small"),
    an_entry(request_id="req_6", charged=10_000, key_id="key_4", user_id="usr_2", state=State.PARTIAL),
)


def costs(groups):
    return [(name, total.cost) for name, total in groups]


BY_ALL_FILTERS = [
    (UsageFilter(), ["req_6", "req_5", "req_4", "req_3", "req_2", "req_1"]),
    (UsageFilter(user_id="usr_1"), ["req_5", "req_4", "req_2", "req_1"]),
    (UsageFilter(team_id="team_1"), ["req_3", "req_2"]),
    (UsageFilter(team_id=""), ["req_6", "req_5", "req_4", "req_1"]),
    (UsageFilter(key_id="key_1"), ["req_4", "req_1"]),
    (UsageFilter(model="acme/small"), ["req_5", "req_4"]),
    (UsageFilter(since=TODAY), ["req_6", "req_5", "req_3", "req_2", "req_1"]),
    (UsageFilter(until=YESTERDAY), ["req_4"]),
    (UsageFilter(user_id="usr_1", key_id="key_2", model="acme/large", since=TODAY, until=TODAY), ["req_2"]),
    (UsageFilter(user_id="usr_3"), []),
]


class UsageLogContract:
    @pytest.fixture
    def advance(self):
        """Brings the rollups up to date; to be provided where there are any."""
        return lambda: None

    @pytest.fixture(params=["tail", "rollups", "both"])
    def ledger(self, begin, apply, advance, request):
        """Keys 2 and 3 belong to one team, though to two users; 4 is nobody's any more."""
        with begin() as work:
            work.users.add(a_user())
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            work.keys.add(a_key())
            work.keys.add(a_key(a_token("k1dk1dk1d2"), id="key_2", team_id="team_1"))
            work.keys.add(a_key(a_token("k1dk1dk1d3"), id="key_3", team_id="team_1", user_id="usr_2"))
        apply([a_settled(entries=ENTRIES[:4])])
        if request.param == "both":
            advance()
        apply([a_settled(entries=ENTRIES[4:])])
        if request.param == "rollups":
            advance()
        return begin

    @pytest.mark.parametrize(
        ("by", "expected"),
        [
            (GroupBy.DAY, [(YESTERDAY.isoformat(), 1_000), (TODAY.isoformat(), 10_111)]),
            (GroupBy.USER, [("usr_2", 10_100), ("usr_1", 1_011)]),
            (GroupBy.TEAM, [("", 11_001), ("team_1", 110)]),
            (GroupBy.MODEL, [("acme/large", 10_111), ("acme/small", 1_000)]),
            (GroupBy.KEY, [("key_4", 10_000), ("key_1", 1_001), ("key_3", 100), ("key_2", 10), ("login_1", 0)]),
        ],
    )
    def test_totals_are_by_day_or_with_the_most_costly_first(self, ledger, by, expected):
        with ledger() as work:
            assert costs(work.usage.totals(UsageFilter(), by)) == expected

    def test_groups_of_one_cost_are_in_the_order_of_their_names(self, begin, apply):
        apply([a_settled(entries=tuple(an_entry(request_id=f"req_{key}", key_id=key) for key in "cab"))])

        with begin() as work:
            assert [name for name, _ in work.usage.totals(UsageFilter(), GroupBy.KEY)] == ["a", "b", "c"]

    def test_a_total_has_all_sums(self, begin, apply):
        entry = an_entry(usage=Usage(1, 2, 3, 4, 5), charged=7)
        unpriced = an_entry(request_id="req_2", usage=Usage(1), charged=None)
        adjust = an_entry(kind=Kind.ADJUST, usage=Usage(), charged=-2)
        apply([a_settled(entries=(entry, unpriced, adjust))])

        with begin() as work:
            assert work.usage.totals(UsageFilter(), GroupBy.USER) == [
                ("usr_1", UsageTotal(2, 2, 2, 3, 4, 5, cost=5, unpriced=1))
            ]

    def test_every_filter_finds_the_same_in_totals_and_in_records(self, ledger):
        charged = {entry.request_id: entry.charged or 0 for entry in ENTRIES if entry.kind is Kind.FINAL}
        with ledger() as work:
            for wanted, request_ids in BY_ALL_FILTERS:
                assert [entry.request_id for entry in work.usage.search(wanted, 10, None)] == request_ids, wanted
                totals = work.usage.totals(wanted, GroupBy.TEAM)
                assert sum(total.requests for _, total in totals) == len(request_ids), wanted
                assert sum(total.cost for _, total in totals) == sum(charged[it] for it in request_ids), wanted

    def test_records_are_found_by_their_state_and_totals_do_not_look_at_it(self, ledger):
        with ledger() as work:
            assert work.usage.search(UsageFilter(state="failed"), 10, None) == [ENTRIES[2]]
            assert len(work.usage.totals(UsageFilter(state="failed"), GroupBy.DAY)) == 2

    def test_found_records_are_paged_from_newest_to_oldest(self, ledger):
        with ledger() as work:
            first = [entry.request_id for entry in work.usage.search(UsageFilter(), 4, None)]
            second = [entry.request_id for entry in work.usage.search(UsageFilter(), 4, first[-1])]
        assert (first, second) == (["req_6", "req_5", "req_4", "req_3"], ["req_2", "req_1"])

    def test_an_empty_ledger_has_no_totals(self, begin):
        with begin() as work:
            for by in GroupBy:
                assert work.usage.totals(UsageFilter(), by) == []

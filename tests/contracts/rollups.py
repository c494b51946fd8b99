"""What every `Rollups` does. Provide the fixtures `begin`, `apply` and `rollups` on an empty store.

`rollups` takes rows behind a gap in the ids for settled after half a second.
"""

from datetime import timedelta

from tests.builders import NOW, a_settled, an_entry

SETTLED_SECONDS = 0.5


class RollupsContract:
    def test_totals_are_the_same_before_between_and_after(self, begin, apply, rollups):
        def totals():
            with begin() as work:
                return work.usage.lifetime("usr_1"), work.usage.groups("usr_1", NOW.date())

        apply([a_settled(request_id=f"req_{number}") for number in range(5)])
        before = totals()
        assert rollups.advance() == 5
        assert totals() == before

        apply([a_settled(request_id=f"req_{number}") for number in range(5, 8)])
        between = totals()
        assert between[0].requests == 8
        assert rollups.advance() == 3
        assert totals() == between

    def test_without_new_rows_nothing_is_added(self, apply, rollups):
        apply([a_settled()])

        assert (rollups.advance(), rollups.advance()) == (1, 0)

    def test_sums_that_are_right_are_not_rebuilt(self, apply, rollups):
        apply([a_settled(), a_settled(entries=(an_entry(request_id="req_2", started_at=NOW + timedelta(days=1)),))])
        rollups.advance()

        assert rollups.rebuild() == 0

    def test_a_batch_at_a_time_comes_to_the_same_sums(self, apply, rollups, begin, in_batches):
        apply([a_settled(request_id=f"req_{number:02}") for number in range(10)])

        added = [in_batches.advance() for _ in range(8)]

        assert sum(added) == 10
        assert max(added) < 10
        assert rollups.rebuild() == 0

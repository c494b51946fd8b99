"""What every Journal does. Subclass it with the fixtures `apply`, a `ScriptedApply`, and `journal`, which uses it."""

import time
from collections.abc import Callable, Sequence

import gevent
import pytest

from application.ports import Journal
from application.records import Settled
from domain.errors import DatabaseBusy, DatabaseUnavailable
from tests.builders import a_settled, an_opened


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Let the other greenlets run until it holds."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        gevent.sleep(0.002)
    return condition()


class ScriptedApply:
    """Remembers what it was given, raises `failure` while there is one, and ValueError for a record in `poison`."""

    def __init__(self) -> None:
        self.batches: list[list[Settled]] = []
        self.failure: Exception | None = None
        self.poison: set[str] = set()
        self.calls = 0
        self.seconds = 0.0
        """How long each call takes."""

    def __call__(self, records: Sequence[Settled]) -> None:
        self.calls += 1
        if self.seconds:
            gevent.sleep(self.seconds)
        if self.failure is not None:
            raise self.failure
        if any(record.request_id in self.poison for record in records):
            raise ValueError("poison")
        self.batches.append(list(records))

    @property
    def given(self) -> list[Settled]:
        return [record for batch in self.batches for record in batch]

    @property
    def ids(self) -> list[str]:
        return [record.request_id for record in self.given]

    @property
    def stored(self) -> dict[str, Settled]:
        """As the ledger has it: of several records of one request the first stays."""
        return {record.request_id: record for record in reversed(self.given)}


class JournalContract:
    def test_a_settled_record_reaches_sql_as_it_was_given(self, journal: Journal, apply: ScriptedApply):
        record = a_settled(session=True)
        journal.open(an_opened())

        receipt = journal.settle(record)

        assert receipt.wait_applied(5)
        assert apply.given == [record]

    def test_a_receipt_that_is_asked_again_still_says_yes(self, journal: Journal):
        receipt = journal.settle(a_settled())
        receipt.wait_applied(5)

        assert receipt.wait_applied(0)

    def test_settling_succeeds_while_the_database_is_down_and_the_receipt_says_not_yet(
        self, journal: Journal, apply: ScriptedApply
    ):
        apply.failure = DatabaseUnavailable()

        assert not journal.settle(a_settled()).wait_applied(0.05)

    @pytest.mark.parametrize("failure", [DatabaseUnavailable(), DatabaseBusy(), ConnectionResetError()])
    def test_what_the_database_did_not_take_is_given_again_in_the_same_order(
        self, journal: Journal, apply: ScriptedApply, failure: Exception
    ):
        apply.failure = failure
        receipts = [journal.settle(a_settled(request_id=f"req_{number}")) for number in range(7)]
        gevent.sleep(0.05)
        apply.failure = None

        assert all(receipt.wait_applied(5) for receipt in receipts)
        assert apply.ids == [f"req_{number}" for number in range(7)]

    def test_a_record_that_sql_refuses_holds_up_no_other(self, journal: Journal, apply: ScriptedApply):
        apply.poison = {"req_3"}
        receipts = [journal.settle(a_settled(request_id=f"req_{number}")) for number in range(7)]

        assert [receipt.wait_applied(5) for receipt in receipts] == [number != 3 for number in range(7)]
        assert apply.ids == [f"req_{number}" for number in (0, 1, 2, 4, 5, 6)]

    def test_text_that_is_not_valid_unicode_is_stored_with_a_question_mark(
        self, journal: Journal, apply: ScriptedApply
    ):
        assert journal.settle(a_settled(session=True, answer="half \ud83d of a pair")).wait_applied(5)

        assert [record.answer for record in apply.given] == ["half ? of a pair"]

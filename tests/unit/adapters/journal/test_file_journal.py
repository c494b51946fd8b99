import errno
import os
import resource
from contextlib import contextmanager

import gevent
import pytest
from gevent.hub import get_hub

from adapters.journal import applier as applying
from adapters.journal.codec import encode
from application.facts import JournalApplied, JournalDegraded, JournalRejected
from application.records import Progressed
from domain.errors import AccountingUnavailable, DatabaseUnavailable
from tests.builders import a_settled, an_opened
from tests.contracts.journal import JournalContract, eventually


class TestSyncing(JournalContract):
    @pytest.fixture
    def journal(self, start, apply):
        return start()


class TestWriting(JournalContract):
    @pytest.fixture
    def journal(self, start, apply):
        return start(mode="write")


@contextmanager
def files_limited_to(size):
    """No file of this process may grow beyond `size`, its log neither; the kernel then says EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


def refuse(*_):
    raise OSError(errno.EIO, "broken")


@pytest.fixture
def broken_disk(monkeypatch):
    """Call it, and from then on nothing can be written to a journal."""
    return lambda: monkeypatch.setattr(os, "write", refuse)


def logs(folder):
    return sorted(folder.glob("*.log"))


def content(folder):
    return b"".join(path.read_bytes() for path in logs(folder))


def settle_many(journal, numbers):
    receipts = []
    for number in numbers:
        journal.open(an_opened(request_id=f"req_{number}"))
        receipts.append(journal.settle(a_settled(request_id=f"req_{number}")))
    return receipts


def test_an_opening_is_in_the_file_when_open_returns(start, folder):
    start().open(an_opened())

    assert b'{"open":{"request_id":"req_1"' in content(folder)


def test_a_final_is_synced_before_settle_returns_unless_the_mode_is_write(start, folder, monkeypatch):
    synced = []
    really = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (really(fd), synced.append(content(folder))))

    start().settle(a_settled(request_id="req_sync"))

    assert b"req_sync" in synced[-1]


def test_in_write_mode_nobody_waits_for_the_disk_but_it_is_asked_soon(start, monkeypatch):
    synced = []
    really = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (really(fd), synced.append(1)))
    journal = start(mode="write")

    journal.settle(a_settled())
    assert synced == []

    assert eventually(lambda: bool(synced))


def test_progress_of_a_generation_that_has_ended_is_not_written(start, folder):
    journal = start()
    journal.open(an_opened())
    journal.settle(a_settled())

    journal.progress(Progressed("req_1", 5, "late"))

    assert b"late" not in content(folder)


def test_records_gather_for_a_moment_into_one_transaction(start, apply):
    journal = start(mode="write", gather=0.05)

    receipts = settle_many(journal, range(20))

    assert eventually(lambda: apply.calls > 0)
    assert apply.calls == 1
    assert all(receipt.wait_applied(0) for receipt in receipts)


def test_whoever_waits_for_sql_does_not_wait_for_company(start):
    journal = start(gather=30.0)

    assert journal.settle(a_settled()).wait_applied(5)


def test_a_transaction_has_at_most_the_given_number_of_records(start, apply):
    journal = start(mode="write", batch=8)
    apply.failure = DatabaseUnavailable()
    receipts = settle_many(journal, range(20))
    apply.failure = None

    assert receipts[-1].wait_applied(5)
    assert [len(batch) for batch in apply.batches] == [8, 8, 4]


def test_the_lag_counts_what_sql_does_not_have_and_for_how_long(start, apply):
    journal = start()
    apply.failure = DatabaseUnavailable()
    settle_many(journal, range(3))
    gevent.sleep(0.05)

    records, seconds = journal.lag()
    assert records == 3
    assert 0.05 <= seconds < 5
    apply.failure = None

    assert eventually(lambda: journal.lag() == (0, 0.0))
    assert journal.backlog == 0


def test_every_transaction_is_a_fact(start, record):
    start().settle(a_settled()).wait_applied(5)

    (fact,) = record.of(JournalApplied)
    assert (fact.records, fact.reaped) == (1, False)


def test_a_full_segment_is_followed_by_another_and_deleted_once_applied(start, apply, folder):
    journal = start(segment=2000)
    apply.failure = DatabaseUnavailable()
    receipts = settle_many(journal, range(12))
    assert len(logs(folder)) > 3
    apply.failure = None

    assert all(receipt.wait_applied(5) for receipt in receipts)

    assert eventually(lambda: len(logs(folder)) == 1)


def test_a_stream_that_outlives_its_segment_is_carried_into_the_next_and_pins_no_file(start, folder):
    journal = start(segment=2000)
    journal.open(an_opened(request_id="req_long"))
    journal.progress(Progressed("req_long", 3, "a b c"))
    journal.progress(Progressed("req_long", 3, ""))
    journal.progress(Progressed("req_long", 4, ""))

    settle_many(journal, range(12))[-1].wait_applied(5)

    assert eventually(lambda: len(logs(folder)) == 1)
    kept = content(folder)
    assert kept.count(b'{"open":{"request_id":"req_long"') == 1
    assert kept.count(b'"text":"a b c"') == 1
    assert kept.count(b'{"progress":{"request_id":"req_long"') == 2


def test_beyond_a_few_megabytes_waiting_records_are_kept_on_disk_alone(start, apply, monkeypatch):
    monkeypatch.setattr(applying, "_HELD_BYTES", 2000)
    journal = start(segment=4000)
    apply.failure = DatabaseUnavailable()
    receipts = settle_many(journal, range(20))
    assert sum(receipt.record is None for receipt in receipts) > 10
    apply.failure = None

    assert all(receipt.wait_applied(5) for receipt in receipts)
    assert apply.given == [a_settled(request_id=f"req_{number}") for number in range(20)]


def test_nothing_new_begins_when_too_much_waits_for_sql(start, apply, record):
    journal = start(cap=5000)
    apply.failure = DatabaseUnavailable()

    with pytest.raises(AccountingUnavailable):
        settle_many(journal, range(20))

    assert record.of(JournalDegraded)[-1] == JournalDegraded("cap", "none")
    apply.failure = None
    assert eventually(lambda: journal.backlog == 0)
    journal.open(an_opened())


def test_what_is_running_may_end_even_beyond_the_cap(start, apply):
    journal = start(cap=1)
    apply.failure = DatabaseUnavailable()
    journal.open(an_opened())

    settle_many_finals = [journal.settle(a_settled(request_id=f"req_{number}")) for number in range(5)]

    assert len(settle_many_finals) == 5


def test_a_rejected_record_is_kept_in_a_file_that_a_reaper_can_read(start, apply, record, folder):
    apply.poison = {"req_1"}
    journal = start()
    journal.settle(a_settled()).wait_applied(5)
    (kept,) = folder.glob("*.rejected")
    assert record.of(JournalRejected) == [JournalRejected("req_1", "ValueError", kept.name)]
    apply.poison = set()

    kept.rename(folder / "retry-0-0.log")

    assert eventually(lambda: apply.ids == ["req_1"])
    assert eventually(lambda: list(folder.glob("retry*")) == [])


def test_a_record_that_can_be_neither_stored_nor_set_aside_is_tried_again(start, apply, folder, monkeypatch):
    apply.poison = {"req_1"}
    journal = start()
    really = os.fsync
    monkeypatch.setattr(os, "fsync", refuse)
    receipt = journal._queue(a_settled(), None, 0)
    gevent.sleep(0.05)
    assert len(journal._applier) == 1

    monkeypatch.setattr(os, "fsync", really)
    assert not receipt.wait_applied(5)

    assert len(journal._applier) == 0


def test_an_error_that_nobody_foresaw_does_not_end_the_applying(start, apply, record, monkeypatch):
    journal = start()
    load = applying.Pending.load
    monkeypatch.setattr(applying.Pending, "load", lambda _: 1 // 0)
    receipt = journal.settle(a_settled())
    assert not receipt.wait_applied(0.1)

    monkeypatch.setattr(applying.Pending, "load", load)

    assert receipt.wait_applied(2)
    assert record.of(JournalDegraded)[0] == JournalDegraded("ZeroDivisionError", "none")


def test_a_rejected_record_is_set_aside_whole_or_not_at_all(start, apply, folder, monkeypatch):
    apply.poison = {"req_1"}
    journal = start()
    really = os.write

    def tear(fd, content):
        return really(fd, content[:50]) if len(content) == len(encode(a_settled())) else refuse()

    monkeypatch.setattr(os, "write", tear)
    receipt = journal._queue(a_settled(), None, 0)
    assert eventually(lambda: apply.calls > 1)
    (kept,) = folder.glob("*.rejected")
    assert kept.read_bytes() == b""

    monkeypatch.setattr(os, "write", really)
    assert not receipt.wait_applied(5)

    assert kept.read_bytes() == encode(a_settled())


def test_a_final_that_arrives_while_the_journal_closes_is_not_left_waiting(start, apply):
    journal = start()
    late = [gevent.spawn(journal.settle, a_settled(request_id=f"req_{number}")) for number in range(3)]
    gevent.sleep(0)

    journal.close(1)
    gevent.joinall(late, timeout=5)

    assert all(greenlet.successful() for greenlet in late)
    assert eventually(lambda: sorted(set(apply.ids)) == ["req_0", "req_1", "req_2"])


def test_without_a_journal_a_final_goes_straight_to_sql(start, apply, record, broken_disk):
    journal = start()
    journal.open(an_opened())
    broken_disk()

    receipt = journal.settle(a_settled())

    assert receipt.wait_applied(0)
    assert apply.ids == ["req_1"]
    assert record.of(JournalDegraded) == [JournalDegraded("EIO", "sql")]


def test_with_neither_journal_nor_sql_a_final_is_refused_but_not_forgotten(start, apply, record, broken_disk):
    journal = start()
    broken_disk()
    apply.failure = DatabaseUnavailable()

    with pytest.raises(AccountingUnavailable):
        journal.settle(a_settled())
    assert record.of(JournalDegraded) == [JournalDegraded("EIO", "none")]
    apply.failure = None

    assert eventually(lambda: apply.ids == ["req_1"])


def test_without_a_journal_a_generation_may_begin_while_sql_answers(start, apply, record, broken_disk):
    journal = start()
    broken_disk()

    journal.open(an_opened())
    journal.progress(Progressed("req_1", 3, "abc"))

    assert apply.batches == [[]]
    assert record.of(JournalDegraded) == [JournalDegraded("EIO", "sql")]


def test_with_neither_journal_nor_sql_nothing_begins(start, apply, broken_disk):
    journal = start()
    broken_disk()
    apply.failure = DatabaseUnavailable()

    with pytest.raises(AccountingUnavailable):
        journal.open(an_opened())


def test_a_disk_that_does_not_sync_is_not_believed(start, apply, record, folder, monkeypatch):
    journal = start(gather=30.0)
    really = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", refuse)

    assert journal.settle(a_settled()).wait_applied(0)

    assert apply.ids == ["req_1"]
    assert record.of(JournalDegraded) == [JournalDegraded("EIO", "sql")]
    monkeypatch.setattr(os, "fdatasync", really)
    journal.open(an_opened(request_id="req_2"))
    assert len(logs(folder)) == 2


def test_a_limit_on_the_size_of_files_only_means_more_files(start, record, folder, apply):
    journal = start(reserve=1 << 20)
    apply.failure = DatabaseUnavailable()

    with files_limited_to(4000):
        receipts = settle_many(journal, range(20))

    assert record.of(JournalDegraded) == []
    assert len(logs(folder)) > 3
    apply.failure = None
    assert all(receipt.wait_applied(5) for receipt in receipts)


def test_a_limit_that_no_record_fits_in_sends_finals_to_sql(start, record, apply):
    journal = start()

    with files_limited_to(100):
        settle_many(journal, range(3))

    assert apply.ids == ["req_0", "req_1", "req_2"]
    assert {fact.reason for fact in record.of(JournalDegraded)} == {"EFBIG"}


def test_closing_applies_everything_and_leaves_an_empty_folder(start, apply, folder):
    journal = start(gather=30.0, reserve=1 << 16)
    settle_many(journal, range(5))

    assert journal.close(5)

    assert apply.ids == [f"req_{number}" for number in range(5)]
    assert eventually(lambda: list(folder.iterdir()) == [])


def test_closing_while_sql_is_down_leaves_the_records_to_the_next_process(start, apply, folder):
    journal = start()
    apply.failure = DatabaseUnavailable()
    settle_many(journal, range(5))

    assert not journal.close(0.1)
    apply.failure = None
    start()

    assert eventually(lambda: apply.ids == [f"req_{number}" for number in range(5)])


def test_closing_with_a_generation_still_running_leaves_its_opening_to_the_next_process(start, apply):
    journal = start()
    journal.open(an_opened())

    assert journal.close(1)
    start()

    assert eventually(lambda: [record.lost for record in apply.given] == [True])


def test_after_closing_a_late_final_still_reaches_sql(start, apply):
    journal = start()
    journal.close(1)

    assert journal.settle(a_settled()).wait_applied(0)

    assert apply.ids == ["req_1"]


def test_a_final_from_the_hub_itself_is_written_without_waiting(start, apply):
    journal = start()

    get_hub().loop.run_callback(journal.settle, a_settled())

    assert eventually(lambda: apply.ids == ["req_1"])


def test_a_killed_greenlet_has_settled_all_the_same(start, apply, monkeypatch):
    journal = start()
    doomed = gevent.spawn(journal.settle, a_settled())
    gevent.sleep(0)

    doomed.kill()

    assert eventually(lambda: apply.ids == ["req_1"])


def test_an_idle_journal_asks_nothing_of_sql(start, apply):
    start(reap_every=0.01)

    gevent.sleep(0.1)

    assert apply.calls == 0

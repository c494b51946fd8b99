import os

import gevent
import pytest

from adapters.journal.codec import encode, frame
from application.facts import JournalApplied, JournalDegraded, JournalRejected
from application.records import Progressed
from domain.errors import DatabaseUnavailable
from domain.ledger import State
from domain.usage import Source
from tests.builders import a_settled, a_turn, an_opened
from tests.contracts.journal import ScriptedApply, eventually


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dead").mkdir()
    return tmp_path / "dead"


@pytest.fixture
def left(folder):
    """Writes what a dead process left, as its segment with that number."""

    def write(*records, number=0, owner="dead-1"):
        path = folder / f"{owner}-{number}.log"
        path.write_bytes(b"".join(map(encode, records)))
        return path

    return write


def sweep(start, home="dead", **options):
    journal = start(home, reap_every=60.0, **options)
    journal._reaper.sweep()
    return journal


def remaining(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("dead"))


def test_finals_of_a_dead_process_are_applied_in_their_order_and_its_file_goes(start, left, apply, record, folder):
    left(*(a_settled(request_id=f"req_{number}") for number in range(450)))

    sweep(start)

    assert apply.ids == [f"req_{number}" for number in range(450)]
    assert [len(batch) for batch in apply.batches] == [200, 200, 50]
    assert {fact.reaped for fact in record.of(JournalApplied)} == {True}
    assert remaining(folder) == []


def test_what_the_dead_process_had_applied_itself_is_not_applied_again(start, crash, apply):
    journal = start()
    journal.settle(a_settled(request_id="req_1")).wait_applied(5)
    apply.failure = DatabaseUnavailable()
    journal.settle(a_settled(request_id="req_2"))
    crash()
    apply.failure = None
    second = ScriptedApply()

    sweep(start, "crashed", apply=second)

    assert second.ids == ["req_2"]


def test_an_opening_without_a_final_is_abandoned_with_what_had_arrived(start, left, apply):
    left(
        an_opened(turn=a_turn()),
        Progressed("req_1", 2, "Hi "),
        Progressed("req_2", 9, "of a generation that was never opened"),
        Progressed("req_1", 4, "the"),
    )

    sweep(start)

    (lost,) = apply.given
    assert (lost.request_id, lost.answer, lost.complete, lost.lost) == ("req_1", "Hi the", False, True)
    final = lost.entries[1]
    assert (final.state, final.usage.source, final.usage.output) == (State.ABANDONED, Source.ESTIMATED, 4)
    assert final.cost == 10_000_000 * 16


def test_a_final_in_a_later_segment_belongs_to_the_opening_in_an_earlier_one(start, left, apply):
    left(an_opened(), Progressed("req_1", 2, ""), number=9)
    left(a_settled(), number=10)

    sweep(start)

    assert apply.given == [a_settled()]


def test_a_stream_that_was_carried_over_is_abandoned_once_with_its_text_once(start, left, apply):
    begun = [an_opened(turn=a_turn()), Progressed("req_1", 2, "Hi ")]
    left(*begun, number=0)
    left(*begun, Progressed("req_1", 4, "the"), number=1)

    sweep(start)

    assert [record.answer for record in apply.given] == ["Hi the"]


def test_a_crash_in_the_middle_of_many_segments_loses_and_doubles_nothing(start, crash, apply):
    journal = start(segment=1500)
    apply.failure = DatabaseUnavailable()
    for number in range(20):
        journal.open(an_opened(request_id=f"req_{number}"))
        journal.open(an_opened(request_id=f"lost_{number}"))
        journal.settle(a_settled(request_id=f"req_{number}"))
    crash()
    second = ScriptedApply()

    sweep(start, "crashed", apply=second)

    assert sorted(second.ids) == sorted([f"req_{n}" for n in range(20)] + [f"lost_{n}" for n in range(20)])
    assert all(record.lost == record.request_id.startswith("lost") for record in second.given)


def test_the_journal_of_a_living_process_is_left_alone(start, apply):
    owner = start("shared", reap_every=60.0)
    owner.open(an_opened())

    sweep(start, "shared")

    assert apply.calls == 0
    assert owner.settle(a_settled()).wait_applied(5)


def test_one_locked_segment_protects_all_of_its_owner(start, left, apply, folder):
    journal = start("dead", reap_every=60.0)
    journal.open(an_opened())
    owner = journal._writer.owner
    left(an_opened(request_id="req_2"), owner=owner, number=7)

    sweep(start)

    assert apply.calls == 0
    assert (folder / f"{owner}-7.log").exists()


def test_two_reapers_at_once_apply_a_journal_once(start, left, apply):
    left(*(a_settled(request_id=f"req_{number}") for number in range(300)), number=0)
    left(*(a_settled(request_id=f"req_{number}") for number in range(300, 600)), number=1)
    apply.seconds = 0.01
    reapers = [start("dead", reap_every=60.0)._reaper for _ in range(3)]

    gevent.joinall([gevent.spawn(reaper.sweep) for reaper in reapers], raise_error=True)

    assert apply.ids == [f"req_{number}" for number in range(600)]


def test_while_sql_is_down_the_journal_stays_and_counts_as_backlog(start, left, apply, folder):
    path = left(a_settled())
    size = path.stat().st_size
    apply.failure = DatabaseUnavailable()

    journal = sweep(start)

    assert journal.backlog == size
    assert remaining(folder) == ["dead-1-0.log"]
    apply.failure = None
    journal._reaper.sweep()
    assert (apply.ids, journal.backlog, remaining(folder)) == (["req_1"], 0, [])


def test_a_sweep_goes_on_behind_what_the_one_before_had_delivered(start, left, apply, folder, monkeypatch):
    """Else a journal of many segments would never come to its end while SQL fails now and then."""
    left(an_opened(request_id="lost"), a_settled(request_id="req_1"), number=0)
    left(a_settled(request_id="req_2"), number=1)
    journal = start("dead", reap_every=60.0)
    deliver = journal._reaper._delivery.deliver

    def refuse_the_second(records, **options):
        if records[0].request_id == "req_2" and apply.failure is None:
            apply.failure = DatabaseUnavailable()
        deliver(records, **options)

    monkeypatch.setattr(
        type(journal._reaper._delivery), "deliver", lambda _, *given, **options: refuse_the_second(*given, **options)
    )
    journal._reaper.sweep()
    monkeypatch.undo()
    apply.failure = None

    journal._reaper.sweep()

    assert (apply.ids, remaining(folder)) == (["req_1", "req_2", "lost"], [])


def test_a_torn_last_record_costs_nothing_but_itself(start, left, apply, record, folder):
    path = left(an_opened(), a_settled())
    path.write_bytes(path.read_bytes()[:-1])

    sweep(start)

    assert [(given.request_id, given.lost) for given in apply.given] == [("req_1", True)]
    assert record.of(JournalRejected) == []
    assert remaining(folder) == []


def test_a_file_that_is_damaged_in_its_middle_is_kept_and_reported(start, left, apply, record, folder):
    path = left(a_settled(request_id="req_1"), a_settled(request_id="req_2"), a_settled(request_id="req_3"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"req_2", b"req_9"))

    sweep(start)

    assert apply.ids == ["req_1"]
    assert record.of(JournalRejected) == [JournalRejected(None, "damaged", "dead-1-0.rejected")]
    assert remaining(folder) == ["dead-1-0.rejected"]


def test_a_record_of_an_unknown_kind_is_set_aside_and_the_rest_applied(start, left, apply, record, folder):
    path = left(a_settled(request_id="req_1"))
    path.write_bytes(frame(b'{"novelty":{}}') + path.read_bytes())

    sweep(start)

    assert apply.ids == ["req_1"]
    (rejected,) = record.of(JournalRejected)
    assert rejected.reason == "undecodable"
    assert b'{"novelty":{}}' in (folder / rejected.file).read_bytes()


def test_a_record_that_sql_refuses_is_set_aside_and_the_rest_applied(start, left, apply, record):
    left(*(a_settled(request_id=f"req_{number}") for number in range(5)))
    apply.poison = {"req_2"}

    sweep(start)

    assert apply.ids == ["req_0", "req_1", "req_3", "req_4"]
    assert [fact.request_id for fact in record.of(JournalRejected)] == ["req_2"]


def test_the_reserve_of_a_dead_process_is_given_back(start, folder):
    (folder / "dead-1.reserve").write_bytes(b"\0" * 1000)

    journal = sweep(start, reserve=1 << 16)

    assert [path.name for path in folder.glob("*.reserve")] == [f"{journal._writer.owner}.reserve"]


def test_an_empty_file_and_strange_names_are_no_trouble(start, folder, left):
    left()
    (folder / "notes.txt").write_text("mine")

    sweep(start)

    assert remaining(folder) == []
    assert (folder / "notes.txt").exists()


def test_a_sweep_happens_by_itself_and_not_while_sql_is_failing(start, left, apply):
    apply.failure = DatabaseUnavailable()
    journal = start("dead", reap_every=0.02)
    journal.settle(a_settled(request_id="req_own"))
    gevent.sleep(0.05)
    left(a_settled())
    gevent.sleep(0.1)
    assert journal._reaper.orphaned == 0
    apply.failure = None

    assert eventually(lambda: apply.ids == ["req_own", "req_1"])


def test_reading_a_big_journal_does_not_stop_the_others(start, left, apply):
    left(*(a_settled(session=True, request_id=f"req_{number}", answer="x" * 2000) for number in range(2000)))
    turns = []

    def tick():
        while True:
            turns.append(1)
            gevent.sleep(0)

    ticking = gevent.spawn(tick)
    sweep(start)
    ticking.kill()

    assert len(apply.given) == 2000
    assert len(turns) > 20


def test_a_process_that_loses_the_race_for_a_deleted_file_goes_on(start, left, apply, monkeypatch):
    path = left(a_settled())
    really = os.open

    def gone(name, *arguments):
        path.unlink(missing_ok=True)
        return really(name, *arguments)

    journal = start("dead", reap_every=60.0)
    monkeypatch.setattr(os, "open", gone)

    journal._reaper.sweep()

    assert apply.calls == 0


def test_a_folder_that_vanishes_is_reported_and_does_not_end_the_reaper(start, folder, apply, record, left):
    start("dead", reap_every=0.02)
    folder.rename(folder.with_name("away"))
    assert eventually(lambda: JournalDegraded("FileNotFoundError", "none") in record.facts)

    folder.with_name("away").rename(folder)
    left(a_settled())

    assert eventually(lambda: apply.ids == ["req_1"])

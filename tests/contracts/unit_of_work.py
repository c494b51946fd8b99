"""What every `Begin` and its repositories do. Subclass it and provide the fixture `begin` on an empty store."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from domain.errors import NotFound
from domain.session import SessionConfig, Strategy, Summary
from tests.builders import NOW, a_session, a_user
from tests.contracts.populated import EMOJI, LATER, Populated
from tests.contracts.users_and_keys import KeysContract, UsersContract


class TransactionContract:
    def test_what_was_stored_is_there_in_the_next_unit(self, begin):
        with begin() as work:
            work.users.add(a_user())

        with begin() as work:
            assert work.users.get("usr_1") == a_user()

    def test_an_error_in_the_unit_undoes_all_of_it_and_comes_out_unchanged(self, begin):
        with pytest.raises(ZeroDivisionError), begin() as work:  # noqa: PT012 # the unit is what raises
            work.users.add(a_user())
            raise ZeroDivisionError

        with begin() as work:
            assert not work.users.any()


class SessionsContract(Populated):
    def test_a_session_comes_back_as_it_was_stored(self, populated):
        config = SessionConfig(0.7, 512, 0.9, system_prompt=EMOJI, history=3, context=Strategy.SUMMARY)
        session = a_session(id="sess_2", title=EMOJI, config=config)
        with populated() as work:
            work.sessions.add(session)

        with populated() as work:
            assert work.sessions.get("sess_2", "usr_1") == session

    def test_a_session_of_somebody_else_does_not_exist(self, populated):
        with populated() as work, pytest.raises(NotFound):
            work.sessions.get("sess_1", "usr_2")

    def test_saving_keeps_what_the_turns_own(self, populated):
        changed = a_session(title="Plans", provider="other", model="small", updated_at=LATER)
        changed = replace(changed, config=SessionConfig(history=0), message_count=7, active_request_id="req_9")
        with populated() as work:
            work.sessions.save(changed)

        with populated() as work:
            stored = work.sessions.get("sess_1", "usr_1")
        assert stored == replace(changed, message_count=0, active_request_id=None)

    def test_pages_follow_each_other_from_newest_to_oldest(self, populated):
        with populated() as work:
            for number in range(2, 6):
                work.sessions.add(a_session(id=f"sess_{number}"))
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            work.sessions.add(a_session(id="sess_6", user_id="usr_2"))

        with populated() as work:
            first = [session.id for session in work.sessions.page("usr_1", 3, None)]
            second = [session.id for session in work.sessions.page("usr_1", 3, first[-1])]
        assert (first, second) == (["sess_5", "sess_4", "sess_3"], ["sess_2", "sess_1"])

    def test_a_deleted_session_is_gone_from_every_answer(self, populated):
        with populated() as work:
            work.sessions.delete("sess_1", NOW)
            work.sessions.delete("sess_1", LATER)

        with populated() as work:
            assert work.sessions.page("usr_1", 3, None) == []
            with pytest.raises(NotFound):
                work.sessions.get("sess_1", "usr_1")


def a_summary(**fields: Any) -> Summary:
    return Summary(**{"session_id": "sess_1", "seq": 8, "messages": 6, "text": EMOJI, "created_at": NOW, **fields})


class SummariesContract(Populated):
    def test_a_summary_comes_back_as_it_was_stored(self, populated):
        with populated() as work:
            assert work.summaries.get("sess_1") is None
            work.summaries.put(a_summary())

        with populated() as work:
            assert work.summaries.get("sess_1") == a_summary()
            assert work.summaries.get("sess_2") is None

    def test_a_summary_gives_way_to_one_that_covers_more_and_to_no_other(self, populated):
        longer = a_summary(seq=12, messages=10, text="More.", created_at=LATER)
        for summary in (a_summary(), longer, a_summary(), replace(longer, text="Another.")):
            with populated() as work:
                work.summaries.put(summary)

        with populated() as work:
            assert work.summaries.get("sess_1") == longer

    def test_a_session_that_is_gone_has_no_summary_and_gets_none(self, populated):
        with populated() as work:
            work.summaries.put(a_summary())
            work.sessions.delete("sess_1", NOW)
        with populated() as work:
            work.summaries.put(a_summary(seq=20))
            work.summaries.put(a_summary(session_id="sess_9"))

        with populated() as work:
            assert work.summaries.get("sess_1") is None
            assert work.summaries.get("sess_9") is None


class TurnsContract(Populated):
    def test_one_turn_at_a_time_has_the_session(self, populated):
        with populated() as work:
            assert work.turns.take("sess_1", "req_1", NOW, NOW - timedelta(minutes=10))
        with populated() as work:
            assert not work.turns.take("sess_1", "req_2", NOW, NOW - timedelta(minutes=10))

        with populated() as work:
            assert work.sessions.get("sess_1", "usr_1").active_request_id == "req_1"

    def test_a_stale_turn_gives_way(self, populated):
        with populated() as work:
            work.turns.take("sess_1", "req_1", NOW, NOW)
        with populated() as work:
            assert not work.turns.take("sess_1", "req_2", LATER, stale_before=NOW)
            assert work.turns.take("sess_1", "req_2", LATER, stale_before=NOW + timedelta(seconds=1))

        with populated() as work:
            assert work.turns.session_of("req_2", "usr_1") == "sess_1"

    def test_the_session_of_a_turn_is_told_to_its_owner_only(self, populated):
        with populated() as work:
            work.turns.take("sess_1", "req_1", NOW, NOW)
            assert work.turns.session_of("req_1", "usr_2") is None


class EmptyUsageContract(Populated):
    def test_without_records_all_sums_are_zero(self, populated):
        with populated() as work:
            assert work.usage.lifetime("usr_1").requests == 0
            assert work.usage.groups("usr_1", date(2026, 1, 1)) == []
            assert work.usage.records("usr_1", 10, None) == []
            assert work.messages.window("sess_1", 10) == []
            assert work.messages.page("sess_1", 10, 0) == []


class UnitOfWorkContract(
    TransactionContract,
    UsersContract,
    KeysContract,
    SessionsContract,
    SummariesContract,
    TurnsContract,
    EmptyUsageContract,
):
    """Everything above."""

"""What every `Apply` does. Subclass it and provide the fixtures `begin` and `apply` on an empty store."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from domain.ledger import Kind, State, UsageGroup, UsageTotal
from domain.session import MessageState
from domain.usage import Source, Usage
from tests.builders import NOW, a_session, a_settled, a_turn, a_usage, a_user, an_entry

EMOJI = "Grüße 😀 👩‍💻 漢字 𝔘"
TODAY = date(2026, 11, 21)


class Populated:
    @pytest.fixture
    def populated(self, begin):
        """`begin` on a store with one user, and one session whose turn req_1 has."""
        with begin() as work:
            work.users.add(a_user())
            work.sessions.add(a_session())
            work.turns.take("sess_1", "req_1", NOW, NOW)
        return begin


def a_second_turn(**fields):
    turn = a_turn(question_id="msg_3", answer_id="msg_4", question="And you?")
    return a_settled(session=True, request_id="req_2", **{"turn": turn, "answer": "Fine", **fields})


def everything(begin):
    """All that the applied records may have changed."""
    with begin() as work:
        return (
            work.sessions.page("usr_1", 10, None),
            work.messages.page("sess_1", 10, 0),
            work.usage.records("usr_1", 10, None),
            work.usage.lifetime("usr_1"),
        )


class LedgerContract(Populated):
    def test_a_final_row_comes_back_as_it_was_given(self, populated, apply):
        usage = Usage(10, 20, 30, 40, 50, Source.ESTIMATED)
        entry = an_entry(
            usage=usage,
            state=State.PARTIAL,
            session_id="sess_1",
            estimate_method="chars/4",
            error_code="client_gone",
            first_token_ms=7,
            streamed=True,
            started_at=NOW + timedelta(microseconds=1),
            cost=9_000_000_000_000_000,
            charged=None,
        )
        apply([a_settled(entries=(entry,))])

        with populated() as work:
            assert work.usage.records("usr_1", 10, None) == [entry]

    def test_giving_a_batch_again_changes_nothing(self, populated, apply):
        batch = [a_settled(session=True), a_second_turn()]
        apply(batch)
        before = everything(populated)

        apply(batch)
        apply(batch + batch)

        assert everything(populated) == before

    def test_the_first_row_of_a_key_stays(self, populated, apply):
        apply([a_settled(entries=(an_entry(charged=5),))])
        apply([a_settled(entries=(an_entry(charged=7),))])

        with populated() as work:
            assert work.usage.lifetime("usr_1").cost == 5

    def test_records_are_paged_from_newest_to_oldest(self, populated, apply):
        apply([a_settled(request_id=f"req_{number}") for number in range(1, 6)])
        apply([a_settled(entries=(an_entry(request_id="req_9", user_id="usr_2"),))])

        with populated() as work:
            first = [entry.request_id for entry in work.usage.records("usr_1", 3, None)]
            second = [entry.request_id for entry in work.usage.records("usr_1", 3, first[-1])]
        assert (first, second) == (["req_5", "req_4", "req_3"], ["req_2", "req_1"])

    def test_the_record_of_a_dead_worker_counts_as_any_other(self, populated, apply):
        entry = an_entry(state=State.ABANDONED, usage=a_usage(source=Source.ESTIMATED))
        apply([a_settled(session=True, entries=(entry,), answer="", lost=True)])

        sessions, messages, records, total = everything(populated)
        assert (sessions[0].active_request_id, messages) == (None, [])
        assert (records, total.requests) == ([entry], 1)

    def test_a_full_batch_is_stored(self, populated, apply):
        apply([a_settled(request_id=f"req_{number:03}") for number in range(200)])

        with populated() as work:
            assert work.usage.lifetime("usr_1").requests == 200

    def test_an_empty_batch_is_fine(self, apply):
        apply([])

    def test_no_text_stops_a_record(self, populated, apply):
        turn = a_turn(question="nul \0 and half a pair \ud83d", title="t" * 500)
        entry = an_entry(model_requested="acme/" + "x" * 500, error_code="e" * 500)
        apply([a_settled(session=True, turn=turn, answer="\udc00", entries=(entry,))])

        sessions, messages, records, _ = everything(populated)
        assert sessions[0].title.startswith("ttt")
        assert [message.content for message in messages] == ["nul � and half a pair �", "�"]
        assert records[0].model_requested.startswith("acme/xxx")


class TotalsContract(Populated):
    def test_final_and_adjust_rows_are_summed_per_day_key_and_model(self, populated, apply):
        tomorrow = an_entry(request_id="req_2", started_at=NOW + timedelta(days=1), charged=None)
        other_key = an_entry(request_id="req_3", key_id="key_2")
        adjust = an_entry(kind=Kind.ADJUST, usage=Usage(input=-2), charged=-100)
        apply([a_settled(), a_settled(entries=(tomorrow, other_key, adjust))])

        with populated() as work:
            groups = work.usage.groups("usr_1", TODAY)
            recent = work.usage.groups("usr_1", TODAY + timedelta(days=1))
        adjusted, priced, unpriced = (
            UsageTotal(requests=1, input=10, output=3, cost=1_400),
            UsageTotal(requests=1, input=12, output=3, cost=1_500),
            UsageTotal(requests=1, input=12, output=3, unpriced=1),
        )
        last = UsageGroup(TODAY + timedelta(days=1), "key_1", "acme/large", unpriced)
        assert groups == [
            UsageGroup(TODAY, "key_1", "acme/large", adjusted),
            UsageGroup(TODAY, "key_2", "acme/large", priced),
            last,
        ]
        assert recent == [last]

    def test_the_lifetime_is_the_sum_of_one_user(self, populated, apply):
        stranger = an_entry(request_id="req_3", user_id="usr_2")
        apply([a_settled(), a_settled(request_id="req_2"), a_settled(entries=(stranger,))])

        with populated() as work:
            assert work.usage.lifetime("usr_1") == UsageTotal(requests=2, input=24, output=6, cost=3_000)

    def test_a_request_belongs_to_its_day_in_utc(self, populated, apply):
        entry = an_entry(started_at=NOW.replace(hour=23, minute=59, second=59, microsecond=999_999))
        apply([a_settled(entries=(entry,))])

        with populated() as work:
            assert [group.day for group in work.usage.groups("usr_1", TODAY)] == [TODAY]


class ConversationContract(Populated):
    def test_a_turn_stores_its_question_and_its_answer(self, populated, apply):
        ended = NOW + timedelta(seconds=3)
        apply([a_settled(session=True, turn=a_turn(question=EMOJI, title="Hi"), answer=EMOJI * 9, ended_at=ended)])

        (session,), (question, answer), _, _ = everything(populated)
        assert (session.title, session.message_count, session.updated_at) == ("Hi", 2, ended)
        assert session.active_request_id is None
        assert (question.id, question.seq, question.role, question.content) == ("msg_1", 1, "user", EMOJI)
        assert (answer.id, answer.seq, answer.role, answer.content) == ("msg_2", 2, "assistant", EMOJI * 9)
        assert (answer.model, answer.finish_reason, answer.state) == ("acme/large", "stop", MessageState.COMPLETE)
        assert question.request_id == answer.request_id == "req_1"

    def test_a_cut_answer_is_marked_incomplete(self, populated, apply):
        apply([a_settled(session=True, complete=False, finish_reason=None)])

        _, (question, answer), _, _ = everything(populated)
        assert (question.state, answer.state) == (MessageState.COMPLETE, MessageState.INCOMPLETE)

    def test_a_turn_without_an_answer_only_frees_its_session(self, populated, apply):
        apply([a_settled(session=True, answer="")])

        (session,), messages, _, _ = everything(populated)
        assert (session, messages) == (a_session(), [])

    @pytest.mark.parametrize("together", [True, False])
    def test_two_turns_follow_each_other(self, populated, apply, together):
        batch = [a_settled(session=True), a_second_turn()]
        for records in [batch] if together else [[record] for record in batch]:
            apply(records)

        (session,), messages, _, _ = everything(populated)
        assert [(message.id, message.seq) for message in messages] == [
            ("msg_1", 1),
            ("msg_2", 2),
            ("msg_3", 3),
            ("msg_4", 4),
        ]
        assert session.message_count == 4

    def test_a_title_that_is_there_stays(self, populated, apply):
        apply([a_settled(session=True, turn=a_turn(title="first"))])
        apply([a_second_turn(turn=a_turn(question_id="msg_3", answer_id="msg_4", title="second"))])

        (session,), _, _, _ = everything(populated)
        assert session.title == "first"

    def test_a_late_record_leaves_the_lock_of_the_next_turn(self, populated, apply):
        with populated() as work:
            work.turns.take("sess_1", "req_2", NOW, stale_before=NOW + timedelta(seconds=1))

        apply([a_settled(session=True)])

        with populated() as work:
            assert work.turns.session_of("req_2", "usr_1") == "sess_1"

    def test_the_text_of_a_deleted_session_does_not_come_back(self, populated, apply):
        with populated() as work:
            work.sessions.delete("sess_1", NOW)

        apply([a_settled(session=True)])

        sessions, messages, records, _ = everything(populated)
        assert (sessions, messages, len(records)) == ([], [], 1)

    def test_a_session_that_never_was_keeps_no_record_back(self, populated, apply):
        apply([a_settled(session=True, turn=a_turn(session_id="sess_9"))])

        assert len(everything(populated)[2]) == 1

    def test_messages_are_read_by_window_and_by_page(self, populated, apply):
        apply([a_settled(session=True), a_second_turn()])

        with populated() as work:
            assert [message.seq for message in work.messages.window("sess_1", 3)] == [2, 3, 4]
            assert work.messages.window("sess_1", 0) == []
            assert [message.seq for message in work.messages.page("sess_1", 2, 1)] == [2, 3]
            assert [message.seq for message in work.messages.page("sess_1", 2, 3)] == [4]

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize(
        ("second", "kept"),
        [
            ({"conversation": "acme:c-2"}, "acme:c-2"),
            ({"conversation": ""}, ""),
            ({"conversation": "", "complete": False}, ""),
            ({"conversation": "", "complete": False, "answer": ""}, "acme:c-1"),
        ],
    )
    def test_a_session_remembers_who_keeps_its_conversation_until_a_turn_is_told_to_somebody_else_or_cut(
        self, populated, apply, together, second, kept
    ):
        batch = [a_settled(session=True, conversation="acme:c-1"), a_second_turn(**second)]
        for records in [batch] if together else [[record] for record in batch]:
            apply(records)
        apply(batch[:1])

        with populated() as work:
            assert work.sessions.get("sess_1", "usr_1").conversation == kept

    def test_time_never_runs_backwards_in_a_session(self, populated, apply):
        apply([a_settled(session=True, ended_at=NOW + timedelta(hours=1)), a_second_turn(ended_at=NOW)])

        (session,), _, _, _ = everything(populated)
        assert session == replace(session, updated_at=NOW + timedelta(hours=1))


class ApplyContract(LedgerContract, TotalsContract, ConversationContract):
    """Everything above."""

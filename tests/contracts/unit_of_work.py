"""What every `Begin` and its repositories do. Subclass it and provide the fixture `begin` on an empty store."""

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest

from domain.errors import Conflict, NotFound
from domain.session import SessionConfig
from domain.user import Role, Scope
from tests.builders import KID, NOW, a_key, a_session, a_token, a_user

EMOJI = "Grüße 😀 👩‍💻 漢字 𝔘"
LATER = NOW + timedelta(hours=1)


class Populated:
    @pytest.fixture
    def populated(self, begin):
        """`begin` on a store with one user, one key and one session."""
        with begin() as work:
            work.users.add(a_user())
            work.keys.add(a_key())
            work.sessions.add(a_session())
        return begin


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


class UsersContract(Populated):
    def test_a_user_comes_back_as_it_was_stored(self, begin):
        user = a_user(name=EMOJI, password_hash="$argon2id$v=19$x", disabled=True, role=Role.OWNER)
        with begin() as work:
            work.users.add(user)

        with begin() as work:
            assert work.users.get(user.id) == work.users.by_email(user.email) == user

    def test_nobody_is_found_under_a_strange_id_or_address(self, populated):
        with populated() as work:
            assert work.users.get("usr_2") is None
            assert work.users.by_email("eve@example.org") is None

    def test_a_taken_address_is_a_conflict(self, populated):
        with pytest.raises(Conflict), populated() as work:
            work.users.add(a_user(id="usr_2"))

        with populated() as work:
            assert work.users.get("usr_2") is None

    def test_addresses_are_compared_letter_by_letter(self, populated):
        with populated() as work:
            work.users.add(a_user(id="usr_2", email="äda@example.org"))

        with populated() as work:
            assert work.users.by_email("ada@example.org") == a_user()

    def test_an_empty_store_has_no_user(self, begin):
        with begin() as work:
            assert not work.users.any()
            work.users.add(a_user())
            assert work.users.any()

    def test_a_time_of_another_zone_is_the_same_moment(self, begin):
        local = datetime(2026, 11, 21, 14, 30, 15, 123456, timezone(timedelta(hours=2)))
        with begin() as work:
            work.users.add(a_user(created_at=local))

        with begin() as work:
            stored = work.users.get("usr_1").created_at
        assert (stored, stored.utcoffset()) == (local, timedelta(0))


class KeysContract(Populated):
    def test_a_key_comes_back_with_its_user(self, begin):
        key = a_key(
            name=EMOJI,
            scopes=frozenset({Scope.CHAT, Scope.USAGE_READ}),
            models=("acme/large", "acme/*"),
            rpm=60,
            tpm=100_000,
            concurrency=4,
            budget=5_000_000_000_000,
            window="month",
            expires_at=LATER,
        )
        with begin() as work:
            work.users.add(a_user())
            work.keys.add(key)

        with begin() as work:
            assert work.keys.by_kid(KID) == (key, a_user())

    def test_a_kid_is_case_sensitive(self, populated):
        with populated() as work:
            assert work.keys.by_kid(KID.upper()) is None

    def test_keys_are_listed_newest_first_of_one_user_or_of_all(self, populated):
        with populated() as work:
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            work.keys.add(a_key(a_token("k1dk1dk1d2"), id="key_2", user_id="usr_2"))
            work.keys.add(a_key(a_token("k1dk1dk1d3"), id="key_3"))

        with populated() as work:
            assert [key.id for key in work.keys.of_user("usr_1")] == ["key_3", "key_1"]
            assert [key.id for key in work.keys.of_user(None)] == ["key_3", "key_2", "key_1"]
            assert work.keys.of_user("usr_3") == []

    def test_revoking_twice_keeps_the_first_time(self, populated):
        for moment in (NOW, LATER):
            with populated() as work:
                assert work.keys.revoke("key_1", moment)

        with populated() as work:
            key, _ = work.keys.by_kid(KID)
        assert key == a_key(revoked_at=NOW)

    def test_a_key_that_does_not_exist_cannot_be_revoked(self, populated):
        with populated() as work:
            assert not work.keys.revoke("key_2", NOW)


class SessionsContract(Populated):
    def test_a_session_comes_back_as_it_was_stored(self, populated):
        config = SessionConfig(temperature=0.7, max_tokens=512, top_p=0.9, system_prompt=EMOJI, history=3)
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

    def test_only_its_own_turn_releases_a_session(self, populated):
        with populated() as work:
            work.turns.take("sess_1", "req_1", NOW, NOW)
            work.turns.release("sess_1", "req_2")
            assert work.turns.session_of("req_1", "usr_1") == "sess_1"
            work.turns.release("sess_1", "req_1")
            assert work.turns.session_of("req_1", "usr_1") is None
            assert work.turns.take("sess_1", "req_3", NOW, NOW)

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
    TransactionContract, UsersContract, KeysContract, SessionsContract, TurnsContract, EmptyUsageContract
):
    """Everything above."""

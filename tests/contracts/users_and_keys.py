"""What the repositories of users and keys do."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from application.account_store import KeyRecord
from domain.errors import Conflict
from domain.limits import NO_LIMITS, Bound, Budget, Kind, Limits, Unit, Window
from domain.user import Role, Scope
from tests.builders import KID, NOW, a_key, a_token, a_user
from tests.contracts.populated import EMOJI, LATER, Populated


class UsersContract(Populated):
    def test_a_user_comes_back_as_it_was_stored(self, begin):
        user = a_user(
            name=EMOJI,
            password_hash="$argon2id$v=19$x",
            disabled=True,
            role=Role.OWNER,
            confirmed=False,
            locale="zh",
            totp=True,
        )
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

    def test_users_are_listed_newest_first(self, populated):
        with populated() as work:
            for number in (2, 3):
                work.users.add(a_user(id=f"usr_{number}", email=f"{number}@example.org"))

        with populated() as work:
            assert [user.id for user in work.users.page(2, None)] == ["usr_3", "usr_2"]
            assert [user.id for user in work.users.page(2, "usr_2")] == ["usr_1"]

    def test_saving_changes_all_but_the_beginning(self, populated):
        changed = a_user(
            email="countess@example.org",
            role=Role.ADMIN,
            name=EMOJI,
            password_hash="$argon2id$v=19$y",
            disabled=True,
            confirmed=False,
            locale="zh",
            totp=True,
        )
        with populated() as work:
            work.users.save(replace(changed, created_at=LATER))

        with populated() as work:
            assert work.users.get("usr_1") == changed

    def test_nobody_changes_to_a_taken_address(self, populated):
        with populated() as work:
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
        with pytest.raises(Conflict), populated() as work:
            work.users.save(a_user(id="usr_2"))

        with populated() as work:
            assert work.users.get("usr_2").email == "bob@example.org"

    def test_owners_who_are_disabled_do_not_count(self, populated):
        with populated() as work:
            assert work.users.owners() == 0
            for number, disabled in ((2, False), (3, True), (4, False)):
                email = f"{number}@example.org"
                work.users.add(a_user(id=f"usr_{number}", email=email, role=Role.OWNER, disabled=disabled))

        with populated() as work:
            assert work.users.owners() == 2

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
            heartbeats=False,
            team_id="team_1",
            expires_at=LATER,
            revoked_at=LATER,
            replaced_by="key_2",
            last_used_at=LATER,
        )
        with begin() as work:
            work.users.add(a_user())
            work.keys.add(key)

        with begin() as work:
            assert work.keys.by_kid(KID) == KeyRecord(key, a_user())
            assert work.keys.get("key_1") == key
            assert work.keys.get("key_2") is None

    def test_a_key_is_under_its_own_its_users_and_everybodys_limits(self, populated):
        own = Limits(60, 100_000, 4, (Budget(Unit.MONEY, Window.MONTH, 5_000_000_000_000),), shadow=True)
        with populated() as work:
            work.limits.put(Kind.GLOBAL, "", Limits(rpm=4))
            work.limits.put(Kind.USER, "usr_1", Limits(rpm=3))
            work.limits.put(Kind.KEY, "key_1", own)
            for subject in ((Kind.KEY, "key_2"), (Kind.USER, "usr_2"), (Kind.TEAM, "usr_1"), (Kind.USER, "")):
                work.limits.put(*subject, Limits(rpm=9))

        with populated() as work:
            assert work.keys.by_kid(KID) == KeyRecord(
                a_key(limits=own),
                a_user(),
                (
                    Bound(Kind.KEY, "key_1", own),
                    Bound(Kind.USER, "usr_1", Limits(rpm=3)),
                    Bound(Kind.GLOBAL, "", Limits(rpm=4)),
                ),
            )
            assert work.keys.get("key_1") == a_key(limits=own)
            assert work.keys.page(None, None, 9, None) == [a_key(limits=own)]

    def test_a_teams_key_is_under_the_teams_limits_and_not_its_users(self, populated):
        with populated() as work:
            work.keys.add(a_key(a_token("k1dk1dk1d2"), id="key_2", team_id="team_1"))
            work.limits.put(Kind.USER, "usr_1", Limits(rpm=3))
            work.limits.put(Kind.TEAM, "team_1", Limits(rpm=2))

        with populated() as work:
            assert work.keys.by_kid("k1dk1dk1d2").bounds == (Bound(Kind.TEAM, "team_1", Limits(rpm=2)),)

    def test_limits_are_stored_by_the_limit_book_alone(self, begin):
        with begin() as work:
            work.users.add(a_user())
            work.keys.add(a_key(limits=Limits(rpm=1)))
            work.keys.save(a_key(limits=Limits(rpm=1)))

        with begin() as work:
            assert work.keys.get("key_1").limits == NO_LIMITS

    def test_a_kid_is_case_sensitive(self, populated):
        with populated() as work:
            assert work.keys.by_kid(KID.upper()) is None

    def test_keys_are_listed_newest_first_of_one_user_or_team_or_of_all(self, populated):
        with populated() as work:
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            work.keys.add(a_key(a_token("k1dk1dk1d2"), id="key_2", user_id="usr_2", team_id="team_1"))
            work.keys.add(a_key(a_token("k1dk1dk1d3"), id="key_3", team_id="team_1"))

        def listed(*arguments):
            with populated() as work:
                return [key.id for key in work.keys.page(*arguments)]

        assert listed("usr_1", None, 9, None) == ["key_3", "key_1"]
        assert listed(None, None, 9, None) == ["key_3", "key_2", "key_1"]
        assert listed(None, "team_1", 9, None) == ["key_3", "key_2"]
        assert listed("usr_1", "team_1", 9, None) == ["key_3"]
        assert listed("usr_3", None, 9, None) == listed(None, "team_2", 9, None) == []
        assert listed(None, None, 2, None) == ["key_3", "key_2"]
        assert listed(None, None, 2, "key_2") == ["key_1"]

    def test_saving_keeps_what_a_key_is(self, populated):
        changed = a_key(
            name=EMOJI,
            user_id="usr_2",
            scopes=frozenset({Scope.CHAT}),
            models=("acme/*",),
            heartbeats=False,
            expires_at=LATER,
            replaced_by="key_2",
        )
        with populated() as work:
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            work.keys.save(replace(changed, revoked_at=NOW, last_used_at=NOW, team_id="team_1", digest=b"x" * 32))

        with populated() as work:
            assert work.keys.get("key_1") == changed

    def test_a_locked_key_is_the_one_that_is_stored(self, populated):
        with populated() as work:
            work.limits.put(Kind.KEY, "key_1", Limits(rpm=2))

        with populated() as work:
            assert work.keys.lock("key_1") == work.keys.get("key_1")
            assert work.keys.lock("key_1").limits == Limits(rpm=2)
            assert work.keys.lock("key_9") is None

    def test_the_last_use_is_remembered(self, populated):
        with populated() as work:
            work.keys.touch("key_1", LATER)

        with populated() as work:
            assert work.keys.get("key_1") == a_key(last_used_at=LATER)

    def test_revoking_twice_keeps_the_first_time(self, populated):
        for moment in (NOW, LATER):
            with populated() as work:
                assert work.keys.revoke("key_1", moment)

        with populated() as work:
            assert work.keys.get("key_1") == a_key(revoked_at=NOW)

    def test_a_key_that_does_not_exist_cannot_be_revoked(self, populated):
        with populated() as work:
            assert not work.keys.revoke("key_2", NOW)

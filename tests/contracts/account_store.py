"""What the repositories of accounts do, besides users and keys. Provide the fixture `begin` on an empty store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from application.account_store import LoginRecord, SecondFactor
from domain.api_key import digest
from domain.errors import Conflict
from domain.limits import Bound, Kind, Limits
from domain.one_time_token import Purpose
from domain.user import Role
from tests.builders import KID, NOW, a_login, a_one_time_token, a_token, a_user
from tests.contracts.outbox import OutboxContract
from tests.contracts.populated import EMOJI, LATER, SECOND, Populated, ids
from tests.contracts.teams import TeamsContract
from tests.contracts.throttles import ThrottlesContract


def another_login(number, **fields):
    return a_login(a_token(f"k1dk1dk1d{number}", environment="login"), id=f"login_{number}", **fields)


class LoginsContract(Populated):
    @pytest.fixture
    def logged_in(self, populated):
        """Two users, the first with three logins and the second with one."""
        with populated() as work:
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            for number in (1, 2, 3):
                work.logins.add(another_login(number))
            work.logins.add(another_login(4, user_id="usr_2"))
        return populated

    def test_what_began_long_ago_is_forgotten(self, logged_in):
        with logged_in() as work:
            assert work.logins.sweep(NOW) == 0
            assert work.logins.sweep(NOW + timedelta(seconds=1)) == 4

        with logged_in() as work:
            assert work.logins.of_user("usr_1") == []

    def test_a_login_comes_back_with_its_user(self, populated):
        login = a_login(seen_at=LATER, authenticated_at=LATER, ip="2001:db8::1", user_agent=EMOJI, ended_at=LATER)
        with populated() as work:
            work.logins.add(login)

        with populated() as work:
            assert work.logins.by_kid(KID) == LoginRecord(login, a_user())
            assert work.logins.by_kid(KID.upper()) is None

    def test_a_login_is_under_the_limits_of_its_user_and_of_everybody(self, logged_in):
        with logged_in() as work:
            work.limits.put(Kind.USER, "usr_1", Limits(rpm=2))
            work.limits.put(Kind.USER, "usr_2", Limits(rpm=3))
            work.limits.put(Kind.GLOBAL, "", Limits(tpm=4))

        with logged_in() as work:
            assert work.logins.by_kid("k1dk1dk1d1").bounds == (
                Bound(Kind.USER, "usr_1", Limits(rpm=2)),
                Bound(Kind.GLOBAL, "", Limits(tpm=4)),
            )

    def test_logins_are_listed_newest_first(self, logged_in):
        with logged_in() as work:
            assert ids(work.logins.of_user("usr_1")) == ["login_3", "login_2", "login_1"]
            assert work.logins.of_user("usr_3") == []

    def test_touching_moves_the_proof_only_when_there_is_a_new_one(self, logged_in):
        with logged_in() as work:
            work.logins.touch("login_1", LATER)
            work.logins.touch("login_2", LATER, LATER)

        with logged_in() as work:
            assert work.logins.of_user("usr_1")[1:] == [
                another_login(2, seen_at=LATER, authenticated_at=LATER),
                another_login(1, seen_at=LATER),
            ]

    def test_a_login_ends_once(self, logged_in):
        with logged_in() as work:
            assert work.logins.end("login_1", "usr_1", NOW) == another_login(1, ended_at=NOW)
        with logged_in() as work:
            assert work.logins.end("login_1", "usr_1", LATER) is None

        with logged_in() as work:
            assert work.logins.by_kid("k1dk1dk1d1").login == another_login(1, ended_at=NOW)
            assert ids(work.logins.of_user("usr_1")) == ["login_3", "login_2"]

    def test_nobody_ends_the_login_of_somebody_else(self, logged_in):
        with logged_in() as work:
            assert work.logins.end("login_4", "usr_1", NOW) is None
            assert work.logins.end("login_9", "usr_1", NOW) is None

        with logged_in() as work:
            assert ids(work.logins.of_user("usr_2")) == ["login_4"]

    def test_all_logins_end_but_the_one_that_is_named(self, logged_in):
        with logged_in() as work:
            work.logins.end("login_1", "usr_1", NOW)
            assert work.logins.end_all("usr_1", NOW, but="login_2") == [another_login(3, ended_at=NOW)]
        with logged_in() as work:
            assert work.logins.end_all("usr_1", LATER) == [another_login(2, ended_at=LATER)]
            assert work.logins.end_all("usr_1", LATER) == []

        with logged_in() as work:
            assert ids(work.logins.of_user("usr_2")) == ["login_4"]


class OneTimeTokensContract(Populated):
    def test_what_ran_out_is_forgotten(self, populated):
        with populated() as work:
            work.tokens.add(a_one_time_token(user_id="usr_1"))
            end = a_one_time_token().expires_at

        with populated() as work:
            assert work.tokens.sweep(end) == 0
            assert work.tokens.sweep(end + timedelta(seconds=1)) == 1

    def test_a_token_comes_back_as_it_was_stored_and_works_once(self, populated):
        token = a_one_time_token(user_id="usr_1")
        with populated() as work:
            work.tokens.add(token)

        with populated() as work:
            assert work.tokens.spend(token.purpose, token.digest, NOW) == replace(token, used_at=NOW)
        with populated() as work:
            assert work.tokens.spend(token.purpose, token.digest, NOW) is None

    def test_a_token_works_for_its_purpose_and_in_its_time(self, populated):
        token = a_one_time_token()
        with populated() as work:
            work.tokens.add(token)

        with populated() as work:
            assert work.tokens.spend(Purpose.CONFIRM, token.digest, NOW) is None
            assert work.tokens.spend(Purpose.RESET, digest("guessed"), NOW) is None
            assert work.tokens.spend(Purpose.RESET, token.digest, token.expires_at) is None
            assert work.tokens.spend(Purpose.RESET, token.digest, token.expires_at - SECOND) is not None

    def test_a_new_token_takes_the_place_of_the_earlier_ones_of_its_kind(self, populated):
        others = [
            a_one_time_token(id="ott_2", digest=digest("ott_2"), purpose=Purpose.CONFIRM),
            a_one_time_token(id="ott_3", digest=digest("ott_3"), email="bob@example.org"),
        ]
        with populated() as work:
            for token in (a_one_time_token(), *others, a_one_time_token(id="ott_4", digest=digest("ott_4"))):
                work.tokens.add(token)

        with populated() as work:
            assert work.tokens.spend(Purpose.RESET, digest("ott_1"), NOW) is None
            for token in others:
                assert work.tokens.spend(token.purpose, token.digest, NOW) is not None
            assert work.tokens.spend(Purpose.RESET, digest("ott_4"), NOW) is not None

    def test_a_renewed_token_has_another_secret_and_end_and_is_the_same_one_otherwise(self, populated):
        token = a_one_time_token(user_id="usr_1")
        with populated() as work:
            work.tokens.add(token)
            assert work.tokens.renew("ott_1", digest("fresh"), LATER + SECOND)
            assert not work.tokens.renew("ott_9", digest("ott_9"), LATER)

        renewed = replace(token, digest=digest("fresh"), expires_at=LATER + SECOND, used_at=LATER)
        with populated() as work:
            assert work.tokens.issued(Purpose.RESET, "ada@example.org", NOW) == 1
            assert work.tokens.spend(Purpose.RESET, token.digest, NOW) is None
            assert work.tokens.spend(Purpose.RESET, digest("fresh"), LATER) == renewed
            assert not work.tokens.renew("ott_1", digest("again"), LATER)

    def test_what_was_issued_to_an_address_is_counted_whether_used_or_not(self, populated):
        with populated() as work:
            for number, at in enumerate((NOW, LATER, LATER), 1):
                work.tokens.add(a_one_time_token(id=f"ott_{number}", digest=digest(f"ott_{number}"), created_at=at))

        with populated() as work:
            assert work.tokens.issued(Purpose.RESET, "ada@example.org", NOW) == 3
            assert work.tokens.issued(Purpose.RESET, "ada@example.org", LATER) == 2
            assert work.tokens.issued(Purpose.RESET, "ada@example.org", LATER + SECOND) == 0
            assert work.tokens.issued(Purpose.CONFIRM, "ada@example.org", NOW) == 0
            assert work.tokens.issued(Purpose.RESET, "bob@example.org", NOW) == 0

    def test_open_invitations_are_listed_newest_first_until_they_are_withdrawn(self, populated):
        invitations = [
            a_one_time_token(
                id=f"ott_{number}",
                digest=digest(f"ott_{number}"),
                email=f"{number}@example.org",
                purpose=Purpose.INVITE,
                role=Role.VIEWER,
            )
            for number in range(1, 5)
        ]
        with populated() as work:
            for token in (*invitations, a_one_time_token(id="ott_9", digest=digest("ott_9"))):
                work.tokens.add(token)
            work.tokens.spend(Purpose.INVITE, invitations[0].digest, NOW)

        with populated() as work:
            assert work.tokens.withdraw("ott_3", NOW)
            assert not work.tokens.withdraw("ott_3", NOW)
            assert not work.tokens.withdraw("ott_8", NOW)

        with populated() as work:
            assert work.tokens.open_invitations() == [invitations[3], invitations[1]]
            assert work.tokens.spend(Purpose.INVITE, invitations[2].digest, NOW) is None

    def test_all_that_a_user_or_their_address_could_still_use_is_withdrawn(self, populated):
        def token(number, **fields):
            return a_one_time_token(id=f"ott_{number}", digest=digest(f"ott_{number}"), **fields)

        moving = token(1, purpose=Purpose.CONFIRM, email="new@example.org", user_id="usr_1")
        used = token(2, purpose=Purpose.RESET, user_id="usr_1")
        invited = token(3, purpose=Purpose.INVITE, role=Role.VIEWER)
        others = token(4, email="bob@example.org", user_id="usr_2"), token(5, email="eve@example.org")
        with populated() as work:
            work.tokens.add(used)
            assert work.tokens.spend(used.purpose, used.digest, NOW) is not None
            for it in (moving, invited, *others):
                work.tokens.add(it)

        with populated() as work:
            work.tokens.withdraw_all("usr_1", "ada@example.org", LATER)
            work.tokens.withdraw_all("usr_9", "nobody@example.org", LATER)

        with populated() as work:
            spent = [work.tokens.spend(it.purpose, it.digest, NOW) for it in (moving, invited, *others)]
            assert [it is not None for it in spent] == [False, False, True, True]


class SecondFactorsContract(Populated):
    CODES = (digest("one"), digest("two"))

    @pytest.fixture
    def enrolled(self, populated):
        with populated() as work:
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            for user_id in ("usr_1", "usr_2"):
                work.factors.put(SecondFactor(user_id, b"\0sealed\xff", confirmed=True, last_step=5), self.CODES)
        return populated

    def test_a_factor_comes_back_as_it_was_stored(self, enrolled):
        with enrolled() as work:
            assert work.factors.get("usr_1") == SecondFactor("usr_1", b"\0sealed\xff", confirmed=True, last_step=5)
            assert work.factors.get("usr_3") is None

    def test_putting_a_factor_replaces_the_old_one_and_its_codes(self, enrolled):
        with enrolled() as work:
            work.factors.put(SecondFactor("usr_1", b"other"), (digest("two"), digest("three")))

        with enrolled() as work:
            assert work.factors.get("usr_1") == SecondFactor("usr_1", b"other")
            assert not work.factors.use_code("usr_1", digest("one"))
            assert work.factors.use_code("usr_1", digest("two"))
            assert work.factors.use_code("usr_1", digest("three"))
            assert work.factors.use_code("usr_2", digest("one"))

    def test_a_time_step_is_used_once_and_none_before_it_afterwards(self, enrolled):
        with enrolled() as work:
            assert not work.factors.use_step("usr_1", 5)
            assert work.factors.use_step("usr_1", 7)
            assert not work.factors.use_step("usr_1", 7)
            assert not work.factors.use_step("usr_1", 6)
            assert not work.factors.use_step("usr_3", 8)

        with enrolled() as work:
            assert work.factors.get("usr_1").last_step == 7
            assert work.factors.get("usr_2").last_step == 5

    def test_a_recovery_code_works_once(self, enrolled):
        with enrolled() as work:
            assert work.factors.use_code("usr_1", digest("one"))
        with enrolled() as work:
            assert not work.factors.use_code("usr_1", digest("one"))
            assert not work.factors.use_code("usr_3", digest("two"))
            assert work.factors.use_code("usr_1", digest("two"))

    def test_a_removed_factor_leaves_no_code(self, enrolled):
        with enrolled() as work:
            work.factors.remove("usr_1")
            work.factors.remove("usr_3")

        with enrolled() as work:
            assert work.factors.get("usr_1") is None
            assert not work.factors.use_code("usr_1", digest("one"))
            assert work.factors.get("usr_2") is not None


class IdentitiesContract(Populated):
    def test_an_identity_belongs_to_one_user(self, populated):
        with populated() as work:
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            work.identities.add("https://id.example.org", "Ada", "usr_1")
            work.identities.add("https://id.example.org", "ada", "usr_2")
            work.identities.add("https://id.example.org", "Ada", "usr_1")

        with pytest.raises(Conflict), populated() as work:
            work.identities.add("https://id.example.org", "Ada", "usr_2")

        with populated() as work:
            assert work.identities.find("https://id.example.org", "Ada") == "usr_1"
            assert work.identities.find("https://id.example.org", "ada") == "usr_2"
            assert work.identities.find("https://other.example.org", "Ada") is None

    def test_the_identities_of_one_user_are_forgotten(self, populated):
        with populated() as work:
            work.users.add(a_user(id="usr_2", email="bob@example.org"))
            work.identities.add("https://id.example.org", "ada", "usr_1")
            work.identities.add("https://id.example.org", "bob", "usr_2")

        with populated() as work:
            work.identities.forget("usr_1")

        with populated() as work:
            assert work.identities.find("https://id.example.org", "ada") is None
            assert work.identities.find("https://id.example.org", "bob") == "usr_2"


class AccountStoreContract(
    LoginsContract,
    OneTimeTokensContract,
    SecondFactorsContract,
    IdentitiesContract,
    ThrottlesContract,
    OutboxContract,
    TeamsContract,
):
    """Everything above."""

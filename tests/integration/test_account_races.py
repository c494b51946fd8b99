"""What must hold for accounts when many processes ask at once, on every server that Parley runs on."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from application.account_store import SecondFactor
from domain.api_key import digest
from domain.errors import Conflict, DatabaseBusy
from domain.throttle import Rule
from domain.user import Role
from tests.builders import NOW, a_login, a_one_time_token, a_queued_mail, a_user

LATER = NOW + timedelta(hours=1)
RULE = Rule(free=5, window=timedelta(minutes=15))


@pytest.fixture
def at_once(begin):
    """Runs `use(work, number)` for many numbers in as many threads, each in a unit of its own; the answers in order."""

    def insist(use, number):
        for _ in range(50):
            try:
                with begin() as work:
                    return use(work, number)
            except DatabaseBusy:
                time.sleep(0.02)
        raise AssertionError("always busy")

    def run(use, count):
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda number: insist(use, number), range(count)))

    return run


@pytest.fixture
def crowd(begin):
    """Eight users."""
    users = [a_user(id=f"usr_{number}", email=f"{number}@example.org", role=Role.OWNER) for number in range(8)]
    with begin() as work:
        for user in users:
            work.users.add(user)
    return users


@pytest.mark.parametrize("before", [0, 3])
def test_as_many_attempts_as_are_free_pass_before_the_first_wait(at_once, begin, before):
    def attempt(work, _number):
        assert not work.users.any()  # from here on MySQL shows the unit the store of this moment
        return work.throttles.hit("ada", RULE, NOW)

    for _ in range(before):
        with begin() as work:
            work.throttles.hit("ada", RULE, NOW)
    waits = at_once(attempt, 50)

    free = 5 - before
    assert sorted(waits) == [0] * free + [1] * (50 - free)


def test_sweeping_old_counts_takes_no_attempt_away(at_once, begin):
    def act(work, number):
        if number % 10:
            return work.throttles.hit(f"user-{number % 3}", RULE, NOW)
        work.throttles.sweep(LATER - timedelta(days=1))
        return None

    with begin() as work:
        for number in range(3):
            work.throttles.hit(f"user-{number}", RULE, NOW - timedelta(days=1))

    assert at_once(act, 40).count(0) == 3 * 5


def test_a_one_time_token_is_spent_by_one_of_many(at_once, begin):
    token = a_one_time_token()
    with begin() as work:
        work.tokens.add(token)

    spent = at_once(lambda work, _: work.tokens.spend(token.purpose, token.digest, NOW), 20)

    assert [it for it in spent if it is not None] == [replace(token, used_at=NOW)]


def test_a_code_and_a_recovery_code_are_used_by_one_of_many(at_once, begin, crowd):
    user = crowd[0].id
    with begin() as work:
        work.factors.put(SecondFactor(user, b"sealed"), [digest("one"), digest("two")])

    assert sum(at_once(lambda work, _: work.factors.use_step(user, 7), 20)) == 1
    assert sum(at_once(lambda work, _: work.factors.use_code(user, digest("one")), 20)) == 1


def test_a_login_is_ended_by_one_of_many(at_once, begin, crowd):
    with begin() as work:
        work.logins.add(a_login(user_id=crowd[0].id))

    def end(work, number):
        return [work.logins.end("login_1", crowd[0].id, NOW)] if number % 2 else work.logins.end_all(crowd[0].id, NOW)

    answers = at_once(end, 10)
    assert len([login for answer in answers for login in answer if login is not None]) == 1


def add_identity(work, subject, user):
    assert work.users.any()  # as above
    try:
        work.identities.add("https://id.example.org", subject, user.id)
    except Conflict:
        return None
    return user.id


def test_an_identity_goes_to_one_of_many(at_once, begin, crowd):
    answers = at_once(lambda work, number: add_identity(work, "ada", crowd[number]), len(crowd))

    (owner,) = (user_id for user_id in answers if user_id is not None)
    with begin() as work:
        assert work.identities.find("https://id.example.org", "ada") == owner


def test_nobody_is_in_conflict_with_themselves(at_once, crowd):
    assert at_once(lambda work, _: add_identity(work, "ada", crowd[0]), 8) == ["usr_0"] * 8


def test_no_mail_is_given_to_two_workers(at_once, begin):
    with begin() as work:
        for number in range(30):
            work.outbox.put(a_queued_mail(id=f"mail_{number:02}"))

    claimed = []
    while (round_of_claims := at_once(lambda work, _: work.outbox.claim(NOW, LATER, 5), 8)) and any(round_of_claims):
        claimed += [mail.id for mails in round_of_claims for mail in mails]

    assert sorted(claimed) == [f"mail_{number:02}" for number in range(30)]


def test_demotions_at_once_leave_an_owner(at_once, begin, crowd):
    def demote(work, number):
        if work.users.owners() == 1:
            return False
        time.sleep(0.02)
        work.users.save(replace(crowd[number], role=Role.MEMBER))
        return True

    assert sum(at_once(demote, len(crowd))) == len(crowd) - 1
    with begin() as work:
        assert work.users.owners() == 1


class TestNeighbours:
    """What concerns different people does not stop one of them: MySQL locks the gaps between rows as well."""

    @pytest.fixture
    def side_by_side(self, begin, engine):
        """As `at_once`, but all units are open together and nobody is ever told that the database is busy.

        On the embedded store one follows the other: a transaction has the whole file there.
        """
        together = Barrier(1 if engine.dialect.name == "sqlite" else 3, timeout=5)  # PgBouncer has 3 connections here

        def run(use):
            def once(number):
                with begin() as work:
                    work.users.any()
                    together.wait()
                    use(work, number)

            with ThreadPoolExecutor(3) as pool:
                return list(pool.map(once, range(3)))

        return run

    @pytest.mark.parametrize("turn", range(5))
    def test_tokens_for_different_addresses(self, side_by_side, turn):
        def add(work, number):
            email, secret = f"{number}@example.org", digest(f"{turn}_{number}")
            work.tokens.add(a_one_time_token(id=f"ott_{number}", digest=secret, email=email))

        side_by_side(add)

    @pytest.mark.parametrize("turn", range(5))
    def test_second_factors_of_different_users(self, side_by_side, crowd, turn):
        codes = [digest(f"{turn}-{code}") for code in range(8)]
        side_by_side(lambda work, number: work.factors.put(SecondFactor(crowd[number].id, b"x"), codes))

    @pytest.mark.parametrize("turn", range(5))
    def test_attempts_of_different_callers(self, side_by_side, turn):
        side_by_side(lambda work, number: work.throttles.hit(f"user-{number}-{turn}", RULE, NOW))


def test_who_waited_for_a_lock_reads_what_was_written_meanwhile(begin, crowd):
    """Two administrators change one user: the second change does not undo the first."""
    with ThreadPoolExecutor(1) as pool:
        with begin() as work:
            work.users.owners()
            user = work.users.get("usr_1")
            second = pool.submit(_rename, begin)
            time.sleep(0.3)  # it has begun, and waits for the owners
            work.users.save(replace(user, role=Role.VIEWER))
        second.result(10)

    with begin() as work:
        changed = work.users.get("usr_1")
    assert (changed.role, changed.name) == (Role.VIEWER, "Ada")


def _rename(begin):
    for _ in range(50):
        try:
            with begin() as work:
                work.users.owners()
                work.users.save(replace(work.users.get("usr_1"), name="Ada"))
                return
        except DatabaseBusy:  # the embedded store has one connection
            time.sleep(0.02)

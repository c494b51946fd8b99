"""What strangers and users ask many times at once, on every server that Parley runs on."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Thread

import pytest

from application.accounts import AccountService, Profile, Registration
from application.auditing import Auditor
from application.logins import Attempt, LoginService
from application.passwords import PasswordRules
from application.second_factor import SecondFactorService
from domain.api_key import digest
from domain.errors import DatabaseBusy, InvalidCredentials, InvalidRequest, ParleyError
from domain.mail import MailKind
from domain.one_time_token import Purpose
from domain.throttle import ADDRESS
from domain.user import Role
from tests.builders import NOW, a_one_time_token, a_principal, a_user
from tests.fakes import CountedCodes, FrozenClock, PlainHasher, PlainVault, counting_ids, counting_secrets

TIMES = 20
PASSWORD = "three brown foxes"


class Site:
    """The services of one worker on a real store."""

    def __init__(self, begin) -> None:
        clock, new_id, new_secret = FrozenClock(), counting_ids(), counting_secrets()
        auditor, hasher, self.codes = Auditor(clock, new_id), PlainHasher(), CountedCodes()
        made = (begin, clock, new_id, new_secret)
        self.clock = clock
        self.factors = SecondFactorService(begin, clock, new_secret, self.codes, PlainVault(), auditor)
        self.logins = LoginService(*made, hasher, self.factors, auditor, lambda _: None)
        rules = PasswordRules(frozenset())
        self.accounts = AccountService(*made, hasher, rules, auditor, registration="open", mails=True)

    def code(self) -> str:
        return self.codes.code(int(self.clock.now().timestamp()) // 30)


@pytest.fixture
def site(begin) -> Site:
    with begin() as work:
        work.users.add(a_user(password_hash=f"plain:{PASSWORD}"))
    return Site(begin)


def at_once(act) -> Counter:
    """How often each outcome came of doing it many times at once: the name of an error, or None."""

    def insist(number: int) -> str | None:
        for _ in range(200):
            try:
                act(number)
            except DatabaseBusy:
                time.sleep(0.02)
            except ParleyError as error:
                return type(error).__name__
            else:
                return None
        raise AssertionError("always busy")

    with ThreadPoolExecutor(TIMES) as pool:
        return Counter(pool.map(insist, range(TIMES)))


def visitor(number: int) -> str:
    """A network of its own for each, so that none is throttled."""
    return f"192.0.2.{number % ADDRESS.free}"


def test_one_address_registered_many_times_at_once_is_one_account_with_the_same_answer_for_all(site: Site, begin):
    order = Registration("grace@example.org", PASSWORD)

    outcomes = at_once(lambda number: site.accounts.register(replace(order, ip=visitor(number))))

    assert outcomes == {None: TIMES}
    with begin() as work:
        queued = work.outbox.claim(NOW, NOW, 100)
        assert [user.email for user in work.users.page(10, None)].count("grace@example.org") == 1
    kinds = Counter(mail.kind for mail in queued)
    assert kinds == {MailKind.CONFIRM: 1, MailKind.ALREADY_REGISTERED: TIMES - 1}


def test_a_reset_used_many_times_at_once_sets_one_password(site: Site, begin):
    with begin() as work:
        work.tokens.add(a_one_time_token(digest=digest("secret"), user_id="usr_1"))

    outcomes = at_once(lambda number: site.accounts.reset("secret", f"new password {number}", visitor(number)))

    assert outcomes == {None: 1, InvalidRequest.__name__: TIMES - 1}
    with begin() as work:
        assert str(work.users.get("usr_1").password_hash).startswith("plain:new password ")


def test_a_confirmation_used_many_times_at_once_counts_once(site: Site, begin):
    with begin() as work:
        work.tokens.add(a_one_time_token(purpose=Purpose.CONFIRM, digest=digest("secret"), user_id="usr_1"))

    assert at_once(lambda _: site.accounts.confirm("secret")) == {None: 1, InvalidRequest.__name__: TIMES - 1}


@pytest.mark.parametrize("recovery", [False, True])
def test_a_code_used_many_times_at_once_logs_in_once(site: Site, begin, recovery: bool):
    me = a_principal(key_id="login_0", login=True)
    site.factors.enrol(me)
    codes = site.factors.confirm(me, site.code())
    site.clock.advance(60)
    code = codes[0] if recovery else site.code()

    with begin() as work:
        user = work.users.get("usr_1")

    def use(_: int) -> None:
        with begin() as work:
            site.factors.check(work, user, code)

    assert at_once(use) == {None: 1, InvalidCredentials.__name__: TIMES - 1}


def test_a_password_guessed_many_times_at_once_is_tried_as_often_as_is_free(site: Site):
    attempt = Attempt("ada@example.org", "wrong wrong wrong")

    outcomes = at_once(lambda number: site.logins.login(replace(attempt, ip=visitor(number))))

    assert outcomes == {"InvalidCredentials": 5, "RateLimited": TIMES - 5}


def test_a_user_who_changes_the_name_while_an_administrator_takes_the_role_does_not_get_it_back(site: Site, begin):
    with begin() as work:
        work.users.save(replace(work.users.get("usr_1"), role=Role.ADMIN))
    locked = Event()

    def demote() -> None:
        with begin() as work:
            user = work.users.lock("usr_1")
            locked.set()
            time.sleep(0.5)
            work.users.save(replace(user, role=Role.VIEWER))

    administrator = Thread(target=demote)
    administrator.start()
    locked.wait()
    site.accounts.change_me(a_principal(key_id="login_0", login=True), Profile(name="Ada"))
    administrator.join()

    with begin() as work:
        user = work.users.get("usr_1")
    assert (user.role, user.name) == (Role.VIEWER, "Ada")

"""What strangers and users ask many times at once, on every server that Parley runs on."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Event, Thread

import pytest

from application.account_orders import Profile, Registration
from application.accounts import AccountService
from application.auditing import Auditor
from application.keys import OVERLAP, KeyOrder, KeyService
from application.logins import Attempt, LoginService
from application.passwords import PasswordRules
from application.second_factor import SecondFactorService
from application.user_admin import UserAdmin, UserChange
from domain.api_key import digest
from domain.audit import SYSTEM
from domain.errors import Conflict, DatabaseBusy, InvalidCredentials, InvalidRequest, ParleyError
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
        self.users = UserAdmin(*made, auditor)
        self.keys = KeyService(*made, auditor, lambda _: None)
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


def test_a_key_rotated_many_times_at_once_has_one_heir(site: Site, begin):
    me = a_principal(key_id="login_0", login=True)
    key, _ = site.keys.create(me, KeyOrder("laptop"), SYSTEM)

    assert at_once(lambda _: site.keys.rotate(me, key.id, OVERLAP, SYSTEM)) == {None: 1, Conflict.__name__: TIMES - 1}

    with begin() as work:
        old, heirs = work.keys.get(key.id), [it for it in work.keys.page("usr_1", None, 99, None) if it.id != key.id]
    assert [it.id for it in heirs] == [old.replaced_by]


def test_a_login_that_overlaps_with_a_new_password_does_not_outlive_it(site: Site, begin):
    """The password is right when it is checked, and another one when the login is made."""
    locked = Event()

    def change() -> None:
        with begin() as work:
            user = work.users.lock("usr_1")
            locked.set()
            time.sleep(0.5)
            work.users.save(replace(user, password_hash="plain:another fine password"))
            work.logins.end_all("usr_1", NOW)

    changing = Thread(target=change)
    changing.start()
    locked.wait()
    with pytest.raises((InvalidCredentials, DatabaseBusy)):
        site.logins.login(Attempt("ada@example.org", PASSWORD, ip="192.0.2.1"))
    changing.join()

    with begin() as work:
        assert work.logins.of_user("usr_1") == []


def test_an_administrator_who_renames_a_user_does_not_bring_the_old_password_back(site: Site, begin):
    locked = Event()

    def change() -> None:
        with begin() as work:
            user = work.users.lock("usr_1")
            locked.set()
            time.sleep(0.5)
            work.users.save(replace(user, password_hash="plain:another fine password"))

    changing = Thread(target=change)
    changing.start()
    locked.wait()
    with suppress(DatabaseBusy):
        site.users.change(a_principal(user_id="usr_o", role=Role.OWNER), "usr_1", UserChange(name="Ada"), SYSTEM)
    changing.join()

    with begin() as work:
        assert work.users.get("usr_1").password_hash == "plain:another fine password"

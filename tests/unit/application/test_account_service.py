from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from application.account_orders import Profile, Registration
from application.accounts import AccountService
from application.logins import Attempt
from application.mails import PER_HOUR
from domain.api_key import digest
from domain.audit import Actor
from domain.errors import (
    Conflict,
    Forbidden,
    InvalidCredentials,
    InvalidRequest,
    NotFound,
    Overloaded,
    RateLimited,
    RegistrationClosed,
    Unauthenticated,
)
from domain.limits import Kind
from domain.mail import Locale, MailKind, QueuedMail
from domain.one_time_token import Purpose
from domain.team import Membership, TeamRole
from domain.throttle import ACCOUNT, ADDRESS, FORGOTTEN, REGISTRATION
from domain.user import Role
from tests.builders import a_key, a_login, a_one_time_token, a_principal, a_token, a_user
from tests.memory_accounts import MemoryUsers
from tests.world import World

PASSWORD = "three brown foxes"
NEW = "seven green doves"
ME = a_principal(key_id="login_1", login=True)
GRACE = Registration("grace@example.org", PASSWORD, "Grace", ip="192.0.2.1")


@pytest.fixture
def world(world: World) -> World:
    """Ada, with a password and three logins, and somebody else with one."""
    world.begin.rows.users["usr_1"] = a_user(password_hash=f"plain:{PASSWORD}", name="Ada", locale="zh")
    world.begin.rows.users["usr_9"] = a_user(id="usr_9", email="eve@example.org", role=Role.OWNER)
    for number, user_id in ((1, "usr_1"), (2, "usr_1"), (3, "usr_1"), (9, "usr_9")):
        token = a_token(f"login0000{number}", environment="login")
        world.begin.rows.logins[f"login_{number}"] = a_login(token, id=f"login_{number}", user_id=user_id)
    return world


def ada(world: World):
    return world.begin.rows.users["usr_1"]


def by_email(world: World, email: str):
    (user,) = (user for user in world.begin.rows.users.values() if user.email == email)
    return user


def queued(world: World) -> list[QueuedMail]:
    return list(world.begin.rows.outbox.values())


def mails(world: World) -> list[tuple[MailKind, str]]:
    return [(mail.kind, mail.email) for mail in queued(world)]


def running(world: World) -> set[str]:
    return {login.id for login in world.begin.rows.logins.values() if login.ended_at is None}


def audited(world: World) -> list[str]:
    return [entry.action for entry in world.begin.rows.audit.values()]


def without_mails(world: World) -> AccountService:
    return replace(world.accounts, mails=False)


def token(world: World, kind: Purpose, **fields) -> str:
    """The secret of a token that was sent to Ada."""
    secret = f"{kind}-secret"
    given = {"purpose": kind, "digest": digest(secret), "user_id": "usr_1", **fields}
    with world.begin() as work:
        work.tokens.add(a_one_time_token(**given))
    return secret


def invitation(world: World, email: str = "grace@example.org", role: Role = Role.ADMIN) -> str:
    return token(world, Purpose.INVITE, email=email, role=role, user_id=None)


# ── registering ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_account_waits_for_its_address_to_be_confirmed(world: World):
    world.accounts.register(replace(GRACE, email=" Grace@Example.ORG ", locale=Locale.ZH))

    user = by_email(world, "grace@example.org")
    assert (user.name, user.role, user.locale, user.confirmed) == ("Grace", Role.MEMBER, "zh", False)
    (mail,) = queued(world)
    assert (mail.kind, mail.email, mail.locale) == (MailKind.CONFIRM, "grace@example.org", Locale.ZH)
    assert mail.created_at == mail.due_at == world.clock.now()
    with pytest.raises(InvalidCredentials):
        world.logins.login(Attempt("grace@example.org", PASSWORD))


def test_a_password_is_stored_hashed(world: World):
    world.accounts.register(GRACE)

    assert by_email(world, "grace@example.org").password_hash == f"plain:{PASSWORD}"


def test_a_taken_address_makes_no_difference_but_the_mail_its_owner_gets(world: World):
    before = ada(world)

    assert world.accounts.register(replace(GRACE, email="ADA@example.org")) is None

    assert ada(world) == before
    assert [(mail.kind, mail.email, mail.locale) for mail in queued(world)] == [
        (MailKind.ALREADY_REGISTERED, "ada@example.org", Locale.ZH)
    ]


@pytest.mark.parametrize("email", ["grace@example.org", "ada@example.org"])
@pytest.mark.parametrize("fields", [{}, {"disabled": True}, {"confirmed": False}])
def test_registering_costs_one_hash_and_one_mail_whoever_has_the_address(world: World, email: str, fields: dict):
    world.begin.rows.users["usr_1"] = replace(ada(world), **fields)
    begun = world.begin.begun

    world.accounts.register(replace(GRACE, email=email))

    assert (world.passwords.hashed, len(queued(world)), world.begin.begun - begun) == (1, 1, 2)


def test_twenty_registrations_of_one_address_make_one_account(world: World):
    for number in range(20):
        assert world.accounts.register(replace(GRACE, ip=f"192.0.2.{number}")) is None

    assert by_email(world, "grace@example.org")
    assert mails(world).count((MailKind.CONFIRM, "grace@example.org")) == 1
    assert mails(world).count((MailKind.ALREADY_REGISTERED, "grace@example.org")) == 19


class Overtaken(MemoryUsers):
    """Those of a unit that began before somebody else took the address, and ends after it."""

    def by_email(self, email):
        return None

    def add(self, user):
        raise Conflict


def test_whoever_loses_the_race_for_an_address_is_told_nothing_else(world: World):
    begun = count(1)

    @contextmanager
    def begin():
        with world.begin() as work:
            yield replace(work, users=Overtaken(work.users.rows)) if next(begun) == 2 else work

    assert replace(world.accounts, begin=begin).register(replace(GRACE, email="ada@example.org")) is None

    assert next(begun) == 4, "the second unit was the one that lost"
    assert mails(world) == [(MailKind.ALREADY_REGISTERED, "ada@example.org")]
    assert world.passwords.hashed == 1


def test_without_mails_an_address_counts_as_confirmed(world: World):
    without_mails(world).register(GRACE)

    assert by_email(world, "grace@example.org").confirmed
    assert queued(world) == []
    assert world.logins.login(Attempt("grace@example.org", PASSWORD))


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "grace"},
        {"password": "too short"},
        {"password": "graceexample"},
        {"password": "correct horse battery"},
    ],
    ids=["no address", "short", "too near", "known"],
)
def test_a_bad_address_or_password_is_refused_before_anything_is_counted(world: World, fields: dict):
    with pytest.raises(InvalidRequest):
        world.accounts.register(replace(GRACE, **fields))

    assert (world.passwords.hashed, world.begin.rows.throttles) == (0, {})


def test_a_network_cannot_register_without_end(world: World):
    for number in range(REGISTRATION.free):
        world.accounts.register(replace(GRACE, email=f"{number}@example.org", ip="2001:db8::1"))

    for email in ("another@example.org", "ada@example.org"):
        with pytest.raises(RateLimited) as refusal:
            world.accounts.register(replace(GRACE, email=email, ip="2001:db8::2"))
        assert refusal.value.retry_after == 60
    assert world.passwords.hashed == REGISTRATION.free


def test_too_many_registrations_at_once_are_told_to_come_back(world: World):
    world.passwords.busy = Overloaded(retry_after=1)

    with pytest.raises(Overloaded):
        world.accounts.register(GRACE)


@pytest.mark.parametrize(("mode", "invite"), [("closed", None), ("closed", "token"), ("invite", None), ("invite", "")])
def test_registration_may_be_closed(world: World, mode: str, invite: str | None):
    with pytest.raises(RegistrationClosed):
        replace(world.accounts, registration=mode).register(replace(GRACE, invite=invite))

    assert (world.passwords.hashed, world.begin.begun) == (0, World().begin.begun)


@pytest.mark.parametrize("mode", ["invite", "open"])
def test_an_invitation_decides_address_and_role_and_confirms_the_address(world: World, mode: str):
    secret = invitation(world)

    replace(world.accounts, registration=mode).register(replace(GRACE, email="somebody@else.example", invite=secret))

    user = by_email(world, "grace@example.org")
    assert (user.role, user.confirmed, user.name) == (Role.ADMIN, True, "Grace")
    assert queued(world) == []
    assert world.logins.login(Attempt("grace@example.org", PASSWORD))


def test_an_invitation_needs_no_address_from_whoever_follows_it(world: World):
    world.accounts.register(replace(GRACE, email="", invite=invitation(world)))

    assert by_email(world, "grace@example.org")


def test_an_invitation_works_once(world: World):
    order = replace(GRACE, invite=invitation(world))
    world.accounts.register(order)

    with pytest.raises(RegistrationClosed):
        world.accounts.register(replace(order, email="other@example.org"))


@pytest.mark.parametrize("mode", ["invite", "open"])
def test_an_invitation_that_is_none_is_refused_after_the_same_work(world: World, mode: str):
    reset = token(world, Purpose.RESET)

    for secret in ("nothing", reset):
        with pytest.raises(RegistrationClosed):
            replace(world.accounts, registration=mode).register(replace(GRACE, invite=secret))

    assert world.passwords.hashed == 2


def test_an_invitation_is_over_in_time(world: World):
    secret = invitation(world)
    world.clock.advance(timedelta(minutes=15).total_seconds())

    with pytest.raises(RegistrationClosed):
        world.accounts.register(replace(GRACE, invite=secret))


def test_an_invitation_survives_a_password_that_is_too_near_to_its_address(world: World):
    secret = invitation(world, email="grace.hopper@example.org")

    with pytest.raises(InvalidRequest, match="too near"):
        world.accounts.register(Registration("", "grace-hopper", invite=secret))

    world.accounts.register(Registration("", PASSWORD, invite=secret))


def test_an_invitation_to_an_address_with_an_account_changes_no_account(world: World):
    before = ada(world)

    world.accounts.register(replace(GRACE, invite=invitation(world, email="ada@example.org")))

    assert ada(world) == before
    assert mails(world) == [(MailKind.ALREADY_REGISTERED, "ada@example.org")]


def test_a_registration_is_audited_without_its_password(world: World):
    world.accounts.register(GRACE)

    (entry,) = world.begin.rows.audit.values()
    user = by_email(world, "grace@example.org")
    assert (entry.action, entry.object_id, entry.actor) == ("user.register", user.id, Actor(user.id, None, "192.0.2.1"))
    assert entry.after == {"email": "grace@example.org", "role": Role.MEMBER, "invitation": None}
    assert PASSWORD not in repr(entry)


# ── confirming ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_following_the_mail_confirms_the_address(world: World):
    world.begin.rows.users["usr_1"] = replace(ada(world), confirmed=False)

    world.accounts.confirm(token(world, Purpose.CONFIRM))

    assert ada(world).confirmed
    assert world.logins.login(Attempt("ada@example.org", PASSWORD))
    (entry,) = world.begin.rows.audit.values()
    assert (entry.before, entry.after) == ({"confirmed": False}, {"confirmed": True})


def test_a_confirmation_works_once_and_for_nothing_else(world: World):
    secret, reset = token(world, Purpose.CONFIRM), token(world, Purpose.RESET, id="ott_2")
    world.accounts.confirm(secret)

    for bad in (secret, reset, "", "nothing"):
        with pytest.raises(InvalidRequest) as refusal:
            world.accounts.confirm(bad)
        assert refusal.value.param == "token"


@pytest.mark.parametrize("fields", [{"user_id": "usr_x"}, {"user_id": None}])
def test_a_confirmation_without_its_account_is_a_bad_link(world: World, fields: dict):
    with pytest.raises(InvalidRequest):
        world.accounts.confirm(token(world, Purpose.CONFIRM, **fields))


def test_a_disabled_account_cannot_be_confirmed(world: World):
    world.begin.rows.users["usr_1"] = replace(ada(world), confirmed=False, disabled=True)

    with pytest.raises(InvalidRequest):
        world.accounts.confirm(token(world, Purpose.CONFIRM))
    assert not ada(world).confirmed


# ── reading and changing ─────────────────────────────────────────────────────────────────────────────────────────


def test_everybody_can_read_their_own_account_with_a_key_as_well(world: World):
    assert world.accounts.me(a_principal()) == ada(world)


def test_an_account_that_vanished_meanwhile_is_nobody(world: World):
    with pytest.raises(Unauthenticated):
        world.accounts.me(a_principal(user_id="usr_x"))


def test_a_change_touches_only_what_it_names(world: World):
    before = ada(world)

    assert world.accounts.change_me(ME, Profile(name="Countess")) == replace(before, name="Countess")
    assert world.accounts.change_me(ME, Profile(locale=Locale.EN)) == replace(before, name="Countess", locale="en")

    assert ada(world) == replace(before, name="Countess", locale="en")
    assert [(entry.before, entry.after) for entry in world.begin.rows.audit.values()] == [
        ({"name": "Ada"}, {"name": "Countess"}),
        ({"locale": "zh"}, {"locale": "en"}),
    ]
    assert {entry.actor for entry in world.begin.rows.audit.values()} == {Actor("usr_1", "login_1")}


@pytest.mark.parametrize("profile", [Profile(), Profile(name="Ada"), Profile(email=" ADA@example.org")])
def test_a_change_that_changes_nothing_needs_no_password_and_leaves_no_trace(world: World, profile: Profile):
    before = ada(world)

    assert world.accounts.change_me(ME, profile) == before

    assert (world.passwords.hashed, audited(world), queued(world)) == (0, [], [])
    assert len(running(world)) == 4


MOVE = Profile(email="Lovelace@example.org", password=PASSWORD)


def test_a_new_address_waits_until_it_is_confirmed_so_that_nobody_locks_himself_out(world: World):
    before = ada(world)

    assert world.accounts.change_me(ME, MOVE) == before

    (mail,) = queued(world)
    assert (mail.kind, mail.email) == (MailKind.CONFIRM, "lovelace@example.org")
    asked = world.begin.rows.tokens[mail.subject_id]
    assert (asked.purpose, asked.email, asked.user_id) == (Purpose.CONFIRM, "lovelace@example.org", "usr_1")
    assert running(world) == {"login_1", "login_9"}


def test_a_confirmed_new_address_takes_the_place_of_the_old_one_which_hears_of_it(world: World):
    world.accounts.change_me(ME, MOVE)

    world.accounts.confirm(token(world, Purpose.CONFIRM, email="lovelace@example.org"))

    assert (ada(world).email, ada(world).confirmed) == ("lovelace@example.org", True)
    assert mails(world)[1:] == [(MailKind.EMAIL_CHANGED, "ada@example.org")]
    *_, entry = world.begin.rows.audit.values()
    assert (entry.action, entry.before, entry.after) == (
        "user.change",
        {"email": "ada@example.org"},
        {"email": "lovelace@example.org"},
    )
    assert world.logins.login(Attempt("lovelace@example.org", PASSWORD))


def test_the_mail_to_a_new_address_leads_to_the_change(world: World):
    world.accounts.change_me(ME, MOVE)

    assert world.mails.deliver() == 1
    (mail,) = world.mailer.sent
    secret = mail.text.partition("#token=")[2].split()[0]
    world.accounts.confirm(secret)

    assert (mail.to, ada(world).email) == ("lovelace@example.org", "lovelace@example.org")


def test_of_two_new_addresses_only_the_later_one_can_be_confirmed(world: World):
    for address in ("wrnog@example.org", "lovelace@example.org"):
        world.accounts.change_me(ME, Profile(email=address, password=PASSWORD))

    assert world.mails.deliver() == 1
    assert [mail.to for mail in world.mailer.sent] == ["lovelace@example.org"]


def test_an_address_is_asked_three_times_an_hour_whoever_wants_it(world: World):
    for _ in range(PER_HOUR):
        world.accounts.change_me(ME, Profile(email="grace@example.org", password=PASSWORD))

    with pytest.raises(RateLimited) as refusal:
        world.accounts.change_me(ME, Profile(email="grace@example.org", password=PASSWORD))

    assert refusal.value.retry_after == 3600
    assert len(queued(world)) == PER_HOUR


ENDINGS = {
    "a new password": lambda world: world.accounts.change_password(ME, PASSWORD, NEW),
    "a reset": lambda world: world.accounts.reset(token(world, Purpose.RESET), NEW, "192.0.2.1"),
    "the command line": lambda world: world.accounts.set_password("ada@example.org", NEW),
    "deletion": lambda world: world.accounts.delete_me(ME, PASSWORD),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("sent", [True, False])
def test_what_was_asked_for_before_is_worth_nothing_after(world: World, end, sent: bool):
    """Whoever knew the old password may have asked for a new address or for a reset."""
    world.accounts.change_me(ME, Profile(email="mallory@example.org", password=PASSWORD))
    world.accounts.forgot("ada@example.org", Locale.EN, "192.0.2.1")
    if sent:
        assert world.mails.deliver() == 2
    links = [mail.text.partition("#token=")[2].split()[0] for mail in world.mailer.sent]

    end(world)
    world.begin.rows.outbox = {it.id: it for it in queued(world) if it.kind is MailKind.CONFIRM}
    world.mails.deliver()

    assert len(world.mailer.sent) == len(links), "the mail to the new address is not sent any more"
    for link in links:
        with pytest.raises(InvalidRequest):
            world.accounts.confirm(link)
        with pytest.raises(InvalidRequest):
            world.accounts.reset(link, NEW, "192.0.2.2")
    assert "mallory@example.org" not in {user.email for user in world.begin.rows.users.values()}


def test_where_sign_on_believes_addresses_and_none_can_be_confirmed_they_stay(world: World):
    """Else somebody could take a colleague's address before that one logs in for the first time."""
    fixed = replace(world.accounts, mails=False, fixed_addresses=True)

    with pytest.raises(Forbidden):
        fixed.change_me(ME, Profile(email="boss@example.org", password=PASSWORD))

    assert fixed.change_me(ME, Profile(name="Ada L.", email="ada@example.org")).name == "Ada L."


def test_a_new_address_that_somebody_took_meanwhile_changes_nothing(world: World):
    world.accounts.change_me(ME, MOVE)
    world.begin.rows.users["usr_5"] = a_user(id="usr_5", email="lovelace@example.org")

    with pytest.raises(Conflict):
        world.accounts.confirm(token(world, Purpose.CONFIRM, email="lovelace@example.org"))

    assert ada(world).email == "ada@example.org"


def test_without_mails_a_new_address_counts_at_once(world: World):
    changed = without_mails(world).change_me(ME, replace(MOVE, name="Countess"))

    assert (changed.email, changed.name, changed.confirmed) == ("lovelace@example.org", "Countess", True)
    assert ada(world) == changed
    assert running(world) == {"login_1", "login_9"}
    assert queued(world) == []


@pytest.mark.parametrize("mailing", [True, False])
def test_a_taken_address_is_refused_and_stays_counted(world: World, mailing: bool):
    accounts = replace(world.accounts, mails=mailing)
    before = ada(world)

    for _ in range(ACCOUNT.free):
        with pytest.raises(Conflict):
            accounts.change_me(ME, Profile(email="eve@example.org", name="X", password=PASSWORD))

    with pytest.raises(RateLimited):
        accounts.change_me(ME, Profile(email="eve@example.org", password=PASSWORD))
    assert ada(world) == before
    assert len(running(world)) == 4


@pytest.mark.parametrize("password", [None, "", "wrong wrong wrong"])
def test_a_new_address_needs_the_password(world: World, password: str | None):
    before = ada(world)

    with pytest.raises(InvalidCredentials):
        world.accounts.change_me(ME, Profile(email="new@example.org", name="X", password=password))

    assert (ada(world), queued(world), audited(world)) == (before, [], [])


def test_a_new_address_has_to_be_one(world: World):
    with pytest.raises(InvalidRequest):
        world.accounts.change_me(ME, Profile(email="new", password=PASSWORD))


# ── the password ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_password_ends_all_other_logins(world: World):
    world.accounts.change_password(ME, PASSWORD, NEW)

    assert ada(world).password_hash == f"plain:{NEW}"
    assert running(world) == {"login_1", "login_9"}
    assert [(mail.kind, mail.email, mail.locale) for mail in queued(world)] == [
        (MailKind.PASSWORD_CHANGED, "ada@example.org", Locale.ZH)
    ]
    (entry,) = world.begin.rows.audit.values()
    assert (entry.action, entry.actor) == ("user.change_password", Actor("usr_1", "login_1"))
    assert "plain" not in repr(entry)


def test_a_new_password_needs_the_current_one_and_guesses_are_counted(world: World):
    for _ in range(ACCOUNT.free):
        with pytest.raises(InvalidCredentials):
            world.accounts.change_password(ME, "wrong wrong wrong", NEW)

    with pytest.raises(RateLimited) as refusal:
        world.accounts.change_password(ME, PASSWORD, NEW)
    assert refusal.value.retry_after == 1
    assert ada(world).password_hash == f"plain:{PASSWORD}"
    assert len(running(world)) == 4


def test_a_bad_new_password_is_refused_before_the_old_one_is_looked_at(world: World):
    for bad in ("short", "ada@example.org", "correct horse battery"):
        with pytest.raises(InvalidRequest):
            world.accounts.change_password(ME, PASSWORD, bad)

    assert world.passwords.hashed == 0


def test_of_two_changes_at_once_the_second_is_refused(world: World):
    accounts = world.accounts

    class Slow(type(world.passwords)):
        def hash(self, password):
            accounts.change_password(ME, PASSWORD, "first of the two")
            return super().hash(password)

    with pytest.raises(InvalidCredentials):
        replace(accounts, passwords=Slow()).change_password(ME, PASSWORD, "second of the two")

    assert ada(world).password_hash == "plain:first of the two"


def test_whoever_has_no_password_cannot_change_it_but_reset_it(world: World):
    world.begin.rows.users["usr_1"] = replace(ada(world), password_hash=None)

    with pytest.raises(InvalidCredentials):
        world.accounts.change_password(ME, "", NEW)
    world.accounts.reset(token(world, Purpose.RESET), NEW, "192.0.2.1")

    assert world.logins.login(Attempt("ada@example.org", NEW))


# ── the forgotten password ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("email", ["ada@example.org", " ADA@example.org", "nobody@example.org"])
@pytest.mark.parametrize("fields", [{}, {"disabled": True}, {"confirmed": False}])
def test_forgetting_queues_one_mail_and_hashes_nothing_whoever_has_the_address(world: World, email, fields):
    world.begin.rows.users["usr_1"] = replace(ada(world), **fields)
    begun = world.begin.begun

    assert world.accounts.forgot(email, Locale.ZH, "192.0.2.1") is None

    (mail,) = queued(world)
    assert (mail.kind, mail.email, mail.locale) == (MailKind.RESET, email.strip().casefold(), Locale.ZH)
    assert (world.passwords.hashed, world.begin.begun - begun, audited(world)) == (0, 1, [])


def test_what_is_no_address_cannot_be_forgotten(world: World):
    with pytest.raises(InvalidRequest):
        world.accounts.forgot("nobody", Locale.EN, "192.0.2.1")


def test_a_network_cannot_forget_without_end(world: World):
    for number in range(FORGOTTEN.free):
        world.accounts.forgot(f"{number}@example.org", Locale.EN, "192.0.2.1")

    for email in ("ada@example.org", "nobody@example.org"):
        with pytest.raises(RateLimited) as refusal:
            world.accounts.forgot(email, Locale.EN, "192.0.2.1")
        assert refusal.value.retry_after == 60
    assert len(queued(world)) == FORGOTTEN.free
    world.accounts.forgot("ada@example.org", Locale.EN, "192.0.2.2")


def test_without_a_mail_server_nothing_is_queued_that_nobody_would_send(world: World):
    without_mails(world).forgot("ada@example.org", Locale.EN, "192.0.2.1")

    assert queued(world) == []


def test_a_reset_sets_the_password_and_ends_all_logins(world: World):
    world.begin.rows.users["usr_1"] = replace(ada(world), confirmed=False)

    assert world.accounts.reset(token(world, Purpose.RESET), NEW, "192.0.2.1") is None

    assert (ada(world).password_hash, ada(world).confirmed) == (f"plain:{NEW}", True)
    assert running(world) == {"login_9"}
    assert mails(world) == [(MailKind.PASSWORD_CHANGED, "ada@example.org")]
    (entry,) = world.begin.rows.audit.values()
    assert (entry.action, entry.actor) == ("user.reset_password", Actor("usr_1", None, "192.0.2.1"))


def test_a_reset_works_once(world: World):
    secret = token(world, Purpose.RESET)
    world.accounts.reset(secret, NEW, "192.0.2.1")

    with pytest.raises(InvalidRequest) as refusal:
        world.accounts.reset(secret, PASSWORD, "192.0.2.1")

    assert refusal.value.param == "token"
    assert ada(world).password_hash == f"plain:{NEW}"


def test_a_reset_is_over_after_fifteen_minutes(world: World):
    secret = token(world, Purpose.RESET)
    world.clock.advance(15 * 60)

    with pytest.raises(InvalidRequest):
        world.accounts.reset(secret, NEW, "192.0.2.1")


@pytest.mark.parametrize(
    "fields",
    [{"email": "old@example.org"}, {"user_id": None}, {"user_id": "usr_x"}, {"purpose": Purpose.CONFIRM}],
    ids=["another address by now", "nobody's", "somebody who is gone", "another purpose"],
)
def test_a_reset_needs_a_token_for_this_account_and_purpose(world: World, fields: dict):
    secret = token(world, Purpose.RESET, **fields)

    with pytest.raises(InvalidRequest):
        world.accounts.reset(secret, NEW, "192.0.2.1")
    assert ada(world).password_hash == f"plain:{PASSWORD}"


def test_a_disabled_account_cannot_be_reset(world: World):
    world.begin.rows.users["usr_1"] = replace(ada(world), disabled=True)

    with pytest.raises(InvalidRequest):
        world.accounts.reset(token(world, Purpose.RESET), NEW, "192.0.2.1")


@pytest.mark.parametrize("bad", ["short", "ada@example.org", "correct horse battery"])
def test_a_bad_password_does_not_use_the_link_up(world: World, bad: str):
    secret = token(world, Purpose.RESET)

    with pytest.raises(InvalidRequest) as refusal:
        world.accounts.reset(secret, bad, "192.0.2.1")

    assert refusal.value.param == "password"
    world.accounts.reset(secret, NEW, "192.0.2.1")


def test_whoever_has_to_wait_to_log_in_can_still_reset_and_then_log_in(world: World):
    attempt = Attempt("ada@example.org", "wrong wrong wrong", ip="192.0.2.1")
    for _ in range(ACCOUNT.free):
        with pytest.raises(InvalidCredentials):
            world.logins.login(attempt)
    with pytest.raises(RateLimited):
        world.logins.login(attempt)

    world.accounts.forgot("ada@example.org", Locale.EN, "192.0.2.1")
    world.accounts.reset(token(world, Purpose.RESET), NEW, "192.0.2.1")

    assert world.logins.login(replace(attempt, password=NEW))


def test_a_network_that_has_to_wait_to_log_in_can_still_reset(world: World):
    for number in range(ADDRESS.free):
        with pytest.raises(InvalidCredentials):
            world.logins.login(Attempt(f"{number}@example.org", "wrong wrong wrong", ip="192.0.2.1"))
    with pytest.raises(RateLimited):
        world.logins.login(Attempt("ada@example.org", PASSWORD, ip="192.0.2.1"))

    world.accounts.forgot("ada@example.org", Locale.EN, "192.0.2.1")
    world.accounts.reset(token(world, Purpose.RESET), NEW, "192.0.2.1")


def test_a_network_cannot_make_others_hash_without_end(world: World):
    for _ in range(FORGOTTEN.free):
        with pytest.raises(InvalidRequest):
            world.accounts.reset("nothing", NEW, "192.0.2.1")

    with pytest.raises(RateLimited):
        world.accounts.reset(token(world, Purpose.RESET), NEW, "192.0.2.1")
    assert world.passwords.hashed == FORGOTTEN.free


# ── deleting ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_account_leaves_a_bare_id(world: World):
    world.accounts.delete_me(ME, PASSWORD)

    assert "ada" not in repr(world.begin.rows.users["usr_1"]).casefold()
    assert running(world) == {"login_9"}
    assert world.begin.rows.keys["key_1"].revoked_at == world.clock.now()
    assert "sess_1" in world.begin.rows.deleted
    (entry,) = world.begin.rows.audit.values()
    assert (entry.action, entry.actor, entry.object_id) == ("user.delete", Actor("usr_1", "login_1"), "usr_1")
    assert "ada@" not in repr(entry)
    with pytest.raises(InvalidCredentials):
        world.logins.login(Attempt("ada@example.org", PASSWORD))


def test_the_address_of_a_deleted_account_is_free_again(world: World):
    world.accounts.delete_me(ME, PASSWORD)

    world.accounts.register(replace(GRACE, email="ada@example.org"))

    assert by_email(world, "ada@example.org").id != "usr_1"


def test_team_keys_of_a_deleted_account_go_on_in_the_name_of_a_lead(world: World):
    rows = world.begin.rows
    rows.members = {
        ("team_1", "usr_1"): Membership("team_1", "usr_1", TeamRole.LEAD),
        ("team_1", "usr_9"): Membership("team_1", "usr_9", TeamRole.LEAD),
        ("team_2", "usr_1"): Membership("team_2", "usr_1", TeamRole.LEAD),
    }
    rows.keys |= {
        "key_2": a_key(a_token("2" * 10), id="key_2", team_id="team_1"),
        "key_3": a_key(a_token("3" * 10), id="key_3", team_id="team_2"),
    }

    world.accounts.delete_me(ME, PASSWORD)

    keys = world.begin.rows.keys
    assert (keys["key_2"].user_id, keys["key_2"].revoked_at) == ("usr_9", None)
    assert keys["key_3"].revoked_at is not None
    assert set(world.begin.rows.members) == {("team_1", "usr_9")}
    assert (Kind.USER, "usr_1") not in world.begin.rows.limits


def test_deleting_needs_the_password_and_guesses_are_counted(world: World):
    for _ in range(ACCOUNT.free):
        with pytest.raises(InvalidCredentials):
            world.accounts.delete_me(ME, "wrong wrong wrong")

    with pytest.raises(RateLimited):
        world.accounts.delete_me(ME, PASSWORD)
    assert ada(world).email == "ada@example.org"


def test_the_last_owner_stays(world: World):
    world.begin.rows.users["usr_1"] = replace(ada(world), role=Role.OWNER)
    world.begin.rows.users["usr_9"] = replace(world.begin.rows.users["usr_9"], disabled=True)

    with pytest.raises(Conflict, match="last owner"):
        world.accounts.delete_me(ME, PASSWORD)
    assert len(running(world)) == 4

    world.begin.rows.users["usr_9"] = replace(world.begin.rows.users["usr_9"], disabled=False)
    world.accounts.delete_me(ME, PASSWORD)


@pytest.mark.parametrize(
    "act",
    [
        lambda it: it.delete_me(ME, PASSWORD),
        lambda it: it.change_password(ME, PASSWORD, NEW),
        lambda it: it.change_me(ME, Profile(name="X")),
    ],
    ids=["delete", "password", "profile"],
)
def test_a_change_that_cannot_be_audited_is_not_made(world: World, act):
    before = ada(world)
    world.begin.rows.refuse_audit = RuntimeError("full")

    with pytest.raises(RuntimeError):
        act(world.accounts)

    assert (ada(world), len(running(world)), queued(world)) == (before, 4, [])


@pytest.mark.parametrize(
    "act",
    [
        lambda it, key: it.change_me(key, Profile(name="X")),
        lambda it, key: it.change_password(key, PASSWORD, NEW),
        lambda it, key: it.delete_me(key, PASSWORD),
    ],
    ids=["change", "password", "delete"],
)
def test_a_key_has_no_say_over_its_users_account(world: World, act):
    before = ada(world)

    with pytest.raises(Forbidden):
        act(world.accounts, a_principal(role=Role.OWNER))

    assert (ada(world), world.passwords.hashed) == (before, 0)


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_line_makes_users_that_are_confirmed(world: World):
    user = world.accounts.create_user(" Grace@Example.ORG", Role.ADMIN, PASSWORD, "Grace")

    assert (user.email, user.role, user.name, user.confirmed) == ("grace@example.org", Role.ADMIN, "Grace", True)
    assert world.begin.rows.users[user.id] == user
    assert world.logins.login(Attempt("grace@example.org", PASSWORD))
    (entry,) = world.begin.rows.audit.values()
    assert (entry.action, entry.actor) == ("user.create", Actor(None, None))


def test_a_user_without_a_password_cannot_log_in(world: World):
    assert world.accounts.create_user("grace@example.org", Role.MEMBER).password_hash is None

    for password in ("", "None", PASSWORD):
        with pytest.raises(InvalidCredentials):
            world.logins.login(Attempt("grace@example.org", password))


def test_the_command_line_is_told_what_is_wrong(world: World):
    with pytest.raises(Conflict):
        world.accounts.create_user("ADA@example.org", Role.MEMBER)
    with pytest.raises(InvalidRequest):
        world.accounts.create_user("grace@example.org", Role.MEMBER, "short")
    with pytest.raises(InvalidRequest):
        world.accounts.create_user("grace", Role.MEMBER)


def test_the_command_line_sets_passwords(world: World):
    world.begin.rows.users["usr_1"] = replace(ada(world), confirmed=False)

    world.accounts.set_password("ADA@example.org", NEW)

    assert world.logins.login(Attempt("ada@example.org", NEW))
    assert running(world) & {"login_1", "login_2", "login_3"} == set()
    assert audited(world) == ["user.set_password"]


def test_the_command_line_sets_no_bad_password_and_none_of_nobody(world: World):
    with pytest.raises(NotFound):
        world.accounts.set_password("nobody@example.org", NEW)
    with pytest.raises(InvalidRequest):
        world.accounts.set_password("ada@example.org", "short")

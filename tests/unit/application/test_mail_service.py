from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from application.facts import MailSent
from application.mails import GIVE_UP, LEASE, PER_HOUR
from domain.api_key import digest
from domain.errors import DatabaseUnavailable, MailUnavailable
from domain.mail import Locale, MailKind, QueuedMail
from domain.one_time_token import OneTimeToken, Purpose
from domain.user import Role
from tests.builders import a_user
from tests.world import World

ADA = "ada@example.org"
NUMBERS = count(1)


def queue(world: World, kind: MailKind = MailKind.RESET, email: str = ADA, **fields) -> QueuedMail:
    now = world.clock.now()
    given = {"id": f"mail_{next(NUMBERS)}", "locale": Locale.EN, "created_at": now, "due_at": now}
    mail = QueuedMail(**{**given, "kind": kind, "email": email, **fields})
    world.begin.rows.outbox[mail.id] = mail
    return mail


def user(world: World, **fields) -> None:
    world.begin.rows.users["usr_1"] = a_user(**fields)


def invitation(world: World, **fields) -> OneTimeToken:
    now = world.clock.now()
    given = {"id": "inv_1", "purpose": Purpose.INVITE, "digest": digest("of nobody"), "email": "eve@example.org"}
    token = OneTimeToken(**{**given, "created_at": now, "expires_at": now, "role": Role.VIEWER, **fields})
    world.begin.rows.tokens[token.id] = token
    return token


def token_in(world: World, index: int = -1) -> str:
    """The token that the last mail carried."""
    return world.mailer.sent[index].text.partition("#token=")[2].split()[0]


def spend(world: World, token: str, purpose: Purpose = Purpose.RESET) -> OneTimeToken | None:
    with world.begin() as work:
        return work.tokens.spend(purpose, digest(token), world.clock.now())


def waiting(world: World) -> list[QueuedMail]:
    return list(world.begin.rows.outbox.values())


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_sent_when_nothing_waits(world: World):
    assert world.mails.deliver() == 0
    assert world.mailer.sent == []


def test_a_reset_mail_carries_a_token_in_the_fragment_that_works_once(world: World):
    queue(world)

    assert world.mails.deliver() == 1

    (mail,) = world.mailer.sent
    assert mail.to == ADA
    assert f"https://parley.example.org/reset#token={token_in(world)}" in mail.text.splitlines()
    spent = spend(world, token_in(world))
    assert spent is not None
    assert (spent.user_id, spent.email) == ("usr_1", ADA)
    assert spent.expires_at == world.clock.now() + Purpose.RESET.lifetime
    assert spend(world, token_in(world)) is None
    assert waiting(world) == []
    assert world.record.of(MailSent) == [MailSent("reset", "sent")]


def test_an_account_without_a_password_may_set_one_by_mail(world: World):
    user(world, password_hash=None)
    queue(world)

    assert world.mails.deliver() == 1


def test_a_mail_is_written_in_the_language_of_its_row(world: World):
    queue(world, locale=Locale.ZH)

    world.mails.deliver()

    assert world.mailer.sent[0].subject == "设置新密码"


def test_a_mail_that_is_not_due_waits(world: World):
    queue(world, due_at=world.clock.now() + timedelta(seconds=1))

    assert world.mails.deliver() == 0
    world.clock.advance(1)
    assert world.mails.deliver() == 1


def test_no_transaction_is_open_while_a_server_is_spoken_to(world: World):
    open_units = []
    world.mailer.send = lambda _: open_units.append(world.begin.open)
    queue(world)

    world.mails.deliver()

    assert open_units == [0]


@pytest.mark.parametrize("kind", [MailKind.RESET, MailKind.ALREADY_REGISTERED, MailKind.CONFIRM])
def test_an_unknown_address_gets_nothing_and_leaves_no_trace(world: World, kind: MailKind):
    queue(world, kind, "nobody@example.org")

    assert world.mails.deliver() == 0

    assert (world.mailer.sent, waiting(world), world.begin.rows.tokens, world.record.facts) == ([], [], {}, [])


@pytest.mark.parametrize("kind", [MailKind.RESET, MailKind.ALREADY_REGISTERED, MailKind.CONFIRM])
def test_a_disabled_account_gets_nothing(world: World, kind: MailKind):
    user(world, disabled=True, confirmed=False)
    queue(world, kind)

    assert world.mails.deliver() == 0

    assert (world.mailer.sent, waiting(world)) == ([], [])


def test_a_dropped_mail_does_not_keep_the_next_one_waiting(world: World):
    queue(world, email="nobody@example.org")
    queue(world)

    assert world.mails.deliver() == 1


def test_a_confirmation_is_sent_only_while_the_address_is_unconfirmed(world: World):
    user(world, confirmed=False)
    queue(world, MailKind.CONFIRM)
    assert world.mails.deliver() == 1
    assert "/confirm#token=" in world.mailer.sent[0].text
    assert spend(world, token_in(world), Purpose.CONFIRM) is not None

    user(world, confirmed=True)
    queue(world, MailKind.CONFIRM)
    assert world.mails.deliver() == 0


def test_a_new_address_of_a_confirmed_account_can_be_confirmed_before_it_is_the_accounts_own(world: World):
    invitation(world, id="ott_1", purpose=Purpose.CONFIRM, email="new@example.org", user_id="usr_1", role=None)
    queue(world, MailKind.CONFIRM, "new@example.org", subject_id="ott_1")

    assert world.mails.deliver() == 1

    spent = spend(world, token_in(world), Purpose.CONFIRM)
    assert spent is not None
    assert (spent.user_id, spent.email) == ("usr_1", "new@example.org")


def test_whoever_is_registered_already_is_told_so_and_offered_a_reset(world: World):
    queue(world, MailKind.ALREADY_REGISTERED)

    assert world.mails.deliver() == 1

    assert "https://parley.example.org/forgot" in world.mailer.sent[0].text
    assert world.begin.rows.tokens == {}


@pytest.mark.parametrize("kind", [MailKind.PASSWORD_CHANGED, MailKind.EMAIL_CHANGED])
def test_news_of_a_change_go_to_the_address_of_the_row_and_carry_no_token(world: World, kind: MailKind):
    queue(world, kind, "former@example.org")

    assert world.mails.deliver() == 1

    assert world.mailer.sent[0].to == "former@example.org"
    assert "token" not in world.mailer.sent[0].text


def test_an_invitation_keeps_its_id_role_and_address_and_gets_a_token_that_works(world: World):
    invitation(world)
    queue(world, MailKind.INVITE, "eve@example.org", subject_id="inv_1")

    assert world.mails.deliver() == 1

    assert "/register#token=" in world.mailer.sent[0].text
    spent = spend(world, token_in(world), Purpose.INVITE)
    assert spent is not None
    assert (spent.id, spent.role, spent.email) == ("inv_1", Role.VIEWER, "eve@example.org")
    assert spent.expires_at == world.clock.now() + Purpose.INVITE.lifetime


@pytest.mark.parametrize("subject_id", ["inv_1", "inv_9", None])
def test_an_invitation_that_was_used_withdrawn_or_never_was_is_not_sent(world: World, subject_id: str | None):
    invitation(world, used_at=world.clock.now())
    queue(world, MailKind.INVITE, "eve@example.org", subject_id=subject_id)

    assert world.mails.deliver() == 0
    assert waiting(world) == []


def test_the_queue_and_the_store_never_hold_the_token_itself(world: World):
    world.mailer.down = MailUnavailable()
    made = []
    secret = world.new_secret
    mails = replace(world.mails, new_secret=lambda length: made.append(secret(length)) or made[-1])
    queue(world)

    mails.deliver()

    assert len(made) == 1
    assert made[0] not in repr(world.begin.rows)


# ── how many ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [MailKind.RESET, MailKind.CONFIRM])
def test_an_address_gets_three_tokens_an_hour_and_further_mails_vanish(world: World, kind: MailKind):
    user(world, confirmed=False)
    for _ in range(PER_HOUR + 2):
        queue(world, kind)

    assert world.mails.deliver() == PER_HOUR
    assert waiting(world) == []

    world.clock.advance(3601)
    queue(world, kind)
    assert world.mails.deliver() == 1


def test_only_the_newest_reset_works(world: World):
    queue(world)
    queue(world)

    world.mails.deliver()

    assert spend(world, token_in(world, 0)) is None
    assert spend(world, token_in(world, 1)) is not None


def test_one_round_ends_even_when_the_queue_does_not(world: World):
    for number in range(60):
        queue(world, MailKind.PASSWORD_CHANGED, f"user{number}@example.org")

    assert world.mails.deliver() == 50
    assert world.mails.deliver() == 10


# ── when the server is down ──────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_mail_waits_a_minute_then_twice_as_long_up_to_an_hour(world: World):
    world.mailer.down = MailUnavailable()
    mail = queue(world)
    waits = []
    for _ in range(9):
        assert world.mails.deliver() == 0
        pause = (world.begin.rows.outbox[mail.id].due_at - world.clock.now()).total_seconds()
        waits.append(pause / 60)
        world.clock.advance(pause)

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_refusal_is_told_with_its_reason(world: World):
    world.mailer.down = MailUnavailable("Refused (421).")
    queue(world)

    world.mails.deliver()

    assert world.record.of(MailSent) == [MailSent("reset", "postponed", "Refused (421).")]


def test_the_mail_leaves_as_soon_as_the_server_is_back_with_a_token_that_works(world: World):
    world.mailer.down = MailUnavailable()
    queue(world)
    for _ in range(6):
        world.mails.deliver()
        world.clock.advance(3600)
    world.mailer.down = None

    assert world.mails.deliver() == 1
    assert spend(world, token_in(world)) is not None


def test_attempts_at_a_dead_server_do_not_count_against_the_address(world: World):
    world.mailer.down = MailUnavailable()
    queue(world)
    for seconds in (60, 120, 240):
        world.mails.deliver()
        world.clock.advance(seconds)
    world.mailer.down = None
    world.mails.deliver()
    queue(world)

    assert world.mails.deliver() == 1


def test_a_mail_whose_link_a_later_mail_replaced_is_not_sent_any_more(world: World):
    world.mailer.down = MailUnavailable()
    queue(world)
    world.mails.deliver()
    world.mailer.down = None
    queue(world)
    world.mails.deliver()
    world.clock.advance(60)

    assert world.mails.deliver() == 0
    assert waiting(world) == []
    assert spend(world, token_in(world)) is not None


def test_a_server_that_is_down_is_asked_once_a_round(world: World):
    asked = []

    def refuse(mail) -> None:
        asked.append(mail)
        raise MailUnavailable

    world.mailer.send = refuse
    for _ in range(3):
        queue(world, MailKind.PASSWORD_CHANGED)

    world.mails.deliver()

    assert len(asked) == 1
    assert len(waiting(world)) == 3


def test_a_mail_that_nobody_takes_is_given_up_after_two_days(world: World):
    world.mailer.down = MailUnavailable()
    queue(world)
    world.clock.advance(GIVE_UP.total_seconds() - 1)
    world.mails.deliver()
    assert len(waiting(world)) == 1

    world.clock.advance(60)
    world.mails.deliver()

    assert waiting(world) == []
    assert [fact.outcome for fact in world.record.of(MailSent)] == ["postponed", "given_up"]


# ── when a worker dies ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_that_dies_while_it_sends_leaves_the_mail_to_the_next_one_after_the_lease(world: World):
    class Killed(BaseException):
        pass

    world.mailer.down = Killed()
    queue(world)
    with pytest.raises(Killed):
        world.mails.deliver()
    world.mailer.down = None

    world.clock.advance(LEASE.total_seconds() - 1)
    assert world.mails.deliver() == 0
    world.clock.advance(1)
    assert world.mails.deliver() == 1
    assert spend(world, token_in(world)) is not None


def test_a_mail_that_could_not_be_marked_as_sent_is_sent_again(world: World):
    send = world.mailer.send

    def send_and_lose_the_database(mail) -> None:
        send(mail)
        world.begin.down = DatabaseUnavailable()

    world.mailer.send = send_and_lose_the_database
    queue(world)
    with pytest.raises(DatabaseUnavailable):
        world.mails.deliver()
    world.begin.down, world.mailer.send = None, send
    world.clock.advance(LEASE.total_seconds())

    assert world.mails.deliver() == 1
    assert len(world.mailer.sent) == 2


# ── what strangers could do with it ──────────────────────────────────────────────────────────────────────────────


def test_strangers_cannot_flood_the_owner_of_an_address_by_registering_it(world: World):
    for _ in range(PER_HOUR + 5):
        queue(world, MailKind.ALREADY_REGISTERED)
    queue(world, MailKind.RESET)

    assert world.mails.deliver() == PER_HOUR + 1
    assert waiting(world) == []

    world.clock.advance(3601)
    queue(world, MailKind.ALREADY_REGISTERED)
    assert world.mails.deliver() == 1


def test_a_second_attempt_at_the_same_mail_does_not_count_as_another(world: World):
    queue(world, MailKind.ALREADY_REGISTERED, attempts=3)

    assert world.mails.deliver() == 1
    assert world.begin.rows.throttles == {}


def test_an_address_that_no_server_takes_keeps_nobody_else_waiting(world: World):
    queue(world, MailKind.EMAIL_CHANGED, "nobody@example.org", id="mail_a")
    queue(world, MailKind.RESET, id="mail_b")
    world.mailer.refused = {"nobody@example.org"}

    assert world.mails.deliver() == 1
    assert [mail.to for mail in world.mailer.sent] == [ADA]
    assert [mail.id for mail in waiting(world)] == ["mail_a"]

"""Sends what waits in the outbox. A mail may be sent twice when a worker dies in between, and never is lost."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from application import mail_texts
from application.facts import MailSent
from application.ports import Clock, Mailer, NewSecret, Record
from application.store import Begin, UnitOfWork
from domain.api_key import SECRET_LENGTH, digest
from domain.errors import MailUnavailable
from domain.mail import Mail, MailKind, QueuedMail
from domain.one_time_token import OneTimeToken, Purpose
from domain.user import User

GIVE_UP = timedelta(days=2)
LEASE = timedelta(minutes=2)
"""Until then nobody else sends the mail: longer than a mail server takes, unless it is slow at every step."""
PER_HOUR = 3
"""Mails with a reset (or a confirmation) to one address; more are dropped silently."""

_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=1)
_DOUBLINGS = 6
"""Of the first wait, until it is longer than the longest."""
_AT_ONCE = 50
_HOUR = timedelta(hours=1)

_PAGES = {
    MailKind.RESET: "/reset",
    MailKind.CONFIRM: "/confirm",
    MailKind.INVITE: "/register",
    MailKind.ALREADY_REGISTERED: "/forgot",
    MailKind.PASSWORD_CHANGED: "/forgot",
    MailKind.EMAIL_CHANGED: "/",
}


@dataclass(frozen=True, slots=True)
class MailService:
    begin: Begin
    clock: Clock
    new_secret: NewSecret
    mailer: Mailer
    record: Record
    public_url: str

    def deliver(self) -> int:
        """Send what is due; returns how many mails left.

        A refused mail waits 1 min, then twice as long each time, up to an hour, and is given up after GIVE_UP. The
        first refusal ends the round: a server that is down is asked once, not once per mail. The token in a mail is
        made here, so the queue holds no secret; no transaction is open while a server is spoken to.
        """
        sent = 0
        for _ in range(_AT_ONCE):
            claimed = self._claim()
            if claimed is None:
                break
            queued, mail = claimed
            if mail is None:
                continue
            if not self._send(queued, mail):
                break
            sent += 1
        return sent

    def _claim(self) -> tuple[QueuedMail, Mail | None] | None:
        """The next mail that is due, with what it says; None in the place of a mail that nobody should get any more."""
        now = self.clock.now()
        with self.begin() as work:
            due = work.outbox.claim(now, now + LEASE, 1)
            if not due:
                return None
            (queued,) = due
            mail = self._write(work, queued, now)
            if mail is None:
                work.outbox.done(queued.id)
        return queued, mail

    def _send(self, queued: QueuedMail, mail: Mail) -> bool:
        try:
            self.mailer.send(mail)
        except MailUnavailable as error:
            self._refused(queued, error.message)
            return False
        with self.begin() as work:
            work.outbox.done(queued.id)
        self.record(MailSent(queued.kind, "sent"))
        return True

    def _refused(self, queued: QueuedMail, reason: str) -> None:
        now = self.clock.now()
        hopeless = now >= queued.created_at + GIVE_UP
        with self.begin() as work:
            if hopeless:
                work.outbox.done(queued.id)
            else:
                work.outbox.postpone(queued.id, now + _wait(queued.attempts))
        self.record(MailSent(queued.kind, "given_up" if hopeless else "postponed", reason))

    def _write(self, work: UnitOfWork, queued: QueuedMail, now: datetime) -> Mail | None:
        """Known and unknown addresses cost the same look-ups, and a mail to nobody is dropped without a trace."""
        link = self.public_url + _PAGES[queued.kind]
        match queued.kind:
            case MailKind.RESET | MailKind.CONFIRM:
                secret = self._token(work, queued, now)
            case MailKind.INVITE:
                secret = self._renewed(work, queued.subject_id or "", Purpose.INVITE, now)
            case MailKind.ALREADY_REGISTERED:
                user = work.users.by_email(queued.email)
                return None if user is None or user.disabled else self._mail(queued, link)
            case _:
                return self._mail(queued, link)
        return None if secret is None else self._mail(queued, f"{link}#token={secret}")

    def _mail(self, queued: QueuedMail, link: str) -> Mail:
        subject, text = mail_texts.write(queued.kind, queued.locale, link)
        return Mail(queued.email, subject, text)

    def _token(self, work: UnitOfWork, queued: QueuedMail, now: datetime) -> str | None:
        """The token has the id of its mail, so that a second attempt renews it instead of counting as another mail."""
        purpose = Purpose(queued.kind.value)
        user = _addressee(work, queued)
        issued = work.tokens.issued(purpose, queued.email, now - _HOUR)
        if user is None or not _wanted(user, queued):
            return None
        if queued.attempts > 1:
            return self._renewed(work, queued.id, purpose, now)
        if issued >= PER_HOUR:
            return None
        secret = self.new_secret(SECRET_LENGTH)
        ends = now + purpose.lifetime
        work.tokens.add(OneTimeToken(queued.id, purpose, digest(secret), queued.email, now, ends, user.id))
        return secret

    def _renewed(self, work: UnitOfWork, token_id: str, purpose: Purpose, now: datetime) -> str | None:
        """None for a token that was used, withdrawn or replaced by that of a later mail."""
        secret = self.new_secret(SECRET_LENGTH)
        return secret if work.tokens.renew(token_id, digest(secret), now + purpose.lifetime) else None


def _wait(attempts: int) -> timedelta:
    return min(_LONGEST_WAIT, _FIRST_WAIT * (1 << min(attempts - 1, _DOUBLINGS)))


def _addressee(work: UnitOfWork, queued: QueuedMail) -> User | None:
    """A new address that waits to be confirmed is not the account's own yet: its mail names the account."""
    if queued.subject_id is not None:
        return work.users.get(queued.subject_id)
    return work.users.by_email(queued.email)


def _wanted(user: User, queued: QueuedMail) -> bool:
    confirmed = queued.kind is MailKind.CONFIRM and user.confirmed and user.email == queued.email
    return not user.disabled and not confirmed

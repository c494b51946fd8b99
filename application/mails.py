"""Sends what waits in the outbox. A mail may be sent twice when a worker dies in between, and never is lost."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from application import mail_texts
from application.facts import MailSent
from application.ports import Clock, Mailer, NewSecret, Record
from application.store import Begin, UnitOfWork
from domain.api_key import SECRET_LENGTH, digest
from domain.errors import MailUnavailable, RecipientRefused
from domain.mail import Mail, MailKind, QueuedMail
from domain.one_time_token import OneTimeToken, Purpose
from domain.throttle import Rule
from domain.user import User

GIVE_UP = timedelta(days=2)
LEASE = timedelta(minutes=2)
"""Until then nobody else sends the mail: longer than a mail server takes, unless it is slow at every step."""
HOUR = timedelta(hours=1)
PER_HOUR = 3
"""Mails with a reset (or a confirmation) to one address; more are dropped silently."""

_TOLD = Rule(free=PER_HOUR, window=HOUR, first=HOUR, longest=HOUR)
_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=1)
_DOUBLINGS = 6
"""Of the first wait, until it is longer than the longest."""
_AT_ONCE = 50

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
        first refusal ends the round: a server that is down is asked once, not once per mail. One that is because of the
        address does not: strangers choose addresses, and shall not stop the mails of others. The token in a mail is
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
            try:
                sent += self._send(queued, mail)
            except MailUnavailable:
                break
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
        """Raises MailUnavailable for a server that is of no use now."""
        try:
            self.mailer.send(mail)
        except RecipientRefused as error:
            self._refused(queued, error.message)
            return False
        except MailUnavailable as error:
            self._refused(queued, error.message)
            raise
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
            case MailKind.INVITE | MailKind.CONFIRM if queued.subject_id is not None:
                secret = self._renewed(work, queued.subject_id, Purpose(queued.kind.value), now)
            case MailKind.RESET | MailKind.CONFIRM:
                secret = self._token(work, queued, now)
            case MailKind.INVITE:
                secret = None
            case MailKind.ALREADY_REGISTERED:
                return self._mail(queued, link) if self._may_tell(work, queued, now) else None
            case _:
                return self._mail(queued, link)
        return None if secret is None else self._mail(queued, f"{link}#token={secret}")

    def _may_tell(self, work: UnitOfWork, queued: QueuedMail, now: datetime) -> bool:
        """Whether the owner of a taken address hears that somebody tried to register it; strangers decide how often."""
        user = work.users.by_email(queued.email)
        if user is None or user.disabled:
            return False
        return queued.attempts > 1 or not work.throttles.hit(f"told:{queued.email}", _TOLD, now)

    def _mail(self, queued: QueuedMail, link: str) -> Mail:
        subject, text = mail_texts.write(queued.kind, queued.locale, link)
        return Mail(queued.email, subject, text)

    def _token(self, work: UnitOfWork, queued: QueuedMail, now: datetime) -> str | None:
        """The token has the id of its mail, so that a second attempt renews it instead of counting as another mail."""
        purpose = Purpose(queued.kind.value)
        user = work.users.by_email(queued.email)
        issued = work.tokens.issued(purpose, queued.email, now - HOUR)
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


def _wanted(user: User, queued: QueuedMail) -> bool:
    return not user.disabled and not (queued.kind is MailKind.CONFIRM and user.confirmed)

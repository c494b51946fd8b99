"""Mails that wait to be sent. A row holds no secret: the token in a mail is made when the mail is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class MailKind(StrEnum):
    RESET = "reset"
    CONFIRM = "confirm"
    ALREADY_REGISTERED = "already_registered"
    INVITE = "invite"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of a template
    EMAIL_CHANGED = "email_changed"


class Locale(StrEnum):
    EN = "en"
    ZH = "zh"


@dataclass(frozen=True, slots=True)
class QueuedMail:
    """`email` is the canonical address as it was typed; whether it has an account is found out when it is sent."""

    id: str
    kind: MailKind
    email: str
    locale: Locale
    created_at: datetime
    due_at: datetime
    attempts: int = 0
    subject_id: str | None = None
    """What the mail is about: the id of an invitation, or of the token that asks at a new address."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One finished mail to one recipient, plain text."""

    to: str
    subject: str
    text: str

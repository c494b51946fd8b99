"""Hands mails to one SMTP server."""

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid, parseaddr

from domain.errors import MailUnavailable, RecipientRefused
from domain.mail import Mail

_SECONDS = 10.0
"""For each step of the conversation."""
_POLICY = SMTP.clone(cte_type="7bit")
"""Whatever relays the mail on its way, no byte of it needs more than ASCII; a name of a mailbox still may."""
_LOCAL = re.compile(r'[^\s"(),:;<>@\[\\\]\x00-\x1f\x7f]{1,64}')
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


@dataclass(slots=True)
class SmtpMailer:
    """One connection per mail. The server's certificate is checked, and `starttls` never goes on without TLS.

    `sender` is an address, or a name and an address: `Parley <noreply@example.org>`. `ca_file` replaces the system's
    list of authorities. Raises ValueError for an unusable sender or file.
    """

    host: str
    port: int
    sender: str
    tls: str = "starttls"
    """`starttls`, `tls` (from the first byte) or `none`."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    seconds: float = _SECONDS
    _from: Address = field(init=False, repr=False)
    _context: ssl.SSLContext = field(init=False, repr=False)

    def __post_init__(self) -> None:
        name, address = parseaddr(self.sender)
        self._from = _address(address, name)
        try:
            self._context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise ValueError(f"{self.ca_file} is not a file of certificates: {error.strerror}") from None

    def send(self, mail: Mail) -> None:
        """Raises MailUnavailable and RecipientRefused.

        What the server said is not repeated, it could quote what it was sent.
        """
        try:
            message, recipient = self._message(mail), _address(mail.to).addr_spec
        except ValueError as error:
            raise RecipientRefused(_told(RecipientRefused, error)) from None
        try:
            with self._connected() as server:
                if self.user is not None:
                    server.login(self.user, self.password or "")
                self._hand_over(server, message, recipient)
        except (OSError, ValueError) as error:
            raise MailUnavailable(_told(MailUnavailable, error)) from None

    def _hand_over(self, server: smtplib.SMTP, message: EmailMessage, recipient: str) -> None:
        try:
            server.send_message(message, self._from.addr_spec, [recipient])
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPNotSupportedError) as error:  # the latter: not in ASCII
            raise RecipientRefused(_told(RecipientRefused, error)) from None

    def _message(self, mail: Mail) -> EmailMessage:
        message = EmailMessage(_POLICY)
        message["From"] = self._from
        message["To"] = _address(mail.to)
        message["Subject"] = mail.subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._from.domain)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text, charset="utf-8")
        return message

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        server = self._dial()
        try:
            if self.tls == "starttls":
                server.starttls(context=self._context)
            yield server
            with suppress(OSError):  # the mail is with the server already: a rude goodbye must not send it again
                server.quit()
        finally:
            server.close()

    def _dial(self) -> smtplib.SMTP:
        if self.tls == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=self.seconds, context=self._context)
        return smtplib.SMTP(self.host, self.port, timeout=self.seconds)


def _address(text: str, name: str = "") -> Address:
    """An address that nothing can be hidden in. Raises ValueError.

    Mailbox names that need quotes are refused, and an international domain is written in ASCII.
    """
    local, _, domain = text.rpartition("@")
    ascii_domain = domain.encode("idna").decode()
    if not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(ascii_domain):
        raise ValueError("That is not an address that mail is sent to.")
    return Address(name, local, ascii_domain)


def _told(kind: type[MailUnavailable], error: Exception) -> str:
    return f"{kind.default} ({_kind(error)})"


def _kind(error: Exception) -> str:
    """What went wrong, in words of ours: the error's class, and the code where the server gave one."""
    code = getattr(error, "smtp_code", None)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code = next((refusal[0] for refusal in error.recipients.values()), None)
    return type(error).__name__ if code is None else f"{type(error).__name__} {code}"

"""A real SMTP server on loopback (aiosmtpd), in a process of its own: `SmtpServer`.

Every mail that it takes is a file in its folder, first the envelope as a line of JSON, then the bytes of the message.
"""

import asyncio
import json
import ssl
import sys
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

from tests.servers.program import Program, accepts, free_port
from tests.source import ROOT

USER, PASSWORD = "parley@example.org", "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Envelope:
    sender: str
    recipients: list[str]
    options: list[str]
    user: str | None
    message: EmailMessage


class SmtpServer(Program):
    """`tls` is what it offers: `starttls` (and requires it), `tls` from the first byte, or `none`."""

    def __init__(self, folder: Path, tls: str, certificate: Path | None = None, *options: str) -> None:
        self.port = free_port()
        self.box = folder / "box"
        self.box.mkdir()
        settings = {
            "port": self.port,
            "tls": tls,
            "box": str(self.box),
            "certificate": None if certificate is None else str(certificate),
            "login": "login" in options,
            "utf8": "utf8" in options,
        }
        argv = [sys.executable, "-m", "tests.servers.smtp", json.dumps(settings)]
        super().__init__(argv, folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, name="smtp")

    def run(self) -> "SmtpServer":
        self.start(lambda: accepts(self.port))
        return self

    @property
    def logins(self) -> list[str]:
        """The names that somebody tried to log in with."""
        return [file.read_text() for file in sorted(self.box.glob("login-*"))]

    @property
    def mails(self) -> list[Envelope]:
        return [_read(file) for file in sorted(self.box.glob("mail-*"))]


def _read(file: Path) -> Envelope:
    head, _, body = file.read_bytes().partition(b"\n")
    message = message_from_bytes(body, policy=default)
    assert isinstance(message, EmailMessage)
    return Envelope(**json.loads(head), message=message)


class Box:
    """`full@…` is refused, and so is whoever is `unknown`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:  # noqa: N802 # aiosmtpd's name
        if address.startswith("unknown@"):
            return f"550 5.1.1 <{address}>: no such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 # as above
        if any(address.startswith("full@") for address in envelope.rcpt_tos):
            return "452 4.2.2 The mailbox is full"
        head = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "options": envelope.mail_options,
            "user": session.auth_data.login.decode() if session.auth_data else None,
        }
        self.write("mail", json.dumps(head).encode() + b"\n" + envelope.content)
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, given) -> AuthResult:
        self.write("login", given.login)
        right = (given.login.decode(), given.password.decode()) == (USER, PASSWORD)
        return AuthResult(success=right, handled=False, auth_data=given)

    def write(self, kind: str, content: bytes) -> None:
        self._count += 1
        part = self._folder / f"part-{self._count:04}"
        part.write_bytes(content)
        part.rename(self._folder / f"{kind}-{self._count:04}")


async def serve(settings: dict) -> None:
    context = None
    if settings["certificate"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings["certificate"])
    box = Box(Path(settings["box"]))
    starttls = settings["tls"] == "starttls"

    def factory() -> SMTP:
        return SMTP(
            box,
            hostname="mail.example.org",
            enable_SMTPUTF8=settings["utf8"],
            tls_context=context if starttls else None,
            require_starttls=starttls,
            auth_required=settings["login"],
            auth_require_tls=starttls,
            authenticator=box.authenticate,
            loop=asyncio.get_running_loop(),
        )

    direct = context if settings["tls"] == "tls" else None
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", settings["port"], ssl=direct)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))

"""Mails on their way from the outbox to a real SMTP server."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from adapters.clock import new_secret
from adapters.mail.smtp import SmtpMailer
from adapters.persistence.unit_of_work import SqlBegin
from application.breaker import Breaker
from application.facts import MailSent
from application.mails import LEASE, MailService
from domain.api_key import digest
from domain.errors import MailUnavailable, RecipientRefused
from domain.mail import Locale, Mail, MailKind, QueuedMail
from domain.one_time_token import Purpose
from infrastructure import schema_changes
from infrastructure.database import create_engine_for
from tests.builders import NOW, a_user
from tests.fakes import FrozenClock, RecordingRecorder
from tests.servers.authority import Authority
from tests.servers.program import free_port
from tests.servers.smtp import PASSWORD, USER, SmtpServer
from tests.source import ROOT

HELLO = Mail("ada@example.org", "Hello", "Hello, Ada.\n")
SENDER = "Parley <noreply@example.org>"


class Post:
    """Servers and mailers of one test; the servers end with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.servers: list[SmtpServer] = []

    def server(
        self, tls: str, *options: str, host: str = "127.0.0.1", authority: Authority | None = None
    ) -> SmtpServer:
        folder = self.folder / f"server-{len(self.servers)}"
        folder.mkdir()
        certificate = None if tls == "none" else (authority or self.authority).certificate(host)
        server = SmtpServer(folder, tls, certificate, *options)
        self.servers.append(server)
        return server.run()

    def mailer(self, server: SmtpServer, tls: str, **fields) -> SmtpMailer:
        given = {"ca_file": str(self.authority.file), "seconds": 5.0, **fields}
        return SmtpMailer("127.0.0.1", server.port, SENDER, tls, **given)


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    post = Post(tmp_path)
    yield post
    for server in post.servers:
        server.stop()


# ── the ways to a server ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tls", ["starttls", "tls", "none"])
def test_a_mail_arrives_however_the_line_is_secured(post: Post, tls: str):
    server = post.server(tls)

    post.mailer(server, tls).send(HELLO)

    (envelope,) = server.mails
    assert (envelope.sender, envelope.recipients) == ("noreply@example.org", ["ada@example.org"])


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_login_is_given_over_tls_and_lets_the_mail_through(post: Post, tls: str):
    server = post.server(tls, "login")

    post.mailer(server, tls, user=USER, password=PASSWORD).send(HELLO)

    assert server.mails[0].user == USER
    assert server.logins == [USER]


def test_a_server_that_wants_a_login_takes_nothing_without_one(post: Post):
    server = post.server("starttls", "login")

    with pytest.raises(MailUnavailable):
        post.mailer(server, "starttls").send(HELLO)

    assert server.mails == []


def test_a_wrong_password_is_refused_and_not_repeated_in_the_error(post: Post):
    server = post.server("starttls", "login")

    with pytest.raises(MailUnavailable) as refusal:
        post.mailer(server, "starttls", user=USER, password="Tr0ub4dor").send(HELLO)

    assert server.mails == []
    assert refusal.value.message == "The mail server did not take the mail. (SMTPAuthenticationError 535)"
    assert (refusal.value.__cause__, refusal.value.__suppress_context__) == (None, True)


def test_a_password_that_cannot_be_sent_is_not_in_the_error_either(post: Post):
    server = post.server("starttls", "login")

    with pytest.raises(MailUnavailable) as refusal:
        post.mailer(server, "starttls", user=USER, password="пароль").send(HELLO)

    assert "пароль" not in refusal.value.message


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@pytest.mark.parametrize("wrong", ["authority", "host"])
def test_a_server_with_a_wrong_certificate_gets_neither_login_nor_mail(post: Post, tls: str, wrong: str):
    stranger = Authority(post.folder, "Stranger") if wrong == "authority" else None
    host = "mail.example.net" if wrong == "host" else "127.0.0.1"
    server = post.server(tls, "login", host=host, authority=stranger)

    with pytest.raises(MailUnavailable, match="SSLCertVerificationError"):
        post.mailer(server, tls, user=USER, password=PASSWORD).send(HELLO)

    assert (server.mails, server.logins) == ([], [])


def test_a_certificate_of_no_known_authority_is_refused_by_default(post: Post):
    server = post.server("starttls")

    with pytest.raises(MailUnavailable):
        post.mailer(server, "starttls", ca_file=None).send(HELLO)

    assert server.mails == []


def test_a_server_that_does_not_offer_starttls_gets_neither_login_nor_mail(post: Post):
    server = post.server("none", "login")

    with pytest.raises(MailUnavailable, match="SMTPNotSupportedError"):
        post.mailer(server, "starttls", user=USER, password=PASSWORD).send(HELLO)

    assert (server.mails, server.logins) == ([], [])


def test_a_server_that_is_not_there_or_says_nothing_is_not_waited_for_long(post: Post):
    server = post.server("none")
    server.pause()

    with pytest.raises(MailUnavailable, match="SMTPServerDisconnected"):
        post.mailer(server, "none", seconds=0.3).send(HELLO)

    server.kill()
    with pytest.raises(MailUnavailable, match="ConnectionRefusedError"):
        post.mailer(server, "none").send(HELLO)


@pytest.mark.parametrize(
    ("address", "kind", "reason"),
    [("unknown", RecipientRefused, "SMTPRecipientsRefused 550"), ("full", MailUnavailable, "SMTPDataError 452")],
)
def test_a_refusal_is_told_by_its_code_and_not_in_the_words_of_the_server(post: Post, address: str, kind, reason: str):
    server = post.server("none")

    with pytest.raises(kind) as refusal:
        post.mailer(server, "none").send(replace(HELLO, to=f"{address}@example.org"))

    assert type(refusal.value) is kind
    assert refusal.value.message == f"{kind.default} ({reason})"


def test_a_file_of_authorities_that_is_none_stops_the_start(post: Post):
    with pytest.raises(ValueError, match=r"missing\.pem"):
        SmtpMailer("127.0.0.1", 25, SENDER, ca_file="missing.pem")


# ── what arrives ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["Set a new password\n\nHello.\n", "您好！\n\n设置新密码\n"])
def test_a_mail_arrives_readable_in_either_language(post: Post, text: str):
    server = post.server("none")
    subject = text.splitlines()[0]

    post.mailer(server, "none").send(Mail("ada@example.org", subject, text))

    message = server.mails[0].message
    assert message["subject"] == subject
    assert message.get_content().splitlines() == text.splitlines()
    assert message.get_content_charset() == "utf-8"
    assert message.as_bytes().isascii()


def test_a_mail_has_the_headers_of_an_automatic_one(post: Post):
    server = post.server("none")

    post.mailer(server, "none").send(HELLO)

    message = server.mails[0].message
    assert (message["from"], message["to"]) == (SENDER, "ada@example.org")
    assert message["auto-submitted"] == "auto-generated"
    assert message["message-id"].endswith("@example.org>")
    assert abs(parsedate_to_datetime(message["date"]).replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=1)


def test_two_mails_have_two_message_ids(post: Post):
    server = post.server("none")
    mailer = post.mailer(server, "none")

    mailer.send(HELLO)
    mailer.send(HELLO)

    first, second = (envelope.message["message-id"] for envelope in server.mails)
    assert first != second


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org\nRCPT TO:<eve@example.org>",
        "ada@example.org>, <eve@example.org",
        "ada@example.org, eve@example.org",
        "eve@example.net,ada@example.org",
        "ada,eve@example.org",
        "ada@example.org,eve",
        '"ada"@example.org',
        "<ada@example.org>",
        "ada;eve@example.org",
        "ada eve@example.org",
        "ada@[127.0.0.1]",
        "ada@exa mple.org",
        "ada\u2028@example.org",
        "ada\x00@example.org",
        "@example.org",
        "ada@",
        "ada",
        "",
    ],
)
def test_nothing_can_be_hidden_in_an_address(address: str):
    mailer = SmtpMailer("127.0.0.1", free_port(), SENDER, "none")

    with pytest.raises(RecipientRefused, match=r"\((ValueError|UnicodeError|UnicodeEncodeError)\)"):
        mailer.send(replace(HELLO, to=address))


def test_nothing_can_be_hidden_in_a_subject():
    mailer = SmtpMailer("127.0.0.1", free_port(), SENDER, "none")

    with pytest.raises(MailUnavailable, match="ValueError"):
        mailer.send(replace(HELLO, subject="Hello\r\nBcc: eve@example.org"))


@pytest.mark.parametrize("sender", ["", "Parley", "Parley <>", "a b@c.d"])
def test_an_unusable_sender_stops_the_start(sender: str):
    with pytest.raises(ValueError, match=r"."):
        SmtpMailer("127.0.0.1", 25, sender)


def test_odd_names_of_mailboxes_have_one_recipient(post: Post):
    server = post.server("none")
    mailer = post.mailer(server, "none")

    for address in ("a.b+c@example.org", "o'brien@example.org", "a..b@example.org", "x=y!z%q@example.org"):
        mailer.send(replace(HELLO, to=address))

    assert [len(envelope.recipients) for envelope in server.mails] == [1, 1, 1, 1]
    assert [len(envelope.message["to"].addresses) for envelope in server.mails] == [1, 1, 1, 1]


def test_an_international_domain_needs_nothing_from_the_server(post: Post):
    server = post.server("none")

    post.mailer(server, "none").send(replace(HELLO, to="ada@bücher.example"))

    assert server.mails[0].recipients == ["ada@xn--bcher-kva.example"]
    assert server.mails[0].options == [f"SIZE={server.mails[0].options[0].partition('=')[2]}"]


def test_an_international_mailbox_needs_a_server_that_knows_them(post: Post):
    able, unable = post.server("none", "utf8"), post.server("none")
    mail = replace(HELLO, to="阿达@example.org")

    post.mailer(able, "none").send(mail)
    post.mailer(able, "none").send(HELLO)
    with pytest.raises(RecipientRefused, match="SMTPNotSupportedError"):
        post.mailer(unable, "none").send(mail)

    first, second = able.mails
    assert first.recipients == ["阿达@example.org"]
    assert "SMTPUTF8" in first.options
    assert "SMTPUTF8" not in second.options
    assert unable.mails == []


# ── the outbox ───────────────────────────────────────────────────────────────────────────────────────────────────


class Case:
    """An SQLite store with one user, and a mail service on it whose server is at `port`."""

    def __init__(self, url: str, mailer: SmtpMailer) -> None:
        self.clock = FrozenClock(NOW)
        self.record = RecordingRecorder()
        self.engine = create_engine_for(url, Path())
        schema_changes.migrate(self.engine)
        self.begin = SqlBegin(self.engine, Breaker("database", self.clock, self.record))
        self.mails = MailService(self.begin, self.clock, new_secret, mailer, self.record, "https://parley.example.org")
        with self.begin() as work:
            work.users.add(a_user())

    def queue(self, locale: Locale = Locale.EN) -> None:
        now = self.clock.now()
        with self.begin() as work:
            work.outbox.put(QueuedMail(f"mail_{locale}", MailKind.RESET, "ada@example.org", locale, now, now))

    def waiting(self) -> int:
        with self.begin() as work:
            return work.outbox.waiting()

    def token_works(self, text: str) -> bool:
        token = text.partition("#token=")[2].split()[0]
        with self.begin() as work:
            return work.tokens.spend(Purpose.RESET, digest(token), self.clock.now()) is not None


@pytest.fixture
def case(post: Post) -> Iterator[Case]:
    server = post.server("starttls", "login")
    mailer = post.mailer(server, "starttls", user=USER, password=PASSWORD)
    case = Case(f"sqlite:///{post.folder}/parley.db", mailer)
    yield case
    case.engine.dispose()


@pytest.mark.parametrize(("locale", "word"), [(Locale.EN, "password"), (Locale.ZH, "密码")])
def test_a_reset_mail_goes_all_the_way_and_its_link_works(post: Post, case: Case, locale: Locale, word: str):
    case.queue(locale)

    assert case.mails.deliver() == 1

    (envelope,) = post.servers[0].mails
    text = envelope.message.get_content()
    assert word in envelope.message["subject"]
    assert "https://parley.example.org/reset#token=" in text
    assert case.token_works(text)
    assert case.waiting() == 0


def test_a_mail_outlives_a_dead_server_and_leaves_when_it_is_back(post: Post, case: Case):
    server = post.servers[0]
    server.kill()
    case.queue()

    assert case.mails.deliver() == 0
    assert case.mails.deliver() == 0
    assert case.waiting() == 1
    (fact,) = case.record.of(MailSent)
    assert (fact.kind, fact.outcome) == ("reset", "postponed")
    server.run()
    case.clock.advance(59)
    assert case.mails.deliver() == 0
    case.clock.advance(1)

    assert case.mails.deliver() == 1
    assert case.token_works(server.mails[0].message.get_content())


DIES = """
import os, sys, json
from pathlib import Path
from adapters.clock import new_secret
from adapters.persistence.unit_of_work import SqlBegin
from application.breaker import Breaker
from application.mails import MailService
from infrastructure.database import create_engine_for
from tests.fakes import FrozenClock, RecordingRecorder
from tests.builders import NOW

class Killed:
    def send(self, mail):
        os.kill(os.getpid(), 9)

clock, record = FrozenClock(NOW), RecordingRecorder()
begin = SqlBegin(create_engine_for(json.loads(sys.argv[1]), Path()), Breaker("database", clock, record))
MailService(begin, clock, new_secret, Killed(), record, "https://parley.example.org").deliver()
"""


def test_a_worker_that_is_killed_before_it_sends_leaves_the_mail_to_another_after_the_lease(post: Post, case: Case):
    case.queue()
    url = json.dumps(f"sqlite:///{post.folder}/parley.db")
    died = subprocess.run([sys.executable, "-c", DIES, url], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert died.returncode == -9, died.stderr.decode()
    assert post.servers[0].mails == []

    assert case.mails.deliver() == 0
    case.clock.advance((LEASE - timedelta(seconds=1)).total_seconds())
    assert case.mails.deliver() == 0
    case.clock.advance(1)

    assert case.mails.deliver() == 1
    assert case.token_works(post.servers[0].mails[0].message.get_content())


def test_a_port_without_a_server_is_no_mail_server():
    with pytest.raises(MailUnavailable):
        SmtpMailer("127.0.0.1", free_port(), SENDER, "none").send(HELLO)

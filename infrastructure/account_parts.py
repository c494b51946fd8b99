"""Parts of accounts and of the web's guards that need a decision before they can be built."""

from importlib import import_module

from adapters.accounts.vault import signing_key
from adapters.cache.fresh import Fresh
from adapters.clock import new_secret
from adapters.mail.smtp import SmtpMailer
from api.csrf import CsrfGuard
from api.origin_policy import OriginPolicy
from application.account_store import KeyRecord, LoginRecord
from application.auditing import Auditor
from application.logins import LoginService
from application.mails import MailService
from application.oidc import OidcService
from application.ports import Clock, Record, Vault
from application.store import Begin
from infrastructure.configuration import ConfigurationError
from infrastructure.settings import Settings

KEY_SECONDS = 3.0
LOGIN_SECONDS = 1.0
"""How old what is known of a key or a login may be: the promises are 5 s and 1 s."""


def fresh_keys(begin: Begin, clock: Clock) -> Fresh[str, KeyRecord]:
    def load(kid: str) -> KeyRecord | None:
        with begin() as work:
            return work.keys.by_kid(kid)

    return Fresh(load, clock=clock, ttl=KEY_SECONDS)


def fresh_logins(begin: Begin, clock: Clock) -> Fresh[str, LoginRecord]:
    def load(kid: str) -> LoginRecord | None:
        with begin() as work:
            return work.logins.by_kid(kid)

    return Fresh(load, clock=clock, ttl=LOGIN_SECONDS)


def csrf_guard(settings: Settings, secrets: tuple[str, ...]) -> CsrfGuard:
    return CsrfGuard(signing_key(secrets[0], "csrf"), settings.web.origin)


def origin_policy(settings: Settings) -> OriginPolicy:
    web = settings.web
    return OriginPolicy(web.trusted_hosts, web.secure, frozenset(web.cors_origins))


def mails(settings: Settings, begin: Begin, clock: Clock, record: Record) -> MailService | None:
    smtp = settings.smtp
    if smtp is None:
        return None
    try:
        mailer = SmtpMailer(smtp.host, smtp.port, smtp.sender, smtp.tls, smtp.user, smtp.password, smtp.ca_file)
    except ValueError as error:
        raise ConfigurationError(f"SMTP: {error}") from None
    return MailService(begin, clock, new_secret, mailer, record, settings.web.public_url)


def oidc_label(settings: Settings) -> str:
    return "" if settings.oidc is None else str(settings.oidc["label"])


def oidc(
    settings: Settings, begin: Begin, clock: Clock, logins: LoginService, vault: Vault, auditor: Auditor
) -> OidcService | None:
    if settings.oidc is None:
        return None
    made: OidcService = import_module("infrastructure.oidc_parts").service(
        settings, begin, clock, logins, vault, auditor
    )
    return made

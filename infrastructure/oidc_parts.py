"""Single sign-on. Imported where `[oidc]` is configured: what checks ID tokens takes 3 MB in every worker."""

from adapters.accounts.oidc import OidcProvider
from adapters.accounts.oidc_http import OidcHttp
from adapters.clock import new_id, new_secret
from application.auditing import Auditor
from application.logins import LoginService
from application.oidc import OidcService
from application.ports import Clock, Vault
from application.store import Begin
from infrastructure.configuration import ConfigurationError
from infrastructure.settings import Settings

_CALLBACK = "/api/v1/auth/oidc/callback"


def service(
    settings: Settings, begin: Begin, clock: Clock, logins: LoginService, vault: Vault, auditor: Auditor
) -> OidcService:
    """Connects with the first login. Raises ConfigurationError."""
    chosen = settings.oidc or {}
    named = chosen.get("client_secret_env")
    secret = settings.environment.get(named) if named else None
    if named and not secret:
        raise ConfigurationError(f"oidc: the environment variable {named} is not set.")
    return OidcService(
        begin=begin,
        clock=clock,
        new_id=new_id,
        new_secret=new_secret,
        provider=OidcProvider(
            chosen["issuer"], chosen["client_id"], secret, clock, OidcHttp(chosen["issuer"], private=chosen["private"])
        ),
        logins=logins,
        vault=vault,
        auditor=auditor,
        redirect_uri=settings.web.public_url + _CALLBACK,
        domains=frozenset(domain.lower() for domain in chosen["domains"]),
    )

"""Who is calling. The one place that reads a credential, and the one that decides which endpoint needs what.

A credential is a bearer token or, where there is no `Authorization` at all, the cookie of a login. Routes that speak
Anthropic's dialect read `x-api-key` in between, as its SDKs send it. An endpoint without a declared policy is
refused, so a forgotten declaration never opens a door.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar, cast

from flask import Flask, current_app, g, request

from api import login_cookie
from api.csrf import CsrfGuard
from api.dialect import Dialect, dialect_of
from api.trace import current_trace
from application.identity import IdentityService
from domain.errors import Forbidden, Unauthenticated
from domain.user import Principal, Scope

Policy = Scope | Literal["public", "authenticated", "login"]
PUBLIC: Final = "public"
AUTHENTICATED: Final = "authenticated"
"""Any valid credential, whatever its scopes."""
LOGIN: Final = "login"
"""A login, by token or cookie: what is about the person is not for keys."""

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE = "parley_policy"
_GUARD = "parley-csrf"


def requires(policy: Policy) -> Callable[[View], View]:
    """Declare what a caller of this view needs. Decorators above keep the declaration, as `functools.wraps` does."""

    def declare(view: View) -> View:
        setattr(view, _ATTRIBUTE, policy)
        return view

    return declare


def policy_of(app: Flask, endpoint: str) -> Policy | None:
    return getattr(app.view_functions[endpoint], _ATTRIBUTE, None)


def undeclared(app: Flask) -> list[str]:
    """The endpoints that nobody can reach, because nobody said who may."""
    return sorted(endpoint for endpoint in app.view_functions if policy_of(app, endpoint) is None)


def refuse_undeclared(app: Flask) -> None:
    """Called when all routes are registered: a gap stops the start."""
    if gaps := undeclared(app):
        raise RuntimeError(f"These endpoints declare no policy: {', '.join(gaps)}")


def init_auth(app: Flask, identity: IdentityService, guard: CsrfGuard) -> None:
    """Set `flask.g.principal` before everything that depends on who is calling."""
    policies: dict[str, tuple[Policy | None, bool]] = {}
    app.extensions[_GUARD] = guard

    def authenticate() -> None:
        endpoint = request.endpoint
        if endpoint is None:  # no such route or method: the answer is the same for everyone
            return
        known = policies.get(endpoint)
        if known is None:
            known = policies[endpoint] = policy_of(app, endpoint), dialect_of(app, endpoint) is Dialect.MESSAGES
        policy, takes_api_key = known
        if policy == PUBLIC:
            return
        g.principal = caller = _caller(identity, takes_api_key=takes_api_key)
        current_trace().key_id = caller.key_id
        _admit(caller, policy)

    app.before_request(authenticate)


def _caller(identity: IdentityService, *, takes_api_key: bool) -> Principal:
    ip = request.remote_addr or ""
    if "HTTP_AUTHORIZATION" in request.environ:  # whatever it holds: cookies do not count then
        return identity.authenticate(bearer_token(), ip)
    if takes_api_key and "HTTP_X_API_KEY" in request.environ:
        return identity.authenticate(request.environ["HTTP_X_API_KEY"], ip)
    sid = login_cookie.sent()
    csrf_guard().check(sid)  # before anything is looked up: a forged request shall leave no trace
    caller = identity.authenticate(sid, ip)
    if not caller.login:  # an API key has no business in a browser
        raise Unauthenticated
    login_cookie.accept(sid)
    return caller


def _admit(caller: Principal, policy: Policy | None) -> None:
    if policy is None or (policy == LOGIN and not caller.login):
        raise Forbidden
    if isinstance(policy, Scope):
        caller.require(policy)


def bearer_token() -> str:
    """The credential of the current request. Raises Unauthenticated when there is none in the one accepted form."""
    kind, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Unauthenticated
    return cast("str", token)


def current_principal() -> Principal:
    """The caller; only for endpoints that are not public."""
    return cast("Principal", g.principal)


def csrf_guard() -> CsrfGuard:
    return cast("CsrfGuard", current_app.extensions[_GUARD])

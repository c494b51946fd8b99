"""`/auth/login`, `/auth/logins`, `/me/totp`: logging in and out, and the second factor."""

from types import SimpleNamespace
from typing import Any

from dependency_injector.wiring import Provide, inject

from api import login_cookie
from api.answer import Answer, empty_answer
from api.auth import LOGIN, PUBLIC, csrf_guard, current_principal, requires
from api.v1.account_schemas import (
    CodeIn,
    EnrolmentOut,
    LoginIn,
    LoginListOut,
    NewLoginOut,
    ReauthenticationIn,
    RecoveryCodesOut,
)
from api.v1.blueprint import Blueprint
from api.v1.documentation import NO_CONTENT, or_conflict
from api.v1.with_more import with_more
from api.visitor import visitor_agent, visitor_ip
from application.logins import Attempt, LoginService, NewLogin
from application.second_factor import Enrolment, SecondFactorService
from domain.login import Login
from domain.user import Principal

blueprint = Blueprint("logins", __name__, "Logging in and out")


@blueprint.route("/auth/login", methods=["POST"])
@blueprint.arguments(LoginIn)
@blueprint.response(200, NewLoginOut)
@blueprint.doc(operationId="login")
@requires(PUBLIC)
@inject
def log_in(order: dict[str, Any], logins: LoginService = Provide["logins"]) -> tuple[dict[str, Any], dict[str, str]]:
    """Get an access token or, for pages, a cookie that carries it."""
    if order["cookie"]:
        csrf_guard().check_site()  # nobody shall be logged in by another site, as somebody else
    new = logins.login(
        Attempt(order["email"], order["password"], order["code"], visitor_ip(), visitor_agent()),
    )
    return _told(new, by_cookie=order["cookie"])


@blueprint.route("/auth/logout", methods=["POST"])
@blueprint.doc(operationId="logout", **NO_CONTENT)
@requires(LOGIN)
@inject
def log_out(logins: LoginService = Provide["logins"]) -> Answer:
    """End the login of this request."""
    logins.logout(current_principal())
    return login_cookie.parting_answer()


@blueprint.route("/auth/reauthenticate", methods=["POST"])
@blueprint.arguments(ReauthenticationIn)
@blueprint.doc(operationId="reauthenticate", **NO_CONTENT)
@requires(LOGIN)
@inject
def reauthenticate(order: dict[str, Any], logins: LoginService = Provide["logins"]) -> Answer:
    """Prove that it is still you, for what needs a recent login."""
    logins.reauthenticate(current_principal(), order["password"], order["code"])
    return empty_answer()


@blueprint.route("/auth/logins", methods=["GET"])
@blueprint.response(200, LoginListOut)
@blueprint.doc(operationId="listLogins")
@requires(LOGIN)
@inject
def list_logins(logins: LoginService = Provide["logins"]) -> dict[str, Any]:
    """List one's logins that still run, newest first."""
    caller = current_principal()
    return {"data": [_shown(login, caller) for login in logins.mine(caller)]}


@blueprint.route("/auth/logins", methods=["DELETE"])
@blueprint.doc(operationId="endOtherLogins", **NO_CONTENT)
@requires(LOGIN)
@inject
def end_other_logins(logins: LoginService = Provide["logins"]) -> Answer:
    """End all of one's logins but this one."""
    logins.end_others(current_principal())
    return empty_answer()


@blueprint.route("/auth/logins/<login_id>", methods=["DELETE"])
@blueprint.doc(operationId="endLogin", **NO_CONTENT)
@requires(LOGIN)
@inject
def end_login(login_id: str, logins: LoginService = Provide["logins"]) -> Answer:
    """End one of one's logins."""
    logins.end(current_principal(), login_id)
    return empty_answer()


@blueprint.route("/me/totp", methods=["POST"])
@blueprint.response(201, EnrolmentOut)
@blueprint.doc(operationId="enrolSecondFactor", **or_conflict("There is one already"))
@requires(LOGIN)
@inject
def enrol_second_factor(factors: SecondFactorService = Provide["factors"]) -> Enrolment:
    """Get the secret for an authenticator application; it counts once a code of it was sent."""
    return factors.enrol(current_principal())


@blueprint.route("/me/totp/confirm", methods=["POST"])
@blueprint.arguments(CodeIn)
@blueprint.response(200, RecoveryCodesOut)
@blueprint.doc(operationId="confirmSecondFactor")
@requires(LOGIN)
@inject
def confirm_second_factor(
    order: dict[str, str], factors: SecondFactorService = Provide["factors"]
) -> dict[str, list[str]]:
    """Switch the second factor on."""
    return {"recovery_codes": factors.confirm(current_principal(), order["code"])}


@blueprint.route("/me/totp", methods=["DELETE"])
@blueprint.doc(operationId="removeSecondFactor", **NO_CONTENT)
@requires(LOGIN)
@inject
def remove_second_factor(factors: SecondFactorService = Provide["factors"]) -> Answer:
    """Switch the second factor off."""
    factors.remove(current_principal())
    return empty_answer()


def _told(new: NewLogin, *, by_cookie: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """With a cookie no script can read the token, so the body must not have it either."""
    body = {
        "access_token": None if by_cookie else new.token,
        "token_type": "Bearer",
        "expires_in": int((new.login.expires_at(new.user.role) - new.login.seen_at).total_seconds()),
        "user": new.user,
        "csrf_token": csrf_guard().token(new.token) if by_cookie else None,
    }
    return body, {"Set-Cookie": login_cookie.carrying(new.token)} if by_cookie else {}


def _shown(login: Login, caller: Principal) -> SimpleNamespace:
    return with_more(login, current=login.id == caller.key_id, expires_at=login.expires_at(caller.role))

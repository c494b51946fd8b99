"""`/auth/register`, `/auth/confirm`, `/auth/password`, `/me`: accounts."""

from types import SimpleNamespace
from typing import Any

from dependency_injector.wiring import Provide, inject

from api import login_cookie
from api.answer import Answer, empty_answer
from api.auth import AUTHENTICATED, LOGIN, PUBLIC, csrf_guard, current_principal, requires
from api.v1.account_schemas import (
    AcceptedOut,
    ConfirmIn,
    FarewellIn,
    ForgottenIn,
    MeOut,
    PasswordChangeIn,
    ProfileIn,
    RegisterIn,
    ResetIn,
    UserOut,
)
from api.v1.blueprint import Blueprint
from api.v1.documentation import NO_CONTENT, or_conflict
from api.v1.with_more import with_more
from api.visitor import visitor_ip, visitor_locale
from application.account_orders import Profile, Registration
from application.accounts import AccountService
from domain.user import User

blueprint = Blueprint("accounts", __name__, "Accounts and passwords")

_ACCEPTED = {"status": "accepted"}


@blueprint.route("/auth/register", methods=["POST"])
@blueprint.arguments(RegisterIn)
@blueprint.response(202, AcceptedOut)
@blueprint.doc(operationId="register")
@requires(PUBLIC)
@inject
def register(order: dict[str, Any], accounts: AccountService = Provide["accounts"]) -> dict[str, str]:
    """Ask for an account; a mail says how it goes on."""
    locale = order["locale"] or visitor_locale()
    accounts.register(Registration(**{**order, "locale": locale}, ip=visitor_ip()))
    return _ACCEPTED


@blueprint.route("/auth/confirm", methods=["POST"])
@blueprint.arguments(ConfirmIn)
@blueprint.doc(operationId="confirmAddress", **or_conflict("The address was taken meanwhile", NO_CONTENT))
@requires(PUBLIC)
@inject
def confirm(order: dict[str, str], accounts: AccountService = Provide["accounts"]) -> Answer:
    """Show that an address is one's own, with the token that was sent to it."""
    accounts.confirm(order["token"])
    return empty_answer()


@blueprint.route("/auth/password/forgot", methods=["POST"])
@blueprint.arguments(ForgottenIn)
@blueprint.response(202, AcceptedOut)
@blueprint.doc(operationId="forgotPassword")
@requires(PUBLIC)
@inject
def forgot_password(order: dict[str, Any], accounts: AccountService = Provide["accounts"]) -> dict[str, str]:
    """Ask for a mail with which to set a new password."""
    accounts.forgot(order["email"], order["locale"] or visitor_locale(), visitor_ip())
    return _ACCEPTED


@blueprint.route("/auth/password/reset", methods=["POST"])
@blueprint.arguments(ResetIn)
@blueprint.doc(operationId="resetPassword", **NO_CONTENT)
@requires(PUBLIC)
@inject
def reset_password(order: dict[str, str], accounts: AccountService = Provide["accounts"]) -> Answer:
    """Set a new password with the token from the mail; all logins end."""
    accounts.reset(order["token"], order["password"], visitor_ip())
    return empty_answer()


@blueprint.route("/auth/password/change", methods=["POST"])
@blueprint.arguments(PasswordChangeIn)
@blueprint.doc(operationId="changePassword", **NO_CONTENT)
@requires(LOGIN)
@inject
def change_password(order: dict[str, str], accounts: AccountService = Provide["accounts"]) -> Answer:
    """Set a new password; all other logins end."""
    accounts.change_password(current_principal(), order["current_password"], order["new_password"])
    return empty_answer()


@blueprint.route("/me", methods=["GET"])
@blueprint.response(200, MeOut)
@blueprint.doc(operationId="getMe")
@requires(AUTHENTICATED)
@inject
def get_me(accounts: AccountService = Provide["accounts"]) -> SimpleNamespace:
    """Read one's account."""
    sid = login_cookie.accepted()
    return with_more(accounts.me(current_principal()), csrf_token=None if sid is None else csrf_guard().token(sid))


@blueprint.route("/me", methods=["PATCH"])
@blueprint.arguments(ProfileIn)
@blueprint.response(200, UserOut)
@blueprint.doc(operationId="updateMe", **or_conflict("The address is taken"))
@requires(LOGIN)
@inject
def update_me(profile: Profile, accounts: AccountService = Provide["accounts"]) -> User:
    """Change what the body names; a new address has to be confirmed."""
    return accounts.change_me(current_principal(), profile)


@blueprint.route("/me", methods=["DELETE"])
@blueprint.arguments(FarewellIn)
@blueprint.doc(operationId="deleteMe", **or_conflict("This is the last owner", NO_CONTENT))
@requires(LOGIN)
@inject
def delete_me(order: dict[str, str], accounts: AccountService = Provide["accounts"]) -> Answer:
    """Delete one's account with its keys, logins and sessions."""
    accounts.delete_me(current_principal(), order["password"])
    return login_cookie.parting_answer()

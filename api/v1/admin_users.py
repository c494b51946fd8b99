"""`/admin/users` and `/admin/invitations`: who has an account, and who may make one."""

from functools import partial
from operator import attrgetter
from typing import Any

from dependency_injector.wiring import Provide, inject

from api.actor import current_actor
from api.answer import Answer, empty_answer
from api.auth import current_principal, requires
from api.v1.admin_schemas import (
    AdminLoginPageOut,
    AdminUserOut,
    AdminUserPageOut,
    InvitationIn,
    InvitationPageOut,
    NewInvitationOut,
    UserChangeIn,
    UserIn,
)
from api.v1.blueprint import Blueprint
from api.v1.documentation import NO_CONTENT, or_conflict
from api.v1.paging import page, page_of
from api.v1.schemas import PageIn
from application.user_admin import UserAdmin, UserChange
from domain.mail import Locale
from domain.user import Role, Scope, User

blueprint = Blueprint("admin_users", __name__, "Administration of users and invitations")

_TAKEN = or_conflict("The address is taken")
_LAST = or_conflict("This is the last owner")


@blueprint.route("/admin/users", methods=["GET"])
@blueprint.arguments(PageIn, location="query")
@blueprint.response(200, AdminUserPageOut)
@blueprint.doc(operationId="adminListUsers")
@requires(Scope.ADMIN)
@inject
def list_users(query: dict[str, Any], users: UserAdmin = Provide["user_admin"]) -> dict[str, Any]:
    """List all users, newest first."""
    read = partial(users.page, current_principal(), before=query["cursor"])
    return page(read, query["limit"], attrgetter("id"))


@blueprint.route("/admin/users", methods=["POST"])
@blueprint.arguments(UserIn)
@blueprint.response(201, AdminUserOut)
@blueprint.doc(operationId="adminCreateUser", **_TAKEN)
@requires(Scope.ADMIN)
@inject
def create_user(body: dict[str, str], users: UserAdmin = Provide["user_admin"]) -> User:
    """Make an account without a password, which its user sets as after forgetting one."""
    return users.create(current_principal(), body["email"], body["name"], Role(body["role"]), current_actor())


@blueprint.route("/admin/users/<user_id>", methods=["GET"])
@blueprint.response(200, AdminUserOut)
@blueprint.doc(operationId="adminGetUser")
@requires(Scope.ADMIN)
@inject
def get_user(user_id: str, users: UserAdmin = Provide["user_admin"]) -> User:
    """Read a user."""
    return users.get(current_principal(), user_id)


@blueprint.route("/admin/users/<user_id>", methods=["PATCH"])
@blueprint.arguments(UserChangeIn)
@blueprint.response(200, AdminUserOut)
@blueprint.doc(operationId="adminUpdateUser", **_LAST)
@requires(Scope.ADMIN)
@inject
def update_user(change: UserChange, user_id: str, users: UserAdmin = Provide["user_admin"]) -> User:
    """Change what the body names: name, role, whether the account is disabled."""
    return users.change(current_principal(), user_id, change, current_actor())


@blueprint.route("/admin/users/<user_id>", methods=["DELETE"])
@blueprint.doc(operationId="adminDeleteUser", **or_conflict("This is the last owner", NO_CONTENT))
@requires(Scope.ADMIN)
@inject
def delete_user(user_id: str, users: UserAdmin = Provide["user_admin"]) -> Answer:
    """Delete a user with keys, logins and sessions; team keys go on in the caller's name."""
    users.delete(current_principal(), user_id, current_actor())
    return empty_answer()


@blueprint.route("/admin/users/<user_id>/logins", methods=["GET"])
@blueprint.arguments(PageIn, location="query")
@blueprint.response(200, AdminLoginPageOut)
@blueprint.doc(operationId="adminListLogins")
@requires(Scope.ADMIN)
@inject
def list_logins(query: dict[str, Any], user_id: str, users: UserAdmin = Provide["user_admin"]) -> dict[str, Any]:
    """List where a user is logged in, newest first."""
    return page_of(users.logins(current_principal(), user_id), **query)


@blueprint.route("/admin/users/<user_id>/logins", methods=["DELETE"])
@blueprint.doc(operationId="adminEndLogins", **NO_CONTENT)
@requires(Scope.ADMIN)
@inject
def end_logins(user_id: str, users: UserAdmin = Provide["user_admin"]) -> Answer:
    """Log a user out everywhere."""
    users.end_logins(current_principal(), user_id, current_actor())
    return empty_answer()


@blueprint.route("/admin/users/<user_id>/totp", methods=["DELETE"])
@blueprint.doc(operationId="adminRemoveSecondFactor", **NO_CONTENT)
@requires(Scope.ADMIN)
@inject
def remove_second_factor(user_id: str, users: UserAdmin = Provide["user_admin"]) -> Answer:
    """Take away a user's second factor, who lost it, and log the user out everywhere."""
    users.remove_second_factor(current_principal(), user_id, current_actor())
    return empty_answer()


@blueprint.route("/admin/invitations", methods=["GET"])
@blueprint.arguments(PageIn, location="query")
@blueprint.response(200, InvitationPageOut)
@blueprint.doc(operationId="adminListInvitations")
@requires(Scope.ADMIN)
@inject
def list_invitations(query: dict[str, Any], users: UserAdmin = Provide["user_admin"]) -> dict[str, Any]:
    """List the invitations that can still be followed, newest first."""
    return page_of(users.invitations(current_principal()), **query)


@blueprint.route("/admin/invitations", methods=["POST"])
@blueprint.arguments(InvitationIn)
@blueprint.response(201, NewInvitationOut)
@blueprint.doc(operationId="adminCreateInvitation", **_TAKEN)
@requires(Scope.ADMIN)
@inject
def create_invitation(body: dict[str, str], users: UserAdmin = Provide["user_admin"]) -> dict[str, Any]:
    """Invite somebody by mail; without a mail server the answer has the token of the invitation."""
    role, locale = Role(body["role"]), Locale(body["locale"])
    made, token = users.invite(current_principal(), body["email"], role, locale, current_actor())
    shown = {name: getattr(made, name) for name in ("id", "email", "role", "created_at", "expires_at")}
    return shown if token is None else {**shown, "token": token}


@blueprint.route("/admin/invitations/<invitation_id>", methods=["DELETE"])
@blueprint.doc(operationId="adminWithdrawInvitation", **NO_CONTENT)
@requires(Scope.ADMIN)
@inject
def withdraw_invitation(invitation_id: str, users: UserAdmin = Provide["user_admin"]) -> Answer:
    """Withdraw an invitation that nobody followed yet."""
    users.withdraw(current_principal(), invitation_id, current_actor())
    return empty_answer()

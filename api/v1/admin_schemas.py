"""The shapes of users, invitations and teams, as administrators see them."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from api.v1.account_schemas import MemberOut, UserOut
from api.v1.blueprint import Output, Strict
from api.v1.fields import StrictBoolean, Time, note
from application.user_admin import UserChange
from domain.mail import Locale
from domain.user import EMAIL_LENGTH, Role

NAME_LENGTH = 200

_ROLES = validate.OneOf([str(role) for role in Role])
_LENGTH = validate.Length(max=NAME_LENGTH)


def _email() -> ma.fields.String:
    return ma.fields.String(required=True, validate=validate.Length(3, EMAIL_LENGTH), metadata={"example": "a@b.org"})


class UserIn(Strict):
    email = _email()
    name = ma.fields.String(load_default="", validate=_LENGTH)
    role = ma.fields.String(required=True, validate=_ROLES, metadata=note("Only owners make owners."))


class UserChangeIn(Strict):
    """Changes only what it names."""

    name = ma.fields.String(validate=_LENGTH)
    role = ma.fields.String(validate=_ROLES, metadata=note("Only owners make owners."))
    disabled = StrictBoolean(metadata=note("True ends the user's logins, and their keys stop."))

    @ma.post_load
    def change(self, fields: dict[str, Any], **_: Any) -> UserChange:
        role = Role(fields["role"]) if "role" in fields else None
        return UserChange(name=fields.get("name"), role=role, disabled=fields.get("disabled"))


class AdminUserOut(UserOut):
    disabled = ma.fields.Boolean(required=True)


class AdminUserPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(AdminUserOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class AdminLoginOut(Output):
    id = ma.fields.String(required=True)
    created_at = Time(required=True)
    seen_at = Time(required=True, metadata=note("About a minute coarse."))
    ip = ma.fields.String(required=True)
    user_agent = ma.fields.String(required=True)


class AdminLoginPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(AdminLoginOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class InvitationIn(Strict):
    email = _email()
    role = ma.fields.String(load_default=Role.MEMBER, validate=_ROLES, metadata=note("Only owners make owners."))
    locale = ma.fields.String(
        load_default=Locale.EN, validate=validate.OneOf([str(it) for it in Locale]), metadata=note("Of the mail.")
    )


class InvitationOut(Output):
    id = ma.fields.String(required=True)
    email = ma.fields.String(required=True)
    role = ma.fields.String(required=True, validate=_ROLES)
    created_at = Time(required=True)
    expires_at = Time(required=True)


class NewInvitationOut(InvitationOut):
    token = ma.fields.String(
        metadata=note("Only when there is no mail server: shown this once, to be handed over by other means.")
    )


class InvitationPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(InvitationOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class AdminTeamIn(Strict):
    name = ma.fields.String(
        required=True,
        validate=[validate.Length(1, NAME_LENGTH), validate.Regexp(r"\s*\S")],
        metadata={"pattern": r"\S", **note("No other team may have it.")},
    )


class AdminTeamOut(Output):
    id = ma.fields.String(required=True)
    name = ma.fields.String(required=True)
    created_at = Time(required=True)


class AdminTeamPageOut(Output):
    data = ma.fields.List(ma.fields.Nested(AdminTeamOut), required=True)
    next_cursor = ma.fields.String(required=True, allow_none=True)


class SeatOut(MemberOut):
    disabled = ma.fields.Boolean(required=True, attribute="user.disabled")


class AdminTeamDetailOut(AdminTeamOut):
    members = ma.fields.List(ma.fields.Nested(SeatOut), required=True)

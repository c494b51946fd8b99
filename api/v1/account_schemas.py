"""The shapes of accounts, logins, the second factor and teams."""

from typing import Any

import marshmallow as ma
from marshmallow import validate

from api.v1.blueprint import Output, Strict
from api.v1.fields import StrictBoolean, Time, Word, note
from application.account_orders import Profile
from domain.mail import Locale
from domain.team import TeamRole
from domain.user import EMAIL_LENGTH, Role

NAME_LENGTH = 200

_LOCALES = note("Of mails and pages; without it, `Accept-Language` decides.")
_CODE = note("The second factor: six digits, or a recovery code.")
_ONE_TIME = note("From the mail.")
_LONGEST_PASSWORD = 1_000
"""Of what is read at all; which ones are accepted is the application's."""


def _email(*, required: bool = True) -> ma.fields.String:
    return ma.fields.String(
        required=required, validate=validate.Length(3, EMAIL_LENGTH), metadata={"example": "a@b.org"}
    )


def _password(text: str = "") -> ma.fields.String:
    return ma.fields.String(
        required=True, validate=validate.Length(1, _LONGEST_PASSWORD), metadata={"format": "password", **note(text)}
    )


def _code(**options: Any) -> ma.fields.String:
    return ma.fields.String(validate=validate.Length(1, 64), metadata=_CODE, **options)


def _locale(**options: Any) -> ma.fields.Enum[Locale]:
    return ma.fields.Enum(Locale, by_value=ma.fields.String, metadata=_LOCALES, **options)


class RegisterIn(Strict):
    email = _email()
    password = _password("12 to 128 characters, and none that everybody knows.")
    name = ma.fields.String(load_default="", validate=validate.Length(max=NAME_LENGTH))
    invite = Word(200, load_default=None, allow_none=True, metadata=note("The token of an invitation."))
    locale = _locale(load_default=None)


class AcceptedOut(Output):
    """Says the same whether or not there is such an account."""

    status = ma.fields.String(required=True, validate=validate.OneOf(["accepted"]))


class ConfirmIn(Strict):
    token = Word(200, required=True, metadata=_ONE_TIME)


class LoginIn(Strict):
    email = _email()
    password = _password()
    code = _code(load_default=None, allow_none=True)
    cookie = StrictBoolean(
        load_default=False, metadata=note("True sets the token as a cookie, for pages, instead of telling it.")
    )


class UserOut(Output):
    id = ma.fields.String(required=True)
    email = ma.fields.String(required=True)
    name = ma.fields.String(required=True)
    role = ma.fields.String(required=True, validate=validate.OneOf([str(role) for role in Role]))
    locale = ma.fields.String(required=True)
    confirmed = ma.fields.Boolean(required=True, metadata=note("Whether the address was shown to be the user's."))
    totp = ma.fields.Boolean(required=True, metadata=note("Whether a login needs a second factor."))
    created_at = Time(required=True)


class MeOut(UserOut):
    csrf_token = ma.fields.String(
        required=True,
        allow_none=True,
        metadata=note("For callers with the cookie: what to send as `X-CSRF-Token` with every change."),
    )


class NewLoginOut(Output):
    access_token = ma.fields.String(required=True, allow_none=True, metadata=note("Null when it was set as a cookie."))
    token_type = ma.fields.String(required=True, validate=validate.OneOf(["Bearer"]))
    expires_in = ma.fields.Integer(required=True, metadata=note("Seconds without any request until the login ends."))
    user = ma.fields.Nested(UserOut, required=True)
    csrf_token = ma.fields.String(
        required=True,
        allow_none=True,
        metadata=note("With a cookie: what to send as `X-CSRF-Token` with every change."),
    )


class ReauthenticationIn(Strict):
    password = _password()
    code = _code(load_default=None, allow_none=True)


class LoginOut(Output):
    id = ma.fields.String(required=True)
    current = ma.fields.Boolean(required=True, metadata=note("Whether this request was made with it."))
    ip = ma.fields.String(required=True)
    user_agent = ma.fields.String(required=True)
    created_at = Time(required=True)
    seen_at = Time(required=True, metadata=note("About a minute coarse."))
    authenticated_at = Time(required=True, metadata=note("When the password was given last."))
    expires_at = Time(required=True, metadata=note("Unless it is used before."))


class LoginListOut(Output):
    data = ma.fields.List(ma.fields.Nested(LoginOut), required=True)


class ForgottenIn(Strict):
    email = _email()
    locale = _locale(load_default=None)


class ResetIn(Strict):
    token = Word(200, required=True, metadata=_ONE_TIME)
    password = _password()


class PasswordChangeIn(Strict):
    current_password = _password()
    new_password = _password()


class ProfileIn(Strict):
    """Changes only what it names. A new address needs the password."""

    name = ma.fields.String(validate=validate.Length(max=NAME_LENGTH))
    locale = _locale()
    email = _email(required=False)
    password = ma.fields.String(
        validate=validate.Length(1, _LONGEST_PASSWORD), metadata={"format": "password", **note("The present one.")}
    )

    @ma.post_load
    def profile(self, fields: dict[str, Any], **_: Any) -> Profile:
        return Profile(**fields)


class FarewellIn(Strict):
    password = _password()


class EnrolmentOut(Output):
    secret = ma.fields.String(required=True, metadata=note("For typing into an authenticator application."))
    uri = ma.fields.String(required=True, metadata=note("The same for a QR code."))


class CodeIn(Strict):
    code = _code(required=True)


class RecoveryCodesOut(Output):
    recovery_codes = ma.fields.List(
        ma.fields.String(), required=True, metadata=note("Each works once. They are shown this once.")
    )


class OidcOut(Output):
    label = ma.fields.String(required=True, metadata=note("What to write on the button."))


class TeamOut(Output):
    id = ma.fields.String(required=True)
    name = ma.fields.String(required=True)
    role = ma.fields.String(required=True, validate=validate.OneOf([str(role) for role in TeamRole]))
    created_at = Time(required=True)


class TeamListOut(Output):
    data = ma.fields.List(ma.fields.Nested(TeamOut), required=True)


class MemberOut(Output):
    user_id = ma.fields.String(required=True, attribute="user.id")
    email = ma.fields.String(required=True, attribute="user.email")
    name = ma.fields.String(required=True, attribute="user.name")
    role = ma.fields.String(required=True, validate=validate.OneOf([str(role) for role in TeamRole]))


class MemberListOut(Output):
    data = ma.fields.List(ma.fields.Nested(MemberOut), required=True)


class MemberIn(Strict):
    role = ma.fields.Enum(TeamRole, by_value=ma.fields.String, required=True)

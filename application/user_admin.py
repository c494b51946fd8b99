"""Users and invitations, as administrators see them."""

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from application.auditing import Auditor, Change
from application.erasure import erase, erased
from application.pages import each
from application.ports import Clock, NewId, NewSecret
from application.store import Begin, UnitOfWork
from domain.api_key import SECRET_LENGTH, digest
from domain.audit import Actor
from domain.errors import Conflict, NotFound
from domain.login import Login
from domain.mail import Locale, MailKind, QueuedMail
from domain.one_time_token import OneTimeToken, Purpose
from domain.user import Principal, Role, Scope, User, canonical_email


@dataclass(frozen=True, slots=True)
class UserChange:
    """None leaves a field."""

    name: str | None = None
    role: Role | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True)
class UserAdmin:
    """Every method requires the scope `admin` (and a recent login). Only owners touch owners or make them.

    A user who does not exist, or was deleted, is NotFound.
    """

    begin: Begin
    clock: Clock
    new_id: NewId
    new_secret: NewSecret
    auditor: Auditor
    mails: bool = False

    def page(self, principal: Principal, limit: int, before: str | None) -> list[User]:
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            living = (user for user in each(work.users.page, before) if not erased(user))
            return list(islice(living, limit))

    def get(self, principal: Principal, user_id: str) -> User:
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            return _existing(work, user_id)

    def create(self, principal: Principal, email: str, name: str, role: Role, actor: Actor) -> User:
        """Without a password: the user sets one by the mail of `POST /auth/password/forgot`, or logs in by OIDC.

        Raises Conflict for a taken address, Forbidden when an administrator would make an owner.
        """
        principal.require_power_over(role)
        user = User(self.new_id("usr"), canonical_email(email), role, self.clock.now(), name)
        with self.begin() as work:
            work.users.add(user)
            self.auditor.write(work, actor, Change("user.create", user.id, after=_public(user)))
        return user

    def change(self, principal: Principal, user_id: str, change: UserChange, actor: Actor) -> User:
        """A disabled user's logins end, and the links in mails. Raises Conflict when no enabled owner would be left."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            user, owners = _locked(work, user_id)
            changed = _changed(user, change)
            principal.require_power_over(user.role, changed.role)
            _require_owner(owners, user, changed)
            if changed.disabled and not user.disabled:
                work.logins.end_all(user.id, self.clock.now())
                work.tokens.withdraw_all(user.id, user.email, self.clock.now())
            if changed != user:
                work.users.save(changed)
                self.auditor.write(work, actor, Change("user.change", user.id, _public(user), _public(changed)))
        return changed

    def delete(self, principal: Principal, user_id: str, actor: Actor) -> None:
        """As `AccountService.delete_me`; team keys go on in the caller's name."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            user, owners = _locked(work, user_id)
            principal.require_power_over(user.role)
            _require_owner(owners, user, None)
            heir = work.users.get(principal.user_id) if user.id != principal.user_id else None
            erase(work, user, self.clock.now(), heir)
            # Not whose address it was: the log is for ever, and this user wants to be forgotten.
            self.auditor.write(work, actor, Change("user.delete", user.id, {"role": user.role}))

    def logins(self, principal: Principal, user_id: str) -> list[Login]:
        """Those that still run, newest first."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            user = _existing(work, user_id)
            found = work.logins.of_user(user.id)
        now = self.clock.now()
        return [login for login in found if login.expires_at(user.role) > now]

    def end_logins(self, principal: Principal, user_id: str, actor: Actor) -> int:
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            user, _ = _locked(work, user_id)
            principal.require_power_over(user.role)
            ended = work.logins.end_all(user.id, self.clock.now())
            work.tokens.withdraw_all(user.id, user.email, self.clock.now())
            before = {"logins": [login.id for login in ended]}
            self.auditor.write(work, actor, Change("user.end_logins", user.id, before, {"logins": []}))
        return len(ended)

    def remove_second_factor(self, principal: Principal, user_id: str, actor: Actor) -> None:
        """For whoever lost phone and recovery codes. Ends the user's logins. Raises NotFound when there is none."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            user, _ = _locked(work, user_id)
            principal.require_power_over(user.role)
            if not user.totp:
                raise NotFound("This user has no second factor.")
            work.factors.remove(user.id)
            work.users.save(replace(user, totp=False))
            work.logins.end_all(user.id, self.clock.now())
            change = Change("user.remove_second_factor", user.id, {"totp": True}, {"totp": False})
            self.auditor.write(work, actor, change)

    def invite(
        self, principal: Principal, email: str, role: Role, locale: Locale, actor: Actor
    ) -> tuple[OneTimeToken, str | None]:
        """Mail an invitation, or, without a mail server, return its token to be handed over by other means.

        Takes the place of an earlier one to the same address. Raises Conflict when that has an account.
        """
        principal.require_power_over(role)
        token = self.new_secret(SECRET_LENGTH)
        invitation = self._invitation(canonical_email(email), role, token)
        with self.begin() as work:
            if work.users.by_email(invitation.email) is not None:
                raise Conflict("This e-mail address is taken.", param="email")
            work.tokens.add(invitation)
            if self.mails:
                work.outbox.put(self._mail(invitation, locale))
            self.auditor.write(work, actor, Change("invitation.create", invitation.id, after=_offer(invitation)))
        return invitation, None if self.mails else token

    def invitations(self, principal: Principal) -> list[OneTimeToken]:
        """Those that can be followed, newest first."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            found = work.tokens.open_invitations()
        now = self.clock.now()
        return [invitation for invitation in found if invitation.expires_at > now]

    def withdraw(self, principal: Principal, invitation_id: str, actor: Actor) -> None:
        """Raises NotFound for anything but an invitation that nobody followed yet."""
        principal.require(Scope.ADMIN)
        with self.begin() as work:
            found = {it.id: it for it in work.tokens.open_invitations()}.get(invitation_id)
            if found is None or not work.tokens.withdraw(found.id, self.clock.now()):
                raise NotFound
            self.auditor.write(work, actor, Change("invitation.withdraw", found.id, _offer(found)))

    def _invitation(self, email: str, role: Role, token: str) -> OneTimeToken:
        now, purpose = self.clock.now(), Purpose.INVITE
        return OneTimeToken(self.new_id("inv"), purpose, digest(token), email, now, now + purpose.lifetime, role=role)

    def _mail(self, invitation: OneTimeToken, locale: Locale) -> QueuedMail:
        now = invitation.created_at
        id_ = self.new_id("mail")
        return QueuedMail(id_, MailKind.INVITE, invitation.email, locale, now, now, subject_id=invitation.id)


def _existing(work: UnitOfWork, user_id: str) -> User:
    return _there(work.users.get(user_id))


def _locked(work: UnitOfWork, user_id: str) -> tuple[User, int]:
    """The user, and how many enabled owners there are: administrators who change users wait for each other here."""
    owners = work.users.owners()
    return _there(work.users.lock(user_id)), owners


def _there(user: User | None) -> User:
    if user is None or erased(user):
        raise NotFound
    return user


def _require_owner(owners: int, user: User, changed: User | None) -> None:
    """Of `owners` enabled ones now, at least one must be left."""
    if _reigns(user) and not (changed and _reigns(changed)) and owners <= 1:
        raise Conflict("This is the last owner: make another user an owner first.")


def _reigns(user: User) -> bool:
    return user.role is Role.OWNER and not user.disabled


def _changed(user: User, change: UserChange) -> User:
    return replace(
        user,
        name=user.name if change.name is None else change.name,
        role=change.role or user.role,
        disabled=user.disabled if change.disabled is None else change.disabled,
    )


def _public(user: User) -> dict[str, Any]:
    return {"email": user.email, "name": user.name, "role": user.role, "disabled": user.disabled}


def _offer(invitation: OneTimeToken) -> dict[str, Any]:
    return {"email": invitation.email, "role": invitation.role}

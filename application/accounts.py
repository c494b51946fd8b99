"""Accounts: registering, confirming, changing, deleting; and the password that was forgotten.

What strangers can ask (register, forgot) answers the same, with the same work, whether or not an account exists.
"""

from dataclasses import dataclass, replace

from application import attempts
from application.account_orders import Profile, Registration
from application.auditing import Auditor, Change
from application.erasure import erase
from application.mails import HOUR, PER_HOUR
from application.passwords import PasswordRules
from application.ports import Clock, NewId, NewSecret, PasswordHasher
from application.proofs import PasswordProof, found, locked, settled
from application.store import Begin, UnitOfWork
from domain.api_key import SECRET_LENGTH, digest
from domain.audit import SYSTEM, Actor
from domain.errors import Conflict, Forbidden, InvalidRequest, NotFound, RegistrationClosed
from domain.mail import Locale, MailKind, QueuedMail
from domain.one_time_token import OneTimeToken, Purpose
from domain.user import Principal, Role, User, canonical_email


@dataclass(frozen=True, slots=True)
class AccountService:
    begin: Begin
    clock: Clock
    new_id: NewId
    new_secret: NewSecret
    passwords: PasswordHasher
    rules: PasswordRules
    auditor: Auditor
    registration: str = "invite"
    """`open`, `invite` or `closed`."""
    mails: bool = False
    """Whether there is a mail server: without one an address cannot be confirmed, so it counts as confirmed."""
    fixed_addresses: bool = False
    """Whether users keep the address they have: single sign-on believes addresses, and none could be confirmed."""

    def register(self, order: Registration) -> None:
        """Says nothing about who has an account: only the owner of a taken address hears of it, by mail.

        Raises InvalidRequest, RegistrationClosed, RateLimited (per network), Overloaded.
        """
        if self.registration == "closed" or (self.registration == "invite" and not order.invite):
            raise RegistrationClosed
        email = "" if order.invite else canonical_email(order.email)
        self.rules.check(order.password, order.email, order.name)
        self._count(attempts.registration(order.ip))
        password_hash = self.passwords.hash(order.password)
        try:
            self._enter(order, email, password_hash)
        except Conflict:  # Somebody took the address at the same moment: now it is a taken one.
            self._enter(order, email, password_hash)

    def confirm(self, token: str) -> None:
        """An account's first address, or a new one, which only now takes the place of the old.

        Raises InvalidRequest for a token that is unknown, used or over, Conflict for an address taken meanwhile.
        """
        with self.begin() as work:
            spent = self._spend(work, Purpose.CONFIRM, token)
            user = _owner_of(work, spent)
            self._move(work, user, spent.email, Actor(user.id, None))

    def me(self, principal: Principal) -> User:
        """Raises Forbidden for a key that a team shares."""
        principal.require_person()
        with self.begin() as work:
            return found(work, principal.user_id)

    def change_me(self, principal: Principal, profile: Profile) -> User:
        """A new address ends the other logins. With mails the old one stays until the new one is confirmed.

        Raises Conflict for a taken address; InvalidCredentials and RateLimited without the right password for a new
        one; RateLimited for one that was asked too often, Forbidden where addresses are fixed.
        """
        principal.require_login()
        email = None if profile.email is None else canonical_email(profile.email)
        moves = email not in (None, self.me(principal).email)
        if moves and self.fixed_addresses:
            raise Forbidden("Without a mail server nobody can show that a new address is theirs, so it stays.")
        proved = self._proof().ask(principal, profile.password or "") if moves else None
        with self.begin() as work:
            user = locked(work, principal.user_id) if proved is None else settled(work, proved)
            user = self._save(work, principal, user, profile)
            if proved is None or email is None:
                return user
            work.logins.end_all(user.id, self.clock.now(), but=principal.key_id)
            return self._offer(work, user, email) if self.mails else self._move(work, user, email, _actor(principal))

    def delete_me(self, principal: Principal, password: str) -> None:
        """Ends keys, logins and sessions and forgets name and address; the ledger keeps its rows under the bare id.

        Raises InvalidCredentials, RateLimited, and Conflict for the last owner. Team keys go on in the name of a
        team's lead.
        """
        principal.require_login()
        proved = self._proof().ask(principal, password)
        with self.begin() as work:
            owners = work.users.owners()
            user = settled(work, proved)
            if user.role is Role.OWNER and owners <= 1:
                raise Conflict("You are the last owner: make another user an owner first.")
            erase(work, user, self.clock.now())
            # Not whose address it was: the log is for ever, and this user wants to be forgotten.
            self.auditor.write(work, _actor(principal), Change("user.delete", user.id, {"role": user.role}))

    def change_password(self, principal: Principal, current: str, new: str) -> None:
        """Ends all other logins. Raises InvalidCredentials, InvalidRequest, RateLimited."""
        principal.require_login()
        user = self.me(principal)
        self.rules.check(new, user.email, user.name)
        proved = self._proof().ask(principal, current)
        password_hash = self.passwords.hash(new)
        with self.begin() as work:
            user = settled(work, proved)
            self._set_password(work, user, password_hash, keep=principal.key_id)
            self.auditor.write(work, _actor(principal), Change("user.change_password", user.id))

    def forgot(self, email: str, locale: Locale, ip: str) -> None:
        """Queue a mail, whoever the address belongs to. Raises InvalidRequest and RateLimited (per network) only."""
        address = canonical_email(email)
        with self.begin() as work:
            wait = attempts.count(work, self.clock.now(), attempts.forgotten(ip))
            if not wait:
                self._mail(work, MailKind.RESET, address, locale)
        attempts.refuse(wait)

    def reset(self, token: str, password: str, ip: str) -> None:
        """Ends all logins; logs nobody in. The address was reached, so it is confirmed.

        Raises InvalidRequest for a bad token (single use) or password, RateLimited (per network).
        """
        self.rules.check(password)
        self._count(attempts.reset(ip))
        password_hash = self.passwords.hash(password)
        with self.begin() as work:
            spent = self._spend(work, Purpose.RESET, token)
            user = _owner_of(work, spent)
            if user.email != spent.email:
                raise _bad_token()
            self.rules.check(password, user.email, user.name)
            attempts.forget(work, attempts.account(user.email))
            self._set_password(work, replace(user, confirmed=True), password_hash)
            self.auditor.write(work, Actor(user.id, None, ip), Change("user.reset_password", user.id))

    def create_user(self, email: str, role: Role, password: str | None = None, name: str = "") -> User:
        """For the command line. Raises InvalidRequest for a bad address or password, Conflict for a taken address."""
        email = canonical_email(email)
        password_hash = None
        if password is not None:
            self.rules.check(password, email, name)
            password_hash = self.passwords.hash(password)
        user = User(self.new_id("usr"), email, role, self.clock.now(), name, password_hash)
        with self.begin() as work:
            work.users.add(user)
            self.auditor.write(work, SYSTEM, Change("user.create", user.id, after={"email": email, "role": role}))
        return user

    def set_password(self, email: str, password: str) -> None:
        """For the command line; confirms the address and ends all logins. Raises InvalidRequest, NotFound."""
        with self.begin() as work:
            known = work.users.by_email(canonical_email(email))
        if known is None:
            raise NotFound("There is no such user.")
        self.rules.check(password, known.email, known.name)
        password_hash = self.passwords.hash(password)
        with self.begin() as work:
            user = replace(locked(work, known.id), confirmed=True)
            attempts.forget(work, attempts.account(user.email))
            self._set_password(work, user, password_hash)
            self.auditor.write(work, SYSTEM, Change("user.set_password", user.id))

    def _enter(self, order: Registration, email: str, password_hash: str) -> None:
        """A new account, or a mail to whoever has the address already."""
        with self.begin() as work:
            invitation = None if order.invite is None else self._invitation(work, order.invite)
            if invitation is not None:
                email = invitation.email
                self.rules.check(order.password, email)
            owner = work.users.by_email(email)
            if owner is not None:
                self._mail(work, MailKind.ALREADY_REGISTERED, email, Locale(owner.locale))
                return
            user = self._new(order, email, password_hash, invitation)
            work.users.add(user)
            if not user.confirmed:
                self._mail(work, MailKind.CONFIRM, email, order.locale)
            after = {"email": email, "role": user.role, "invitation": invitation and invitation.id}
            self.auditor.write(work, Actor(user.id, None, order.ip), Change("user.register", user.id, after=after))

    def _new(self, order: Registration, email: str, password_hash: str, invitation: OneTimeToken | None) -> User:
        return User(
            id=self.new_id("usr"),
            email=email,
            role=(invitation and invitation.role) or Role.MEMBER,
            created_at=self.clock.now(),
            name=order.name,
            password_hash=password_hash,
            confirmed=invitation is not None or not self.mails,
            locale=order.locale.value,
        )

    def _invitation(self, work: UnitOfWork, token: str) -> OneTimeToken:
        invitation = work.tokens.spend(Purpose.INVITE, digest(token), self.clock.now())
        if invitation is None:
            raise RegistrationClosed
        return invitation

    def _spend(self, work: UnitOfWork, purpose: Purpose, token: str) -> OneTimeToken:
        spent = work.tokens.spend(purpose, digest(token), self.clock.now())
        if spent is None:
            raise _bad_token()
        return spent

    def _save(self, work: UnitOfWork, principal: Principal, user: User, profile: Profile) -> User:
        changed = replace(
            user,
            name=user.name if profile.name is None else profile.name,
            locale=user.locale if profile.locale is None else profile.locale.value,
        )
        if changed != user:
            work.users.save(changed)
            self.auditor.write(work, _actor(principal), Change("user.change", user.id, _facts(user), _facts(changed)))
        return changed

    def _offer(self, work: UnitOfWork, user: User, email: str) -> User:
        """Ask at the new address; the old one stays until then, so that a wrong one locks nobody out.

        The token is stored now, with a secret that nobody knows, and gets the one of the mail when that is sent: so
        what withdraws tokens also ends what still waits in the queue.
        """
        if work.users.by_email(email) is not None:
            raise Conflict("This e-mail address is taken.", param="email")
        now, purpose = self.clock.now(), Purpose.CONFIRM
        if work.tokens.issued(purpose, email, now - HOUR) >= PER_HOUR:
            attempts.refuse(int(HOUR.total_seconds()))
        work.tokens.withdraw_all(user.id, user.email, now)
        secret, ends = self.new_secret(SECRET_LENGTH), now + purpose.lifetime
        asked = OneTimeToken(self.new_id("ott"), purpose, digest(secret), email, now, ends, user.id)
        work.tokens.add(asked)
        self._mail(work, MailKind.CONFIRM, email, Locale(user.locale), subject_id=asked.id)
        return user

    def _move(self, work: UnitOfWork, user: User, email: str, actor: Actor) -> User:
        moved = replace(user, email=email, confirmed=True)
        work.users.save(moved)
        work.tokens.withdraw_all(user.id, user.email, self.clock.now())
        if moved.email != user.email:
            self._mail(work, MailKind.EMAIL_CHANGED, user.email, Locale(user.locale))
        self.auditor.write(work, actor, Change("user.change", user.id, _facts(user), _facts(moved)))
        return moved

    def _set_password(self, work: UnitOfWork, user: User, password_hash: str, keep: str | None = None) -> None:
        work.users.save(replace(user, password_hash=password_hash))
        work.logins.end_all(user.id, self.clock.now(), but=keep)
        work.tokens.withdraw_all(user.id, user.email, self.clock.now())
        self._mail(work, MailKind.PASSWORD_CHANGED, user.email, Locale(user.locale))

    def _mail(
        self, work: UnitOfWork, kind: MailKind, email: str, locale: Locale, subject_id: str | None = None
    ) -> None:
        if self.mails:
            now = self.clock.now()
            work.outbox.put(QueuedMail(self.new_id("mail"), kind, email, locale, now, now, subject_id=subject_id))

    def _count(self, counter: attempts.Counter) -> None:
        with self.begin() as work:
            wait = attempts.count(work, self.clock.now(), counter)
        attempts.refuse(wait)

    def _proof(self) -> PasswordProof:
        return PasswordProof(self.begin, self.clock, self.passwords)


def _owner_of(work: UnitOfWork, spent: OneTimeToken) -> User:
    user = work.users.lock(spent.user_id or "")
    if user is None or user.disabled:
        raise _bad_token()
    return user


def _bad_token() -> InvalidRequest:
    return InvalidRequest("The link was used already, is too old, or was replaced by a newer one.", param="token")


def _actor(principal: Principal) -> Actor:
    return Actor(principal.user_id, principal.key_id)


def _facts(user: User) -> dict[str, object]:
    return {"email": user.email, "name": user.name, "locale": user.locale, "confirmed": user.confirmed}

"""Logging in and out."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from application import attempts
from application.auditing import Auditor
from application.ports import Clock, NewId, NewSecret, PasswordHasher
from application.proofs import PasswordProof, found, settled
from application.second_factor import SecondFactorService
from application.store import Begin, UnitOfWork
from domain.api_key import KID_LENGTH, SECRET_LENGTH, compose, digest
from domain.errors import InvalidCredentials, NotFound, SecondFactorRequired
from domain.login import ENVIRONMENT, Login
from domain.user import Principal, User, canonical_email

MOST_LOGINS = 100
"""Of one user. So many end in one transaction, whoever piled them up."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """`code` is the second factor: six digits, or a recovery code."""

    email: str
    password: str = field(repr=False)
    code: str | None = field(default=None, repr=False)
    ip: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class NewLogin:
    """`token` exists nowhere else."""

    login: Login
    user: User
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoginService:
    begin: Begin
    clock: Clock
    new_id: NewId
    new_secret: NewSecret
    passwords: PasswordHasher
    factors: SecondFactorService
    auditor: Auditor
    forget: Callable[[str], None]
    """Drops a login's kid from this worker's memory, so that its end counts at once."""

    def login(self, attempt: Attempt) -> NewLogin:
        """Raises InvalidCredentials, SecondFactorRequired (after the right password only), RateLimited, Overloaded.

        One password is hashed whoever the address belongs to. A hash of older parameters is made anew. What is no
        address at all is an InvalidRequest.
        """
        known = self._known(attempt)
        right = self.passwords.verify(None if known is None else known.password_hash, attempt.password)
        if known is None or not right or not known.confirmed or known.disabled:
            raise InvalidCredentials
        self._demand(known, attempt)
        renewed = self._renewed(known, attempt.password)
        with self.begin() as work:
            attempts.refund(work, attempts.visitor(attempt.ip))
            user = settled(work, known)
            self.factors.check(work, user, attempt.code)
            if renewed is not None:
                user = replace(user, password_hash=renewed)
                work.users.save(user)
            return self.issue(work, user, attempt.ip, attempt.user_agent)

    def issue(self, work: UnitOfWork, user: User, ip: str, user_agent: str) -> NewLogin:
        """A login for whoever proved to be `user`, who must be locked: what ends all logins then ends this one too."""
        for oldest in work.logins.of_user(user.id)[MOST_LOGINS - 1 :]:
            work.logins.end(oldest.id, user.id, self.clock.now())
            self.forget(oldest.kid)
        now, kid = self.clock.now(), self.new_secret(KID_LENGTH)
        token = compose(ENVIRONMENT, kid, self.new_secret(SECRET_LENGTH))
        login = Login(self.new_id("login"), kid, user.id, digest(token), now, now, now, ip, user_agent)
        work.logins.add(login)
        return NewLogin(login, user, token)

    def logout(self, principal: Principal) -> None:
        principal.require_login()
        with self.begin() as work:
            work.logins.end(principal.key_id, principal.user_id, self.clock.now())
        self.forget(principal.kid)

    def reauthenticate(self, principal: Principal, password: str, code: str | None) -> None:
        """Make the caller's login a recent one. Raises as `login` does."""
        principal.require_login()
        known = PasswordProof(self.begin, self.clock, self.passwords).ask(principal, password)
        self.factors.demand(known, code)
        with self.begin() as work:
            self.factors.check(work, settled(work, known, found), code)
            now = self.clock.now()
            work.logins.touch(principal.key_id, now, now)
        self.forget(principal.kid)

    def mine(self, principal: Principal) -> list[Login]:
        """Those that still run, newest first."""
        principal.require_login()
        with self.begin() as work:
            open_ones = work.logins.of_user(principal.user_id)
        now = self.clock.now()
        return [login for login in open_ones if login.works(principal.role, now)]

    def end(self, principal: Principal, login_id: str) -> None:
        """Raises NotFound for anything but a running login of the caller's."""
        principal.require_login()
        now = self.clock.now()
        with self.begin() as work:
            ended = work.logins.end(login_id, principal.user_id, now)
        if ended is None or ended.expires_at(principal.role) <= now:
            raise NotFound
        self.forget(ended.kid)

    def end_others(self, principal: Principal) -> int:
        principal.require_login()
        with self.begin() as work:
            ended = work.logins.end_all(principal.user_id, self.clock.now(), but=principal.key_id)
        for login in ended:
            self.forget(login.kid)
        return len(ended)

    def _known(self, attempt: Attempt) -> User | None:
        """Counted before anything is hashed; a network that is refused cannot use up the attempts at an account."""
        email = canonical_email(attempt.email)
        with self.begin() as work:
            counters = (attempts.visitor(attempt.ip), attempts.account(email))
            wait = attempts.count(work, self.clock.now(), *counters)
            user = work.users.by_email(email)
        attempts.refuse(wait)
        return user

    def _demand(self, known: User, attempt: Attempt) -> None:
        """Whoever is asked for the second factor comes again: for the network both steps are one good login."""
        try:
            self.factors.demand(known, attempt.code)
        except SecondFactorRequired:
            with self.begin() as work:
                attempts.refund(work, attempts.visitor(attempt.ip))
            raise

    def _renewed(self, user: User, password: str) -> str | None:
        outdated = user.password_hash is not None and self.passwords.outdated(user.password_hash)
        return self.passwords.hash(password) if outdated else None
